"""Winograd's 36 matrix products, one a position, by the micro-kernel of simd.py: ROWS x LANES sums in
registers.

BLAS would first order both factors in memory of its own, which for as few channels as a convolution
has takes up to a quarter of the time.  Here the transforms have written them as they are read.

Rows of a matrix, and matrices, are an odd number of cache lines apart (`rows_of`, `columns_of`): of others, as
far apart as a power of two, only a few would find room in the first cache.
"""

from numba.extending import register_jitable

from ...machine.numba_cache import uncounted
from .simd import LANES, accumulate, by_registers, copies, load, splat, store
from .simd import _add_products as add_products_to

# rows of a product at once, and of what is left; each with one vector of columns
ROWS, REST = by_registers(12, 6), by_registers(4, 3)
# rows of a sum of products, with so many vectors of columns; rows of what is left, with one
SUMS, WIDE, LEFT = by_registers(8, 6), by_registers(2, 1), by_registers(8, 4)
PRODUCTS = 50  # multiplications and additions a nanosecond, about
# terms added one after the other; the sums of so many are then added, so that rounding errors,
# which grow with the root of a sum's length, stay small
DEPTH = 64
STRIP = 48  # columns of a that stay in the first cache, DEPTH rows of them, while all columns of b pass by
PANEL = 252  # rows of a, a multiple of ROWS, that stay in the second cache while all columns of b pass by


@register_jitable
def rows_of(count, columns):
    """The shape (36, rows, numbers) of memory for so many rows of so many whole vectors, at 36 positions."""
    return 36, (count + REST - 1) | 1, (columns // LANES | 1) * LANES


@register_jitable
def columns_of(inner, columns):
    """The same for the columns of a product: (36, vectors, LANES)."""
    return 36, columns // LANES * inner | 1, LANES


@uncounted
def multiply_some(a, b, out, sizes, spans, first, last):
    """out[p, rows, columns] = a[p, rows, inner] @ b[p, inner, columns] at the positions p = first ..
    last-1; 0 beside these columns.

    a, out: as rows_of says; rows that are not asked for may be written.  b: as columns_of says, (columns / LANES,
    inner, LANES) at each position.  sizes: (inner, columns).
    spans: (36, 6) the first and last (exclusive) of rows, inner and columns.
    """
    (inner, columns), whole = sizes, sizes[1] // LANES
    for p in range(first, last):
        top, bottom, start, stop, left, right = spans[p]
        left, right = left // LANES, -(-right // LANES)
        panels = b[p, : whole * inner].reshape(whole, inner, LANES)
        if right - left < whole:
            clear_columns(out[p, top:bottom], 0, left * LANES)
            clear_columns(out[p, top:bottom], right * LANES, columns)
        for row in range(top, bottom, PANEL):
            multiply(
                a[p, row : min(row + PANEL, bottom), start:stop],
                panels[left:right, start:stop],
                out[p, row:, left * LANES :],
            )


@uncounted
def add_some(a, b, sums, sizes, spans, first, begin, end):
    """sums[p, inner, columns] += a[p, rows, inner].T @ b[p, rows, columns] at the positions p = begin ..
    end-1; first: sums is not set yet, and then 0 beside these.

    a, spans: as those of multiply_some; b is as a.  sums: as rows_of says, of a's columns from `at` on.
    sizes: (at, how many of these, columns of b).
    """
    at, inner, columns = sizes
    for p in range(begin, end):
        top, bottom, start, stop, _, _ = spans[p]
        start = max(at, min(at + inner, start // LANES * LANES))
        stop = max(start, min(at + inner, -(-stop // LANES) * LANES))
        total = sums[p, :inner, :columns]
        if first:
            clear_columns(total[: start - at], 0, columns)
            clear_columns(total[(stop if top < bottom else start) - at :], 0, columns)
        add(a[p, top:bottom, start:stop], b[p, top:bottom], total[start - at : stop - at], first)


@uncounted
def clear_columns(rows, first, last):
    """rows[:, first:last] = 0, which as an assignment of slices takes Numba a second to compile."""
    for row in range(len(rows)):
        for column in range(first, last):
            rows[row, column] = 0


def products_of(count):
    """The loop that multiplies `count` rows by one vector of columns."""

    @uncounted
    def multiply_rows(a, row, b, column, out):
        size, inner = a.itemsize, a.shape[1]
        across, line = a.strides[0] // size, out.strides[0] // size
        panel = b.strides[0] // size * column
        place, zero = row * line + column * LANES, splat(out, out.dtype.type(0))
        for k in range(0, inner, DEPTH):
            sums = accumulate(
                copies(zero, count), a, row * across + k, across, 1,
                b, panel + k * LANES, LANES, min(DEPTH, inner - k),
            )  # fmt: skip
            for j in range(count):
                at = place + j * line
                store(out, at, sums[j] if k == 0 else load(out, at) + sums[j])

    return multiply_rows


many, few = products_of(ROWS), products_of(REST)


@uncounted
def multiply(a, b, out):
    """out = a @ b; up to REST - 1 rows more are written."""
    whole = len(a) // ROWS * ROWS
    for column in range(len(b)):
        for row in range(0, whole, ROWS):
            many(a, row, b, column, out)
        for row in range(whole, len(a), REST):
            few(a, row, b, column, out)


def sums_of(count, vectors):
    """The loop that adds products to `count` rows and so many vectors of columns of a total."""

    @uncounted
    def add_sums(a, b, total, k, column, begin):
        size = total.itemsize
        line = total.strides[0] // size
        across, down = a.strides[0] // size, b.strides[0] // size
        left = right = copies(splat(total, total.dtype.type(0)), count)
        for row in range(len(a)):
            place = row * down + column
            left = add_products_to(left, a, row * across + k, 1, load(b, place))
            if vectors == 2:
                right = add_products_to(right, a, row * across + k, 1, load(b, place + LANES))
        for j in range(count):
            at = (k + j) * line + column
            store(total, at, left[j] if begin else load(total, at) + left[j])
            if vectors == 2:
                at += LANES
                store(total, at, right[j] if begin else load(total, at) + right[j])

    return add_sums


add_many, add_few = sums_of(SUMS, WIDE), sums_of(LEFT, 1)


@uncounted
def add(a, b, total, first):
    """total += a.T @ b; first: instead of whatever it was."""
    # of 16, 32, ... rows, whole pairs of blocks leave whole ones of LEFT
    tall = len(total) // (2 * SUMS) * 2 * SUMS
    wide = total.shape[1] // (WIDE * LANES) * WIDE * LANES
    for row in range(0, len(a), DEPTH):
        some, same, begin = a[row : row + DEPTH], b[row : row + DEPTH], first and row == 0
        for strip in range(0, tall, STRIP):
            for column in range(0, wide, WIDE * LANES):
                for k in range(strip, min(tall, strip + STRIP), SUMS):
                    add_many(some, same, total, k, column, begin)
        for column in range(0, total.shape[1], LANES):
            for k in range(tall if column < wide else 0, len(total), LEFT):
                add_few(some, same, total, k, column, begin)
