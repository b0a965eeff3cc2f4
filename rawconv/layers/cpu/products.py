"""Winograd's 36 matrix products, of factors whose rows lie apart: ROWS x LANES sums in registers.

BLAS would first order both factors in memory of its own, which for as few channels as a convolution
has takes up to a quarter of the time.
"""

import numpy as np

from ...machine.numba_cache import loop
from ...machine.threads import cut, run_blocks, scratch
from .simd import LANES, accumulate, copies, load, splat, store

ROWS = 12
# bytes: numbers as far apart as a multiple of it share one place in the first cache, which has 8 or
# 12
PAGE = 4096
PRODUCTS = 40  # multiplications and additions a nanosecond, about
# terms added one after the other; the sums of so many are then added, so that rounding errors,
# which grow with the root of a sum's length, stay small
DEPTH = 64
BLOCK = 150_000  # nanoseconds, at least, of the products that one call computes


def multiply_each(a, b, out, spans):
    """out[rows, p, columns] = a[rows, p, inner] @ b[p, inner, columns] at each of the 36 positions
    p; 0 beside them.

    spans: (36, 6) the first and last (exclusive) of rows, inner and columns.  By BLAS where blocks
    of registers do not fit, or the cache would not.
    """
    rows, inner, columns = (spans[:, 1::2] - spans[:, ::2]).T
    fits = (rows >= ROWS) & (columns % LANES == 0) & (a.strides[0] % PAGE != 0)
    work = int((rows * inner * columns).sum()) / PRODUCTS

    def block(part):
        multiply_some(a, b, out, spans, fits, part.start, part.stop)
        for p in (part.start + (~fits[part]).nonzero()[0]).tolist():
            top, bottom, start, stop, left, right = spans[p].tolist()
            np.matmul(
                a[top:bottom, p, start:stop],
                b[p, start:stop, left:right],
                out=out[top:bottom, p, left:right],
            )

    _run(block, work)


def add_products(a, b, sums, spans, first):
    """sums[p, inner] += a[rows, p, inner].T @ b[rows, p] at each of the 36 positions; first: sums
    is not set yet.
    """
    rows, inner, _ = (spans[:, 1::2] - spans[:, ::2]).T

    def block(part):
        room = None if first else scratch("product", sums.shape[1:], sums.dtype)
        for p, (top, bottom, start, stop, _, _) in enumerate(spans[part].tolist(), part.start):
            out = sums[p, start:stop] if first else room[: stop - start]
            np.matmul(a[top:bottom, p, start:stop].T, b[top:bottom, p], out=out)
            if first:
                sums[p, :start] = 0
                sums[p, stop:] = 0
            else:
                sums[p, start:stop] += out

    _run(block, int((rows * inner).sum()) * sums.shape[2] / PRODUCTS)


def _run(block, nanoseconds):
    """block(some of the positions) for all of them, which take so long."""
    positions = int(min(36, max(1, 36 * BLOCK // max(1, nanoseconds))))
    run_blocks(block, cut(36, positions), nanoseconds)


@loop
def multiply_some(a, b, out, spans, fits, first, last):
    for p in range(first, last):
        top, bottom, start, stop, left, right = spans[p]
        if right - left < out.shape[2]:
            out[top:bottom, p, :left] = 0
            out[top:bottom, p, right:] = 0
        if fits[p]:
            multiply(
                a[top:bottom, p, start:stop],
                b[p, start:stop, left:right],
                out[top:bottom, p, left:right],
            )


@loop
def multiply(a, b, out):
    """out = a @ b.  The last rows are computed twice where they do not fill a block of their own."""
    zero, size = splat(out, out.dtype.type(0)), out.itemsize
    across, down, line = a.strides[0] // size, b.strides[0] // size, out.strides[0] // size
    for first in range(0, len(a), ROWS):
        row = min(first, len(a) - ROWS)
        for column in range(0, out.shape[1], LANES):
            for k in range(0, len(b), DEPTH):
                depth = min(DEPTH, len(b) - k)
                sums = accumulate(
                    copies(zero, ROWS), a, row * across + k, across, 1,
                    b, k * down + column, down, depth,
                )  # fmt: skip
                for j in range(ROWS):
                    place = (row + j) * line + column
                    store(out, place, sums[j] if k == 0 else load(out, place) + sums[j])
