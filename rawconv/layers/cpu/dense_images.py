"""Images by weights, each of which comes from memory once: the way up of a fully connected layer.

A vector of weights is multiplied by a number of each of 16 images, and the next images find it in the
cache.  Reading 150 MB in this order takes half as long as multiplying them by 32 images, so each loop
asks for the weights of the next one.  To copy them first to where they lie side by side would take
two thirds as long as the products.
"""

from ...machine.numba_cache import loop, uncounted
from ...machine.threads import run_ranges, scratch, workers
from .simd import LANES, REGISTER, accumulate_ahead, add_rows, copies, splat, store_rows

IMAGES = 16  # whose sums, each of one vector of filters, are in registers at once
# rows of weights that are multiplied one after the other.  Rows that lie a power of two apart share
# few places of the cache, where so many still find room until all images have seen them
DEPTH = 32
# rows whose products are added to one sum.  Then such sums are added, so that rounding errors, which
# grow with the root of a sum's length, stay small
SPAN = 16 * DEPTH
LEAST = 12  # images for which this is faster than BLAS; but from 2 on where ...
LARGE = 1 << 21  # ... so many weights have no room in the second cache


def supports(images, matrix):
    """Whether so many images are multiplied by a matrix (K, F) faster than by BLAS: not where a
    vector takes two registers.
    """
    least = LEAST if matrix.size < LARGE else 2
    fits = matrix.itemsize * LANES <= REGISTER and matrix.shape[1] >= LANES
    return fits and images >= least


def multiply(x, matrix, bias, ceiling, y, nanoseconds):
    """y (N, F) = x (N, K) @ matrix (K, F) + bias (F,), then the ReLU as in gemm.add_bias; F >= LANES.

    The sums of an image do not depend on the others.  nanoseconds: estimate, on one thread.
    """
    (count, inner), filters = x.shape, matrix.shape[1]
    # rows an odd number of cache lines apart
    shape = -(-count // IMAGES) * IMAGES, (-(-inner // LANES) | 1) * LANES
    images = scratch("images", shape, x.dtype)
    images[:count, :inner], images[count:] = x, 0
    width = -(-filters // 8 // LANES) * LANES
    rooms = scratch("sums", (workers(), 2, width * len(images)), x.dtype)
    arguments = images, inner, matrix.reshape(-1), bias, ceiling, y, rooms
    run_ranges(multiply_columns, filters, width, arguments, nanoseconds)


@loop
def multiply_columns(first, last, thread, images, inner, matrix, bias, ceiling, y, rooms):
    """Columns first .. last-1 of y; rooms: for the sums of each thread, twice."""
    size = -(-(last - first) // LANES) * LANES * len(images)
    total, sums = rooms[thread, 0, :size], rooms[thread, 1, :size]
    for k in range(0, inner, SPAN):
        rows = k, min(k + SPAN, inner)
        multiply_rows(images, rows, matrix, len(bias), (first, last), sums)
        for i in range(size):
            total[i] = sums[i] if k == 0 else total[i] + sums[i]
    for column in range(first, last, LANES):
        start = min(column, len(bias) - LANES)
        write(total[(column - first) * len(images) :], bias, ceiling, y, start)


@uncounted
def multiply_rows(images, rows, matrix, filters, columns, sums):
    """sums (vectors of columns, images, LANES), flat = the products with some rows of weights."""
    (count, apart), numbers = images.shape, images.reshape(-1)
    (begin, end), (first, last) = rows, columns
    zero = copies(splat(matrix, matrix.dtype.type(0)), IMAGES)
    for k in range(begin, end, DEPTH):
        depth = min(DEPTH, end - k)
        for column in range(first, last, LANES):
            # the last columns may be summed twice
            j = k * filters + min(column, filters - LANES)
            # to the last number of the next vector, or of the first one of the next rows
            ahead = 2 * LANES - 1
            if column + LANES >= last:
                ahead += DEPTH * filters - (column + LANES - first)
            for n in range(0, count, IMAGES):
                i, at = n * apart + k, (column - first) * count + n * LANES
                some = accumulate_ahead(zero, numbers, i, apart, matrix, j, filters, depth, ahead)
                if k == begin:
                    store_rows(sums, at, LANES, some, 1)
                else:
                    add_rows(sums, at, LANES, some, 1)


@uncounted
def write(sums, bias, ceiling, y, column):
    """LANES columns of y from their sums, with bias and ReLU."""
    zero = y.dtype.type(0)
    rectifies = ceiling >= zero
    for n in range(len(y)):
        for f in range(LANES):
            value = sums[n * LANES + f] + bias[column + f]
            if rectifies:
                value = zero if value <= zero else value
                value = ceiling if value > ceiling else value
            y[n, column + f] = value
