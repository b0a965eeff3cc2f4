"""Convolution on a GPU without columns, for one group of filters: a product whose left factor is
read from x where it is needed, by the kernels beside this file.  It writes and reads no columns and
adds the bias where the sums are, but its products are slower than cuBLAS's.

Down, it is the same kernel over dy, with the filters turned by 180 degrees; with a stride, once for
each of the phases of dx that see the same taps.  The gradient of the weight goes by columns.
"""

import functools
import itertools
import math

from ...machine.arrays import array_module
from ...machine.kernels import THREADS, launch
from ...machine.numba_cache import loop
from ..cpu import Passes
from ..cpu.gemm import ceiling_of
from . import im2col

HEIGHT = 128  # positions of a tile
# How many of the instructions of its inner loop multiply and add, by the filters of a tile: as
# tools/sass.py counts them for sm_90.
SHARES = {64: 0.65, 96: 0.69, 128: 0.75}
CUBLAS = 0.9  # of the peak, about
# Instructions that a card executes while it moves a byte: an H200's, the fewest.
INSTRUCTIONS_A_BYTE = 7
MARGIN = 1.15  # by which the estimate must be better, since it is one


@functools.cache
def passes(execution):
    """The three functions.  What is a product of x itself, or has holes, goes the other way."""
    others = im2col.passes(execution)
    return Passes(
        functools.partial(forward, others=others),
        functools.partial(transpose, others=others),
        others.weight_gradient,
        exact=True,
    )


@functools.lru_cache(4096)
def is_faster(weight):
    """Whether it is the faster way up with filters (KH, KW, C, F), by instructions and bytes.

    Estimated, not measured: with few channels or filters writing and reading the columns, and the
    pass that adds the bias, take longer than what the product loses.
    """
    length, filters = math.prod(weight[:3]), weight[3]
    width = width_of(filters)
    ours = length * -(-filters // width) * width / SHARES[width]
    beside = 4 * INSTRUCTIONS_A_BYTE * (length + 2 * filters)
    return MARGIN * ours < length * filters / CUBLAS + beside


def width_of(filters, itemsize=4):
    """The filters of a tile, of those that waste least; float64 has no registers for 128."""
    widths = [width for width in SHARES if width < 128 or itemsize == 4]
    return min(widths, key=lambda width: (-(-filters // width) * width, -width))


def forward(x, weight, bias, window, y, fuse_relu=None, others=None):
    """y = the convolution of x plus bias; fuse_relu: and min(max(y, 0), fuse_relu)."""
    if im2col.is_its_columns(window, x) or window.is_dilated:
        return others.forward(x, weight, bias, window, y, fuse_relu)
    geometry = *x.shape[1:], *y.shape[1:3], *window.size, *window.stride, *window.pad[:2]
    _tiles(x, weight, bias, y, geometry, (*y.shape[1:3], 1, 1, 0, 0), fuse_relu)


def transpose(dy, weight, window, dx, others=None):
    """dx = the transpose: of a stride s, s * s convolutions of dy, each of which makes every s-th place."""
    if im2col.is_its_columns(window, dx) or window.is_dilated:
        return others.transpose(dy, weight, window, dx)
    height, width = dx.shape[1:3]
    axes = zip(window.size, window.stride, window.pad[:2], (height, width), strict=True)
    for rows, columns in itertools.product(*(_phases(*axis) for axis in axes)):
        (phase_y, taps_y, top, oh), (phase_x, taps_x, left, ow) = rows, columns
        turned = weight[taps_y, taps_x][::-1, ::-1].swapaxes(2, 3)
        (sh, sw), (kh, kw) = window.stride, turned.shape[:2]
        if not kh * kw:
            dx[:, phase_y::sh, phase_x::sw] = 0
            continue
        geometry = *dy.shape[1:], oh, ow, kh, kw, 1, 1, top, left
        _tiles(dy, turned, None, dx, geometry, (height, width, sh, sw, phase_y, phase_x))


def _phases(size, stride, pad, length):
    """(first place, its taps, padding, how many places) of each phase along an axis of dx.

    The places first, first + stride, ... see the taps r, r + stride, ... of a window; turned, these
    are a convolution of stride 1.
    """
    for first in range(min(stride, length)):
        r = (first + pad) % stride
        taps = len(range(r, size, stride))
        yield (
            first,
            slice(r, None, stride),
            taps - 1 - (first + pad - r) // stride,
            -(-(length - first) // stride),
        )


def _tiles(x, weight, bias, y, geometry, place, fuse_relu=None):
    """Launch a convolution of stride geometry; place: where y lies, as in the .cu file."""
    weight = array_module(x).ascontiguousarray(weight)
    filters, rows = weight.shape[3], len(x) * math.prod(geometry[3:5])
    width = width_of(filters, y.itemsize)
    count = -(-rows // HEIGHT) * -(-filters // width) * THREADS
    grouped = filters % 4 == 0 and y.data.ptr % (4 * y.itemsize) == 0
    launch(
        CU, f"implicit_{width}", count, x, weight, weight if bias is None else bias, y,
        tuple(map(int, geometry)), filters, rows, int(bias is not None), int(grouped),
        *map(int, place), ceiling_of(fuse_relu, y),
    )  # fmt: skip


@loop
def _sum_of_window(x, weight, n, first_y, first_x, f):
    """The sum under the filter f whose corner is there, in the kernel's order, rounded after each product."""
    total = x.dtype.type(0)
    for ky in range(max(0, -first_y), min(weight.shape[0], x.shape[1] - first_y)):
        for kx in range(max(0, -first_x), min(weight.shape[1], x.shape[2] - first_x)):
            for c in range(weight.shape[2]):
                total += x[n, first_y + ky, first_x + kx, c] * weight[ky, kx, c, f]
    return total


@loop
def implicit_64(x, weight, bias, y, geometry, place, ceiling):
    """y at its place, position by position."""
    _, _, _, oh, ow, _, _, sh, sw, top, left = geometry
    _, _, step_y, step_x, first_y, first_x = place
    for n in range(len(x)):
        for oy in range(oh):
            for ox in range(ow):
                out = y[n, first_y + oy * step_y, first_x + ox * step_x]
                for f in range(weight.shape[3]):
                    out[f] = bias[f] + _sum_of_window(
                        x, weight, n, oy * sh - top, ox * sw - left, f
                    )
                    if ceiling >= 0:
                        out[f] = min(max(out[f], y.dtype.type(0)), ceiling)


implicit_96 = implicit_128 = implicit_64  # tiles of other widths
CU = __file__.replace(".py", ".cu")
