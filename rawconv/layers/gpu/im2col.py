"""Convolution on a GPU, for one group of filters: im2col, by the kernels beside this file, and a
matrix product.

cpu/gemm.py says the same in NumPy and has the kernels' twins.
execution: its workspace is how many bytes the columns may take, whatever the batch; they are made,
multiplied and forgotten block by block.
"""

import functools
import math

from ...machine.arrays import array_module
from ...machine.buffers import zeros
from ...machine.kernels import launch
from ...machine.threads import cut
from .. import GEMM
from ..cpu import Passes, gemm
from .product import product


@functools.cache
def passes(execution):
    """The three functions, for an Execution."""
    three = (
        functools.partial(function, execution=execution)
        for function in (forward, transpose, weight_gradient)
    )
    return Passes(*three, exact=True)


def forward(x, weight, bias, window, y, fuse_relu=None, execution=GEMM):
    """y = im2col(x) @ weight + bias, block by block of output rows (counted through all images).

    fuse_relu: and min(max(y, 0), fuse_relu), in the pass that adds the bias.
    """
    matrix = weight.reshape(-1, weight.shape[3])
    if is_its_columns(window, x):
        rows = y.reshape(-1, y.shape[3])
        product(x.reshape(-1, len(matrix)), matrix, rows, execution.tf32)
        return add_bias(rows, bias, fuse_relu)
    rows = y.reshape(-1, *y.shape[2:])
    for part in cut(
        len(rows), gemm.rows_a_block(y.shape[2] * len(matrix), x.itemsize, execution.workspace)
    ):
        out = rows[part].reshape(-1, rows.shape[2])
        product(columns(x, part, window, y.shape[1:3]), matrix, out, execution.tf32)
        add_bias(out, bias, fuse_relu)


def transpose(dy, weight, window, dx, execution=GEMM):
    """dx = col2im(dy @ weight.T), in blocks of whole images.

    Where a single one's columns exceed the workspace, in blocks of rows of dx: a window that
    reaches into two blocks is computed for both, and a block is one row at least.
    """
    matrix = weight.reshape(-1, weight.shape[3]).T
    if is_its_columns(window, dx):
        product(
            dy.reshape(-1, len(matrix)), matrix, dx.reshape(-1, matrix.shape[1]), execution.tf32
        )
        return
    rows = gemm.rows_a_block(dy.shape[2] * matrix.shape[1], dy.itemsize, execution.workspace)
    step = (
        dx.shape[1] if rows >= dy.shape[1] else max(1, rows * window.stride[0] - window.span[0] + 1)
    )
    for images in cut(len(dy), max(1, rows // dy.shape[1])):
        for part in cut(dx.shape[1], step):
            low, high = _rows_that_reach(part, window, dy.shape[1])
            if low == high:
                dx[images, part] = 0
                continue
            some = dy[images, low:high]
            dcolumns = product(some.reshape(-1, len(matrix)), matrix, tf32=execution.tf32)
            dcolumns = dcolumns.reshape(*some.shape[:3], matrix.shape[1])
            add_columns(
                dcolumns,
                window,
                dx[images, part],
                window.pad[0] + part.start - low * window.stride[0],
            )


def weight_gradient(x, dy, window, execution=GEMM):
    """dweight = im2col(x).T @ dy: one product, or one for each block of columns, added in their order."""
    shape = (*window.size, x.shape[3], dy.shape[3])
    length, filters = math.prod(shape[:3]), shape[3]
    if is_its_columns(window, x):
        return product(
            x.reshape(-1, length).T, dy.reshape(-1, filters), tf32=execution.tf32
        ).reshape(shape)
    rows = dy.reshape(-1, *dy.shape[2:])
    step = gemm.rows_a_block(dy.shape[2] * length, x.itemsize, execution.workspace)
    total = None
    for part in cut(len(rows), step):
        # The columns are not kept under a name, or they would live beside those of the next block.
        found = product(
            columns(x, part, window, dy.shape[1:3]).T,
            rows[part].reshape(-1, filters),
            tf32=execution.tf32,
        )
        total = found if total is None else array_module(x).add(total, found, out=total)
    return zeros(x, shape) if total is None else total.reshape(shape)


def is_its_columns(window, x):
    """Whether the columns are x itself: one window over all of it, or one over each position."""
    return window.covers(x.shape[1:]) or window.is_pointwise


def add_bias(y, bias, fuse_relu=None):
    """y (rows, F) += bias; with `fuse_relu` y = min(max(y, 0), fuse_relu) in the same pass."""
    launch(CU, "add_bias", y.size, y, bias, len(bias), gemm.ceiling_of(fuse_relu, y))


def columns(x, part, window, out_size):
    """The columns of the output rows `part` (counted through all images): (rows * OW, KH * KW * C)."""
    out = array_module(x).empty(
        ((part.stop - part.start) * out_size[1], math.prod(window.size) * x.shape[3]), x.dtype
    )
    geometry = *x.shape[1:], *out_size, *window.size, *window.stride, *window.pad[:2]
    kernel, *apart = ("im2col_dilated", *window.dilation) if window.is_dilated else ("im2col",)
    launch(CU, kernel, out.size, x, out, geometry, part.start, *apart)
    return out


def add_columns(dcolumns, window, dx, top):
    """Add each row of columns back to its window in dx, whose first row lies `top` rows below that
    of the windows.
    """
    geometry = *dx.shape[1:], *dcolumns.shape[1:3], *window.size, *window.stride, top, window.pad[1]
    kernel, *apart = ("col2im_dilated", *window.dilation) if window.is_dilated else ("col2im",)
    launch(CU, kernel, dx.size, dcolumns, dx, geometry, *apart)


def _rows_that_reach(part, window, count):
    """(low, high): the output rows, of `count`, whose windows hold any of the rows `part`."""
    size, stride, top = window.span[0], window.stride[0], window.pad[0]
    low = min(count, max(0, (part.start + top - size) // stride + 1))
    return low, max(low, min(count, (part.stop - 1 + top) // stride + 1))


CU = __file__.replace(".py", ".cu")
