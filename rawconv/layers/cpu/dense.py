"""A fully connected layer on the CPU: few images for many weights, each of which is read or written once.

BLAS orders both factors of a product in memory of its own first; where one of them is 150 MB of
weights for 32 images, that takes as long as the product.
"""

import math

import numpy as np

from ...machine.buffers import empty
from ...machine.numba_cache import loop
from ...machine.threads import cut, run_blocks, run_ranges, scratch
from . import dense_images
from .gemm import add_bias, ceiling_of
from .simd import LANES, accumulate, by_registers, copies, splat, store_rows

ROWS = by_registers(16, 4)  # of a gradient, each of one vector, whose sums are in registers at once


def supports(shape, forced=False, transposed=False):
    return shape.window.covers(shape.size)


def forward(x, weight, bias, window, y, fuse_relu=None):
    """y (N, F) = x (N, K) @ weight (K, F) + bias, cut by the filters; fuse_relu: and a ReLU."""
    x, matrix, y = _rows(x), weight.reshape(-1, weight.shape[3]), _rows(y)
    if dense_images.supports(len(x), matrix):
        bias = np.zeros(y.shape[1], y.dtype) if bias is None else np.ascontiguousarray(bias)
        ceiling, matrix = ceiling_of(fuse_relu, y), np.ascontiguousarray(matrix)
        return dense_images.multiply(x, matrix, bias, ceiling, y, _cost(x, matrix))
    run_blocks(
        lambda part: np.matmul(x, matrix[:, part], out=y[:, part]),
        _eighths(y.shape[1]),
        _cost(x, matrix),
    )
    if bias is not None:
        add_bias(y, bias, ceiling_of(fuse_relu, y))


def transpose(dy, weight, window, dx):
    """dx (N, K) = dy (N, F) @ weight.T, computed as its transpose: so the weights are what BLAS
    reads row by row.
    """
    dy, matrix, dx = _rows(dy), weight.reshape(-1, weight.shape[3]), _rows(dx)

    def block(part):
        product = scratch("product", (part.stop - part.start, len(dy)), dy.dtype)
        np.matmul(matrix[part], dy.T, out=product)
        dx[:, part] = product.T

    run_blocks(block, _eighths(len(matrix)), _cost(dy, matrix))


def weight_gradient(x, dy, window):
    """dweight (K, F) = x.T @ dy, LANES x LANES of it at a time, whose sums over the images stay in
    registers.
    """
    shape, x, dy = (*window.size, x.shape[3], dy.shape[3]), _rows(x), _rows(dy)
    dmatrix = empty(x, (x.shape[1], dy.shape[1]))
    if min(dmatrix.shape) < LANES:
        return np.matmul(x.T, dy, out=dmatrix).reshape(shape)
    rows, columns, flat = _strips(x), _strips(dy), dmatrix.reshape(-1)

    arguments, size = (rows, columns, flat, *dmatrix.shape), max(64 // LANES, -(-len(rows) // 8))
    run_ranges(sum_images, len(rows), size, arguments, _cost(x, dmatrix))
    return dmatrix.reshape(shape)


def _rows(x):
    """(N, 1, 1, F) or (N, H, W, C) as a matrix, a row for each image."""
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _eighths(length):
    return cut(length, max(64, -(-length // 8)))


def _cost(x, matrix):
    """Nanoseconds: a quarter to read or write a weight, a twentieth for what each image does with it."""
    return matrix.size * (5 + len(x)) / 20


def _strips(x):
    """(strips, N, LANES): the columns of x, LANES in a strip; the last strip ends where x does."""
    count, length = x.shape
    strips = empty(x, (-(-length // LANES), count, LANES))
    whole = length // LANES
    strips[:whole] = x[:, : whole * LANES].reshape(count, whole, LANES).swapaxes(0, 1)
    strips[-1] = x[:, -LANES:]
    return strips


@loop
def sum_images(first, last, thread, rows, columns, out, height, width):
    """out (height, width), flat: the sums over n of rows[a, n, i] * columns[b, n, j], in the strips
    first .. last-1.
    """
    a_strips, b_strips, count = rows.reshape(-1), columns.reshape(-1), rows.shape[1]
    size, zero = count * LANES, splat(out, out.dtype.type(0))
    for a in range(first, last):
        for b in range(len(columns)):
            corner = min(a * LANES, height - LANES) * width + min(b * LANES, width - LANES)
            for i in range(0, LANES, ROWS):
                sums, start = copies(zero, ROWS), a * size + i
                sums = accumulate(sums, a_strips, start, 1, LANES, b_strips, b * size, LANES, count)
                store_rows(out, corner + i * width, width, sums, 1)
