"""Convolution as im2col and one matrix product on the threads of a CPU: any shape, and exact zeros.

A block of columns is made, multiplied and forgotten while it lies in the cache of the processor
that works on it.
"""

import functools
import math

import numpy as np

from ...machine.buffers import empty
from ...machine.numba_cache import loop
from ...machine.threads import cut, run_blocks, run_ranges, scratch

COLUMNS = 2 << 20  # bytes of a block of columns: it stays in the L2 cache
ACCUMULATORS = 8  # of the weight gradient, at most: by shapes, so that its sum has one order
# of dy for an accumulator, which is cleared and added up whatever it takes in
LEAST_POSITIONS = 256
ROWS = 1 << 14  # of dy, for one of the sums that the bias' gradient is the sum of
POINTWISE = (1, 1), (1, 1), (0, 0, 0, 0)  # size, stride and pad: x is its own columns
PRODUCTS = 40  # multiplications and additions a nanosecond, about


def supports(shape, forced=False, transposed=False):
    return True


def forward(x, weight, bias, window, y, fuse_relu=None):
    """y = im2col(x) @ weight + bias, block by block of output rows (counted through all images)."""
    rows, matrix = y.reshape(-1, *y.shape[2:]), weight.reshape(-1, weight.shape[3])

    def block(part):
        out = rows[part].reshape(-1, rows.shape[2])
        np.matmul(columns(x, part, window, y.shape[1:3]), matrix, out=out)
        if bias is not None:
            add_bias(out, bias, ceiling_of(fuse_relu, y))

    run_blocks(block, _blocks(len(rows), y.shape[2] * len(matrix), x.itemsize))


def transpose(dy, weight, window, dx):
    """dx = col2im(dy @ weight.T), in blocks of whole images."""
    (kh, kw), (sh, sw), (top, left) = window.size, window.stride, window.pad[:2]
    matrix = weight.reshape(-1, weight.shape[3]).T
    geometry = kh, kw, sh, sw, top, left

    def block(part):
        shape = (part.stop - part.start, *dy.shape[1:3], matrix.shape[1])
        dcolumns = scratch("dcolumns", shape, dy.dtype)
        np.matmul(dy[part].reshape(-1, len(matrix)), matrix, out=dcolumns.reshape(-1, shape[3]))
        if window.is_dilated:
            return col2im_dilated(dcolumns, dx[part], *geometry, *window.dilation)
        col2im(dcolumns, dx[part].reshape(len(dcolumns), dx.shape[1], -1), *geometry, dx.shape[3])

    run_blocks(block, _blocks(len(dy), math.prod(dy.shape[1:3]) * matrix.shape[1], dy.itemsize))


def weight_gradient(x, dy, window):
    """dweight = im2col(x).T @ dy, in some sums of their own, which are added in their order."""
    rows, filters = dy.reshape(-1, *dy.shape[2:]), dy.shape[3]
    length = math.prod(window.size) * x.shape[3]
    parts = _accumulators(len(rows), dy.shape[2], length, x.itemsize)
    sums = empty(x, (len(parts), length, filters))

    def block(index):
        for number, part in enumerate(parts[index]):
            out = scratch("product", (length, filters), x.dtype) if number else sums[index]
            given = columns(x, part, window, dy.shape[1:3])
            np.matmul(given.T, rows[part].reshape(-1, filters), out=out)
            if number:
                sums[index] += out

    run_blocks(block, range(len(parts)), rows.size * length / PRODUCTS)
    total = np.add.reduce(sums, axis=0, out=empty(x, (length, filters)))
    return total.reshape(*window.size, x.shape[3], filters)


@functools.lru_cache(1024)
def _accumulators(rows, width, length, itemsize):
    """For each accumulator of the weight gradient the rows of dy that it sums up, as slices of so
    many as a block of columns takes.
    """
    step = rows_a_block(width * length, itemsize, COLUMNS)
    return [
        [slice(start, min(start + step, part.stop)) for start in range(part.start, part.stop, step)]
        for part in cut(rows, split_k(rows, width))
    ]


