"""A matrix product of factors that lie apart, row by row, as Winograd's tiles do: ROWS x LANES sums in registers.

BLAS would first order both factors in memory of its own, which for as few channels as a convolution has takes up to a
quarter of the time.
"""

import numpy as np

from ...machine.numba_cache import loop
from .simd import LANES, add_products, load, splat, store

ROWS = 12
PAGE = 4096  # bytes: numbers as far apart as a multiple of it share one place of the first cache, which has 8 or 12


def product(a, b, out):
    """out = a @ b, of which each has contiguous rows; by BLAS where blocks do not fit, or the cache would not."""
    if len(a) < ROWS or out.shape[1] % LANES or a.strides[0] % PAGE == 0:
        return np.matmul(a, b, out=out)
    return multiply(a, b, out)


@loop
def multiply(a, b, out):
    """The last rows are computed twice where they do not fill a block of their own."""
    zero, size = splat(out, out.dtype.type(0)), out.itemsize
    across, down, line = a.strides[0] // size, b.strides[0] // size, out.strides[0] // size
    for first in range(0, len(a), ROWS):
        row = min(first, len(a) - ROWS)
        for column in range(0, out.shape[1], LANES):
            sums = (zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)
            for k in range(len(b)):
                sums = add_products(sums, a, row * across + k, across, load(b, k * down + column))
            for j in range(ROWS):
                store(out, (row + j) * line + column, sums[j])
