"""Filters turned by 180 degrees, their channels for their filters: those of a convolution's way back to x.

NumPy reads one of the two arrays number by number; here a tile of LANES x LANES numbers is read and
written in whole vectors, and turned over while it is in registers.
"""

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from ...machine.buffers import empty
from ...machine.numba_cache import loop
from ...machine.threads import run_ranges
from .simd import LANES, _pointer


def turn(weight):
    """(KH, KW, C, F) -> (KH, KW, F, C), contiguous: [k, l, f, c] is weight[KH-1-k, KW-1-l, c, f]."""
    kh, kw, channels, filters = weight.shape
    if channels % LANES or filters % LANES or not weight.flags.c_contiguous:
        return np.ascontiguousarray(weight[::-1, ::-1].swapaxes(2, 3))
    out = empty(weight, (kh, kw, filters, channels))
    arguments = weight.reshape(-1, channels, filters), out.reshape(-1, filters, channels)
    run_ranges(turn_taps, kh * kw, 1, arguments, weight.size / 8)
    return out


@loop
def turn_taps(first, last, thread, weight, out):
    """out[-1 - k] = the transpose of weight[k], for k in first .. last-1."""
    _, channels, filters = weight.shape
    for k in range(first, last):
        place, target = k * channels * filters, (len(weight) - 1 - k) * channels * filters
        for c in range(0, channels, LANES):
            for f in range(0, filters, LANES):
                at, to = place + c * filters + f, target + f * channels + c
                turn_tile(weight, at, filters, out, to, channels)


@intrinsic
def turn_tile(typing, a, i, across, b, j, down):
    """b[j + f * down + c] = a[i + c * across + f] for c and f below LANES; both contiguous, as if flat.

    Halves of rows are exchanged between those of the upper and the lower half of the tile, then
    quarters between those of the quarters, ..., then single numbers between neighbouring rows.
    """

    def generate(context, builder, signature, arguments):
        a, place, across, b, target, down = arguments
        rows, wide = [], LANES // 2
        for _ in range(LANES):
            pointer, alignment = _pointer(context, builder, signature.args[0], a, place)
            rows.append(builder.load(pointer, align=alignment))
            place = builder.add(place, across)
        while wide:
            upper = [lane + (LANES - wide if lane & wide else 0) for lane in range(LANES)]
            lower = [lane + (LANES if lane & wide else wide) for lane in range(LANES)]
            for row in range(LANES):
                if not row & wide:
                    pair = rows[row], rows[row + wide]
                    rows[row], rows[row + wide] = (
                        _shuffled(builder, *pair, lanes) for lanes in (upper, lower)
                    )
            wide //= 2
        for row in rows:
            pointer, alignment = _pointer(context, builder, signature.args[3], b, target)
            builder.store(row, pointer, align=alignment)
            target = builder.add(target, down)
        return context.get_dummy_value()

    return types.void(a, types.intp, types.intp, b, types.intp, types.intp), generate


def _shuffled(builder, a, b, lanes):
    """The numbers of two vectors, side by side, at these places."""
    return builder.shuffle_vector(
        a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    )
