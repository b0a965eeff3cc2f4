"""Convolution, as one matrix product over the columns of the input.  A fully connected layer is a Conv whose filter
covers its whole input, so nothing special is needed to go down through fc6 or fc7.

Up, every output place takes its KH x KW x C window as one row of `columns`, and y = columns @ weight + bias.
The product is linear, so both ways down are its transpose: dcolumns = dy @ weight.T, each row added back to its window.
"""

import numba
import numpy as np

from ..arrays import array_module, launch, on_cpu
from ..threads import cut, run_blocks, scratch
from . import PAPER, conv_cpu
from .window import Window

COLUMN_BYTES = {"cpu": 2 << 20, "gpu": 256 << 20}  # one block of columns: inside the L2 cache, inside the workspace
GRADIENT_BLOCKS = 8  # accumulators of the weight gradient: a constant, so that its sum has one order


class Conv:
    """y[n,i,j,f] = bias[f] + sum over k,l,c of x[n, i*s+k-pad, j*s+l-pad, c] * weight[k,l,c,f].  Paper, section 2.

    filters: F. size: KH (or (KH, KW)); None covers the whole input (fully connected). pad: pixels, an int,
    (rows, columns) or (top, left, bottom, right). rounding "ceil" (cuda-convnet; the missing zeros lie right and bottom)
    or "floor" (PyTorch, Caffe). groups: filters of group g see the channels of group g only (Krizhevsky 2012).
    std: the weights start as N(0, std^2), the biases at 0; "he" is sqrt(2 / fan-in) (He 2015).
    Cross-correlation, as everywhere in deep learning; the filters are not flipped on the way up.

    conv, to be set on the layer: "gemm" (im2col and one product), "winograd" (3x3 filters of stride 1, on the CPU, see
    conv_cpu.py), or "auto", which chooses by the shapes alone.
    """

    conv = "auto"

    def __init__(self, filters, size, stride=1, pad=0, groups=1, rounding="ceil", std=0.01):
        if filters % groups:
            raise ValueError(f"{filters} filters cannot be split into {groups} groups; choose a multiple.")
        self.filters, self.groups, self.std = filters, groups, std
        self._window = (size, stride, pad, rounding)
        self.window = None if size is None else Window.of(size, stride, pad, rounding)
        self.weight = self.bias = None

    @property
    def settings(self):
        size, stride, pad, rounding = self.window or self._window
        return {
            "filters": self.filters, "size": size, "stride": stride, "pad": pad,
            "groups": self.groups, "rounding": rounding, "std": self.std,
        }  # fmt: skip

    @property
    def params(self):
        return {"weight": self.weight, "bias": self.bias}

    def build(self, shape, rng, dtype="float32"):
        """Allocate weight (KH, KW, C // groups, F) and bias (F,) for pictures of `shape` (H, W, C), drawn from `rng`."""
        height, width, channels = shape
        if self.window is None:
            self.window = Window.of((height, width), *self._window[1:])
        if channels % self.groups:
            raise ValueError(f"{channels} channels cannot be split into {self.groups} groups.")
        size = (*self.window.size, channels // self.groups, self.filters)
        std = np.sqrt(2 / np.prod(size[:3])) if self.std == "he" else self.std
        self.weight = (rng.standard_normal(size, np.float32) * np.float32(std)).astype(dtype)
        self.bias = np.zeros(self.filters, dtype)

    def out_shape(self, shape):
        height, width, channels = shape
        if self.weight is not None and channels != self.weight.shape[2] * self.groups:
            expected = self.weight.shape[2] * self.groups
            raise ValueError(f"This convolution takes {expected} channels, the input has {channels}.")
        window = self.window or Window.of((height, width), *self._window[1:])
        return (*window.out_size(height, width), self.filters)

    def forward(self, x, draw=None):
        """y = columns @ weight + bias; cache = x."""
        y = array_module(x).empty((len(x), *self.out_shape(x.shape[1:])), x.dtype)
        for x_part, y_part, weight, bias in self._by_group(x, y):
            convolve(x_part, weight, bias, self.window, y_part, self.conv)
        return y, x

    def backward(self, dy, x):
        """dx = dcolumns added back to their windows; grads: weight columns.T @ dy, bias the sum of dy."""
        return self._transpose(dy, x), self.parameter_gradients(dy, x)

    def parameter_gradients(self, dy, x):
        """The second half of backward: all that the first layer of a net needs."""
        dweight = array_module(x).empty(self.weight.shape, x.dtype)
        for x_part, dy_part, dweight_part, _ in self._by_group(x, dy, dweight):
            weight_gradient(x_part, dy_part, self.window, dweight_part, self.conv)
        return {"weight": dweight, "bias": dy.reshape(-1, self.filters).sum(axis=0)}

    def deconv(self, r, x, rules=PAPER):
        """The same filters, transposed, no bias: the way back and the way down are one.  Paper, section 2.1, "Filtering"."""
        return self._transpose(r, x)

    def _transpose(self, dy, x):
        dx = array_module(dy).empty((len(dy), *x.shape[1:]), dy.dtype)
        for dx_part, dy_part, weight, _ in self._by_group(dx, dy):
            convolve_transpose(dy_part, weight, self.window, dx_part, self.conv)
        return dx

    def _by_group(self, x, y, weight=None):
        weight = self.weight if weight is None else weight
        if self.groups == 1:
            return [(x, y, weight, self.bias)]
        channels, filters = weight.shape[2], self.filters // self.groups
        parts = [slice(g * filters, (g + 1) * filters) for g in range(self.groups)]
        return [
            (x[..., g * channels : (g + 1) * channels], y[..., part], weight[..., part], self.bias[part])
            for g, part in enumerate(parts)
        ]


# The four operations, for one group.  x, y, dx, dy, weight may be slices of larger arrays.


def convolve(x, weight, bias, window, y, conv="gemm"):
    """y = im2col(x) @ weight + bias, written into y, block by block of output rows."""
    if _by_winograd(weight, window, x, conv):
        return conv_cpu.winograd(x, weight, bias, window.pad, y)
    xp = array_module(x)
    x, weight = xp.ascontiguousarray(x), weight.reshape(-1, weight.shape[-1])
    if x[:1].size == len(weight) and not any(window.pad):
        return _dense(x.reshape(len(x), -1), weight, bias, y.reshape(len(x), -1))
    width = y.shape[2]
    rows = y.reshape(-1, width, y.shape[3])

    def block(part):
        columns = _columns(x, part, window, y.shape[1:3])
        out = rows[part].reshape(-1, rows.shape[2])
        xp.matmul(columns, weight, out=out)
        if bias is not None:
            out += bias

    _run(block, cut(len(rows), _rows_a_block(x, width * len(weight))), x)


def convolve_transpose(dy, weight, window, dx, conv="gemm"):
    """dx = col2im(dy @ weight.T), written into dx: the exact transpose of convolve without its bias."""
    kh, kw, channels, filters = weight.shape
    top, left = window.pad[:2]
    if dx[:1].size == weight[..., 0].size and not any(window.pad):
        matrix = weight.reshape(-1, filters).T
        return _dense(dy.reshape(len(dy), -1), matrix, None, dx.reshape(len(dx), -1))
    if window.stride == (1, 1) and top < kh and left < kw and on_cpu(dx):
        # A transposed convolution of stride 1 is a convolution of the padded dy with the filters turned by 180 degrees.
        flipped = weight[::-1, ::-1].swapaxes(2, 3)
        pads = (kh - 1 - top, kw - 1 - left)
        ends = (dx.shape[1] - dy.shape[1] + top, dx.shape[2] - dy.shape[2] + left)
        return convolve(dy, np.ascontiguousarray(flipped), None, Window((kh, kw), (1, 1), (*pads, *ends)), dx, conv)
    xp = array_module(dy)
    dy, matrix = xp.ascontiguousarray(dy), weight.reshape(-1, filters).T

    def block(part):
        shape = (len(dy[part]), *dy.shape[1:3], len(matrix.T))
        dcolumns = scratch("dcolumns", shape, dy.dtype) if on_cpu(dy) else xp.empty(shape, dy.dtype)
        xp.matmul(dy[part].reshape(-1, filters), matrix, out=dcolumns.reshape(-1, shape[-1]))
        _col2im(dcolumns, window, dx[part])

    _run(block, cut(len(dy), _rows_a_block(dy, dy[0, ..., 0].size * matrix.shape[1] if len(dy) else 1)), dx)


def weight_gradient(x, dy, window, dweight, conv="gemm"):
    """dweight = im2col(x).T @ dy, summed in a fixed order whatever the threads."""
    if _by_winograd(dweight, window, x, conv):
        return conv_cpu.winograd_weight_gradient(x, dy, window.pad, dweight)
    xp = array_module(x)
    x, dy = xp.ascontiguousarray(x), xp.ascontiguousarray(dy)
    filters = dy.shape[3]
    if x[:1].size == dweight[..., 0].size and not any(window.pad):
        dense = xp.empty((x[:1].size, filters), x.dtype)
        _dense_weight_gradient(x.reshape(len(x), -1), dy.reshape(-1, filters), dense)
        dweight[...] = dense.reshape(dweight.shape)
        return
    rows = dy.reshape(-1, dy.shape[2], filters)
    length = dweight[..., 0].size
    step = _rows_a_block(x, dy.shape[2] * length)
    big = cut(len(rows), max(1, -(-len(rows) // GRADIENT_BLOCKS)))
    sums = xp.zeros((len(big), length, filters), x.dtype)

    def block(index):
        for part in cut(big[index].stop - big[index].start, step):
            part = slice(big[index].start + part.start, big[index].start + part.stop)
            columns = _columns(x, part, window, dy.shape[1:3])
            sums[index] += xp.matmul(columns.T, rows[part].reshape(-1, filters))

    _run(block, range(len(big)), x)
    dweight[...] = sums.sum(axis=0).reshape(dweight.shape)


def _by_winograd(weight, window, x, conv):
    if conv not in ("auto", "gemm", "winograd"):
        raise ValueError(f"conv {conv!r} is not one of: auto, gemm, winograd.")
    can, faster = conv_cpu.suits(weight, window)
    return on_cpu(x) and can and (conv == "winograd" or (conv == "auto" and faster))


def _dense(x, weight, bias, y):
    """y = x @ weight + bias where one window is the whole picture: cut by filters, since there are few rows."""
    xp = array_module(x)

    def block(part):
        y[:, part] = x @ weight[:, part] if bias is None else x @ weight[:, part] + bias[part]

    _run(block, cut(weight.shape[1], max(64, weight.shape[1] // 8)) if xp is np else [slice(None)], x)


def _dense_weight_gradient(x, dy, dweight):
    def block(part):
        np_or_cupy.matmul(x[:, part].T, dy, out=dweight[part])

    np_or_cupy = array_module(x)
    _run(block, cut(len(dweight), max(64, len(dweight) // 8)) if on_cpu(x) else [slice(None)], x)


def _run(block, parts, x):
    if on_cpu(x):
        return run_blocks(block, parts)
    for part in parts:
        block(part)


def _rows_a_block(x, elements_a_row):
    budget = COLUMN_BYTES["cpu" if on_cpu(x) else "gpu"]
    return max(1, budget // max(1, elements_a_row * x.dtype.itemsize))


def _columns(x, part, window, out_size):
    """The columns of the output rows `part` (counted through all pictures): (rows * OW, KH * KW * C)."""
    (kh, kw), (sh, sw), (top, left) = window.size, window.stride, window.pad[:2]
    oh, ow = out_size
    shape = ((part.stop - part.start) * ow, kh * kw * x.shape[3])
    if on_cpu(x):
        columns = scratch("columns", shape, x.dtype)
        im2col(x.reshape(*x.shape[:2], -1), columns, part.start, oh, ow, kh, kw, sh, sw, top, left, x.shape[3])
        return columns
    columns = array_module(x).empty(shape, x.dtype)
    launch(CU, "im2col", columns.size, x, columns, *x.shape[1:], part.start, oh, ow, kh, kw, sh, sw, top, left)
    return columns


def _col2im(dcolumns, window, dx):
    (kh, kw), (sh, sw), (top, left) = window.size, window.stride, window.pad[:2]
    if on_cpu(dx):
        whole = dx if dx.flags.c_contiguous else np.empty(dx.shape, dx.dtype)
        col2im(dcolumns, whole.reshape(*dx.shape[:2], -1), kh, kw, sh, sw, top, left, dx.shape[3])
        if whole is not dx:
            dx[...] = whole
        return
    whole = array_module(dx).empty(dx.shape, dx.dtype)
    oh, ow = dcolumns.shape[1:3]
    launch(CU, "col2im", dx.size, dcolumns, whole, *dx.shape[1:], oh, ow, kh, kw, sh, sw, top, left)
    dx[...] = whole


CU = __file__.replace("conv.py", "conv.cu")


@numba.njit(nogil=True, cache=True)
def im2col(x, columns, first, oh, ow, kh, kw, sh, sw, top, left, channels):
    """Copy each window to its row of columns; a window's row of pixels is one run of memory, cropped at the border."""
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


@numba.njit(nogil=True, cache=True)
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