def split_k(rows, width):
    """How many of dy's rows, of `width` positions, go into one accumulator of the weight gradient."""
    count = max(2, min(ACCUMULATORS, rows * width // LEAST_POSITIONS))
    return max(1, -(-rows // count))


def rows_a_block(elements, itemsize, most):
    """How many rows of so many elements of columns fit into `most` bytes, one at least."""
    return max(1, most // max(1, elements * itemsize))


@functools.lru_cache(1024)
def _blocks(rows, elements, itemsize):
    """Blocks of rows, of so many elements of columns each, that stay in the cache: slices."""
    return cut(rows, rows_a_block(elements, itemsize, COLUMNS))


def columns(x, part, window, out_size):
    """The columns of the output rows `part` (counted through all images): (rows * OW, KH * KW * C)."""
    if window[:3] == POINTWISE:
        return x.reshape(-1, *x.shape[2:])[part].reshape(-1, x.shape[3])
    (kh, kw), channels = window.size, x.shape[3]
    geometry = kh, kw, *window.stride, *window.pad[:2]
    out = scratch("columns", ((part.stop - part.start) * out_size[1], kh * kw * channels), x.dtype)
    if window.dilation != (1, 1):
        im2col_dilated(x, out, part.start, *out_size, *geometry, *window.dilation)
    else:
        im2col(x.reshape(*x.shape[:2], -1), out, part.start, *out_size, *geometry, channels)
    return out


def ceiling_of(fuse_relu, y):
    """What add_bias takes for a ReLU that is done in its pass, a ceiling or inf; for None, a number
    below 0.
    """
    return y.dtype.type(-1 if fuse_relu is None else fuse_relu)


def sum_of_rows(dy, gate=None):
    """dy (rows, F) -> (F,), the blocks' sums added in their order.

    gate: (y, ceiling), both contiguous: the sum of dy where 0 < y < ceiling, elsewhere 0, which dy is from then on.
    """
    dy, (y, ceiling) = np.ascontiguousarray(dy), gate or (dy, -1)
    sums = np.zeros((-(-len(dy) // ROWS), dy.shape[1]), dy.dtype)
    arguments = dy, y, dy.dtype.type(ceiling), sums
    run_ranges(sum_parts, len(sums), 1, arguments, dy.size / 4)
    return sums[0] if len(sums) == 1 else sums.sum(axis=0)


@loop
def sum_parts(first, last, thread, dy, y, ceiling, sums):
    """sums[i] = the sum of ROWS rows of dy; a ceiling below 0: there is no gate."""
    for i in range(first, last):
        part = slice(i * ROWS, (i + 1) * ROWS)
        if ceiling < 0:
            sum_rows(dy[part], sums[i])
        else:
            sum_gated_rows(dy[part], y[part], ceiling, sums[i])


@loop
def sum_rows(rows, total):
    """total += every row.  NumPy's sum over the first axis takes three times as long where rows are short."""
    for i in range(len(rows)):
        for f in range(rows.shape[1]):
            total[f] += rows[i, f]


@loop
def sum_gated_rows(rows, y, ceiling, total):
    """The way back of a ReLU, as relu_grad_block in relu.py, in place, and total += every row."""
    endless, zero = ceiling == np.inf, rows.dtype.type(0)
    for i in range(len(rows)):
        for f in range(rows.shape[1]):
            value = rows[i, f]
            rows[i, f] = value if (y[i, f] > 0) & ((y[i, f] < ceiling) | endless) else zero
        for f in range(rows.shape[1]):
            total[f] += rows[i, f]


@loop
def add_bias(y, bias, ceiling):
    """y (rows, F) += bias and, unless `ceiling` is below 0, y = min(max(y, 0), ceiling) in the same pass.

    A NaN stays NaN, as in relu.py.
    """
    zero = y.dtype.type(0)
    rectifies = ceiling >= zero
    for i in range(len(y)):
        for f in range(y.shape[1]):
            value = y[i, f] + bias[f]
            if rectifies:
                value = zero if value <= zero else value
                value = ceiling if value > ceiling else value
            y[i, f] = value


@loop
def im2col(x, columns, first, oh, ow, kh, kw, sh, sw, top, left, channels):
    """Copy each window to its row of columns; a window's row of pixels is one run of memory,
    cropped at the border.
    """
    run = kw * channels
    end = x.shape[2]
    for row in range(columns.shape[0]):
        g, ox = divmod(row, ow)
        n, oy = divmod(first + g, oh)
        start = (ox * sw - left) * channels
        low, high = max(0, -start), min(run, end - start)
        for ky in range(kh):
            y = oy * sh - top + ky
            out = columns[row, ky * run : (ky + 1) * run]
            if y < 0 or y >= x.shape[1] or high <= low:
                for i in range(run):
                    out[i] = 0
                continue
            for i in range(low):
                out[i] = 0
            line = x[n, y, start + low : start + high]
            for i in range(high - low):
                out[low + i] = line[i]
            for i in range(high, run):
                out[i] = 0


@loop
def col2im(dcolumns, dx, kh, kw, sh, sw, top, left, channels):
    """Add each row of columns to its window, in reading order of the windows: the transpose of im2col."""
    run = kw * channels
    end = dx.shape[2]
    dx[:] = 0
    for n in range(dcolumns.shape[0]):
        for oy in range(dcolumns.shape[1]):
            for ox in range(dcolumns.shape[2]):
                start = (ox * sw - left) * channels
                low, high = max(0, -start), min(run, end - start)
                for ky in range(max(0, top - oy * sh), min(kh, dx.shape[1] + top - oy * sh)):
                    if high > low:
                        line = dx[n, oy * sh - top + ky, start + low : start + high]
                        column = dcolumns[n, oy, ox, ky * run + low : ky * run + high]
                        for i in range(high - low):
                            line[i] += column[i]


@loop
def im2col_dilated(x, columns, first, oh, ow, kh, kw, sh, sw, top, left, apart_y, apart_x):
    """The same for windows with holes: a cell is a run of its own."""
    height, width, channels = x.shape[1:]
    for row in range(columns.shape[0]):
        g, ox = divmod(row, ow)
        n, oy = divmod(first + g, oh)
        for ky in range(kh):
            iy = oy * sh - top + ky * apart_y
            for kx in range(kw):
                ix, start = ox * sw - left + kx * apart_x, (ky * kw + kx) * channels
                inside = 0 <= iy < height and 0 <= ix < width
                for c in range(channels):  # as slices, Numba takes seconds to compile it
                    columns[row, start + c] = x[n, iy, ix, c] if inside else 0


@loop
def col2im_dilated(dcolumns, dx, kh, kw, sh, sw, top, left, apart_y, apart_x):
    """The transpose of im2col_dilated: each cell is added back, in reading order of the windows."""
    height, width, channels = dx.shape[1:]
    dx[:] = 0
    for n in range(dcolumns.shape[0]):
        for oy in range(dcolumns.shape[1]):
            for ox in range(dcolumns.shape[2]):
                for ky in range(kh):
                    iy = oy * sh - top + ky * apart_y
                    for kx in range(kw):
                        ix, start = ox * sw - left + kx * apart_x, (ky * kw + kx) * channels
                        if 0 <= iy < height and 0 <= ix < width:
                            for c in range(channels):
                                dx[n, iy, ix, c] += dcolumns[n, oy, ox, start + c]
