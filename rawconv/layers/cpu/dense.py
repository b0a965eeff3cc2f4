"""A fully connected layer on the CPU: few pictures for many weights, each of which is read or written once.

BLAS orders both factors of a product in memory of its own first; where one of them is 150 MB of weights for 32
pictures, that takes as long as the product.
"""

import numpy as np

from ...machine.buffers import empty
from ...machine.numba_cache import loop
from ...machine.threads import cut, run_blocks, scratch
from .simd import LANES, add_products, load, splat, store


def full(x, matrix):
    """y (N, F) = x (N, K) @ matrix (K, F), cut by the filters."""
    y = empty(x, (len(x), matrix.shape[1]))
    run_blocks(lambda part: np.matmul(x, matrix[:, part], out=y[:, part]), _eighths(matrix.shape[1]), _cost(x, matrix))
    return y


def full_transpose(dy, matrix):
    """dx (N, K) = dy @ matrix.T, computed as its transpose: so the weights are what BLAS reads row by row."""
    dx = empty(dy, (len(dy), len(matrix)))

    def block(part):
        product = scratch("product", (part.stop - part.start, len(dy)), dy.dtype)
        np.matmul(matrix[part], dy.T, out=product)
        dx[:, part] = product.T

    run_blocks(block, _eighths(len(matrix)), _cost(dy, matrix))
    return dx


def full_weight_gradient(x, dy):
    """dmatrix (K, F) = x.T @ dy, LANES x LANES of it at a time, whose sums over the pictures stay in registers."""
    dmatrix = empty(x, (x.shape[1], dy.shape[1]))
    if min(dmatrix.shape) < LANES:
        return np.matmul(x.T, dy, out=dmatrix)
    rows, columns = _strips(x), _strips(dy)
    flat = dmatrix.reshape(-1)

    def block(part):
        sum_pictures(rows, columns, flat, *dmatrix.shape, part.start, part.stop)

    run_blocks(block, _eighths(len(rows), 64 // LANES), _cost(x, dmatrix))
    return dmatrix


def _eighths(length, least=64):
    return cut(length, max(least, -(-length // 8)))


def _cost(x, matrix):
    """Nanoseconds: a quarter to read or write a weight, a twentieth for what each picture does with it."""
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
def sum_pictures(rows, columns, out, height, width, first, last):
    """out (height, width), flat: the sums over n of rows[a, n, i] * columns[b, n, j], in the strips first .. last-1."""
    given, factors, count = rows.reshape(-1), columns.reshape(-1), rows.shape[1]
    z = splat(out, out.dtype.type(0))
    for a in range(first, last):
        for b in range(len(columns)):
            sums = (z, z, z, z, z, z, z, z, z, z, z, z, z, z, z, z)
            for n in range(count):
                v = load(factors, (b * count + n) * LANES)
                sums = add_products(sums, given, (a * count + n) * LANES, 1, v)
            corner = min(a * LANES, height - LANES) * width + min(b * LANES, width - LANES)
            for i in range(LANES):
                store(out, corner + i * width, sums[i])
