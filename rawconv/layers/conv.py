"""Convolution, as one matrix product over the columns of the input.  A fully connected layer is a Conv whose filter
covers its whole input, so nothing special is needed to go down through fc6 or fc7.

Up, every output place takes its KH x KW x C window as one row of `columns`, and y = columns @ weight + bias.
The product is linear, so both ways down are its transpose: dcolumns = dy @ weight.T, each row added back to its window.
"""

import math

import numpy as np

from ..files.schema import MOST_FILTERS, Record, either, number, whole
from ..machine.arrays import array_module, launch, on_cpu, to_cpu
from ..machine.buffers import empty, zeros
from ..machine.numba_cache import loop
from ..machine.threads import cut, run_blocks, scratch
from . import PAPER, Layer
from .cpu import choice, dense, direct
from .memory import convolution_memory
from .relu import relu
from .window import WINDOW, Window

CPU_COLUMNS = 2 << 20  # bytes of a block of columns there: it stays in the L2 cache
CONVS = ("auto", "gemm", "winograd", "direct")
WORKSPACE = 256 << 20  # bytes of the column buffer on a GPU
GRADIENT_BLOCKS = 8  # accumulators of the weight gradient, at most: by shapes, so that its sum has one order
PLACES_A_BLOCK = 256  # of dy, at least: an accumulator is cleared and added up whatever it takes in


class Conv(Layer):
    """y[n,i,j,f] = bias[f] + sum over k,l,c of x[n, i*s+k-pad, j*s+l-pad, c] * weight[k,l,c,f].  Paper, section 2.

    filters: F. size: KH (or (KH, KW)); None covers the whole input (fully connected). pad: pixels, an int,
    (rows, columns) or (top, left, bottom, right). ceil_mode: sizes are rounded up (cuda-convnet;
    the missing zeros lie right and bottom), else down (PyTorch, Caffe).
    groups: filters of group g see the channels of group g only (Krizhevsky 2012).
    init_std: the weights start as N(0, std^2), the biases at 0; "he" is sqrt(2 / fan-in) (He 2015).
    Cross-correlation, as everywhere in deep learning; the filters are not flipped on the way up.

    conv, to be set on the layer: "gemm" (im2col and one product), on the CPU "winograd" (3x3 filters and what can be
    folded to them, see cpu/choice.py) and "direct" (few channels, cpu/direct.py), which are "gemm" where they do not
    fit, or "auto", which chooses by the shapes alone.
    workspace, likewise: bytes that the columns may take on a GPU, whatever the batch; they are made block by block.
    """

    limits = Record(WINDOW | dict.fromkeys(("filters", "groups"), whole(1, MOST_FILTERS)) | {
        "init_std": either(number(), "he")
    })  # fmt: skip
    fuses_relu, named, verb, border = True, "rectified", "filter", 0.0
    conv = "auto"
    workspace = WORKSPACE

    def __init__(self, filters, size, stride=1, pad=0, groups=1, ceil_mode=True, init_std=0.01):
        if filters % groups:
            raise ValueError(f"{filters} filters cannot be split into {groups} groups; choose a multiple.")
        self.filters, self.groups, self.init_std = filters, groups, init_std
        self._window = (size, stride, pad, ceil_mode)
        self.window = None if size is None else Window.of(size, stride, pad, ceil_mode)
        self.weight = self.bias = None

    @property
    def settings(self):
        size, stride, pad, ceil_mode = self.window or self._window
        return {
            "filters": self.filters, "size": size, "stride": stride, "pad": pad,
            "groups": self.groups, "ceil_mode": ceil_mode, "init_std": self.init_std,
        }  # fmt: skip

    @property
    def params(self):
        return {"weight": self.weight, "bias": self.bias}

    def build(self, shape, rng, dtype="float32"):
        """Draw weight (KH, KW, C // groups, F) from `rng`, for images of `shape` (H, W, C); bias (F,) is 0.

        Nothing where it has a weight.
        """
        if self.weight is not None:
            return
        if self.window is None:
            self.window = Window.of(shape[:2], *self._window[1:])
        size = self.param_shapes(shape)["weight"]
        std = np.sqrt(2 / np.prod(size[:3])) if self.init_std == "he" else self.init_std
        self.weight = (rng.standard_normal(size, np.float32) * np.float32(std)).astype(dtype)
        self.bias = np.zeros(self.filters, dtype)

    def param_shapes(self, shape):
        """{"weight": (KH, KW, C // groups, F), "bias": (F,)} for images of `shape` (H, W, C)."""
        height, width, channels = shape
        if channels % self.groups:
            raise ValueError(f"{channels} channels cannot be split into {self.groups} groups.")
        size = self.window.size if self.window else (height, width)
        return {"weight": (*size, channels // self.groups, self.filters), "bias": (self.filters,)}

    def out_shape(self, shape):
        height, width, channels = shape
        if self.weight is not None and channels != self.weight.shape[2] * self.groups:
            expected = self.weight.shape[2] * self.groups
            raise ValueError(f"This convolution takes {expected} channels, the input has {channels}.")
        window = self.window or Window.of((height, width), *self._window[1:])
        return (*window.out_size(height, width), self.filters)

    def forward(self, x, rng_key=None, fuse_relu=False):
        """y = columns @ weight + bias; cache = x.  fuse_relu: y = max(that, 0), the same bits as a ReLU's after it."""
        self.out_shape(x.shape[1:])

        def group(c, f):
            return convolve(x[..., c], self.weight[..., f], self.bias[f], *self._how, fuse_relu)

        return self._each_group(group, x), x

    def backward(self, dy, x):
        """dx = dcolumns added back to their windows; grads: weight columns.T @ dy, bias the sum of dy."""
        return self.transpose(dy, x.shape[1:3]), self.parameter_gradients(dy, x)

    def parameter_gradients(self, dy, x):
        """The second half of backward: all that the first layer of a net needs."""
        dweight = self._each_group(lambda c, f: weight_gradient(x[..., c], dy[..., f], *self._how), x)
        return {"weight": dweight, "bias": _sum_of_rows(dy.reshape(-1, self.filters))}

    def deconv(self, r, x, rules=PAPER):
        """The same filters, transposed, no bias: the way back and down are one.  Paper, section 2.1, "Filtering"."""
        return self.transpose(r, x.shape[1:3], exact_zeros=True)

    def transpose(self, dy, size, exact_zeros=False):
        """dy (N, OH, OW, F) -> dx (N, *size, C).  All that this way needs of x is its size."""

        def group(c, f):
            return convolve_transpose(dy[..., f], self.weight[..., f], size, *self._how, exact_zeros)

        return self._each_group(group, dy)

    def memory(self, step):
        return convolution_memory(self, step, rows_a_share)

    def to_onnx(self, graph, name):
        """Rounding up becomes padding; one window over the whole input becomes a product."""
        weight, bias = to_cpu(self.weight).transpose(3, 2, 0, 1), to_cpu(self.bias)
        if self.groups == 1 and self.window.covers(graph.shape):
            return graph.add_product(name, weight.reshape(len(weight), -1), bias)
        pads, sizes = self.window.floor_pads(graph.shape, graph.out), {"kernel_shape": self.window.size}
        graph.add(name, "Conv", weight, bias, group=self.groups, strides=self.window.stride, pads=pads, **sizes)

    @property
    def _how(self):
        return self.window, self.conv, self.workspace

    def _each_group(self, function, x):
        """function(its channels, its filters) of each group, side by side along the last axis."""
        channels, filters = self.weight.shape[2], self.filters // self.groups
        parts = [
            function(slice(g * channels, (g + 1) * channels), slice(g * filters, (g + 1) * filters))
            for g in range(self.groups)
        ]
        return parts[0] if self.groups == 1 else array_module(x).concatenate(parts, axis=-1)


# The three operations, for one group.


def convolve(x, weight, bias, window, conv="gemm", workspace=WORKSPACE, fuse_relu=False):
    """y = im2col(x) @ weight + bias, block by block of output rows (counted through all pictures).

    fuse_relu: and max(y, 0), in the pass that adds the bias; after "winograd" and "direct" in one of its own.
    """
    xp = array_module(x)
    x, matrix = xp.ascontiguousarray(x), weight.reshape(-1, weight.shape[3])
    y = empty(x, (len(x), *window.out_size(*x.shape[1:3]), weight.shape[3]))
    if window.covers(x.shape[1:]):
        rows = x.reshape(len(x), len(matrix))
        rows = dense.full(rows, matrix) if on_cpu(x) else rows @ matrix
        _add_bias(rows, bias, fuse_relu)
        return rows.reshape(y.shape)
    way = _way(conv, x, weight.shape, window, y.shape[1:3])
    if way != "gemm":
        (direct.direct if way == "direct" else choice.winograd)(x, weight, bias, window, y)
        return relu(y, y) if fuse_relu else y
    rows = y.reshape(-1, *y.shape[2:])

    def block(part):
        out = rows[part].reshape(-1, rows.shape[2])
        xp.matmul(_columns(x, part, window, y.shape[1:3]), matrix, out=out)
        _add_bias(out, bias, fuse_relu)

    _run(block, cut(len(rows), _rows_a_block(x, y.shape[2] * len(matrix), workspace)), x)
    return y


def convolve_transpose(dy, weight, size, window, conv="gemm", workspace=WORKSPACE, exact_zeros=False):
    """dx = col2im(dy @ weight.T) on a map of `size` (H, W): the exact transpose of convolve without its bias.

    In blocks of whole pictures.  Where a single one's columns exceed the workspace of a GPU, in blocks of rows of dx:
    a window that reaches into two blocks is computed for both, and a block is one row at least.

    exact_zeros: dx is exactly 0 wherever no dy but 0 reaches, as a sum of such products is, by Winograd as well.  A
    ReLU below would let through half of its rounding errors, and where nothing else is left they would be displayed at
    full contrast.
    """
    xp = array_module(dy)
    (kh, kw), channels, filters = window.size, *weight.shape[2:]
    top, left = window.pad[:2]
    dy, matrix = xp.ascontiguousarray(dy), weight.reshape(-1, filters).T
    dx = empty(dy, (len(dy), *size, channels))
    if window.covers(dx.shape[1:]):
        rows = dy.reshape(len(dy), filters)
        return (dense.full_transpose(rows, matrix.T) if on_cpu(dy) else rows @ matrix).reshape(dx.shape)
    folded = [-(-length // stride) for length, stride in zip(size, window.stride, strict=True)]
    if window.stride != (1, 1) and _way(conv, dy, weight.shape, window, dy.shape[1:3], folded) == "winograd":
        choice.winograd_transpose(dy, weight, window, dx)
        if exact_zeros:
            clear_unreached(dx, dy, weight, window)
        return dx
    spread = size[0] * size[1] / max(1, dy.shape[1] * dy.shape[2])
    if on_cpu(dy) and window.stride == (1, 1) and top < kh and left < kw and (spread < 1.9 or conv == "winograd"):
        # A transposed convolution of stride 1 is a convolution of the padded dy with the filters turned by 180 degrees.
        # Where dx is much larger, as in small windows (windowed.py), that would multiply mostly zeros.
        turned = np.ascontiguousarray(weight[::-1, ::-1].swapaxes(2, 3))
        ends = (size[0] - dy.shape[1] + top, size[1] - dy.shape[2] + left)
        flipped = Window((kh, kw), (1, 1), (kh - 1 - top, kw - 1 - left, *ends))
        dx = convolve(dy, turned, None, flipped, conv)
        if exact_zeros and _way(conv, dy, turned.shape, flipped, size) == "winograd":
            clear_unreached(dx, dy, weight, window)
        return dx

    def block(part, first=0, last=size[0]):
        """dx[part, first:last], from the output rows low .. high-1, whose windows reach it."""
        low, high = _rows_that_reach(first, last, window, dy.shape[1])
        shape = (part.stop - part.start, high - low, dy.shape[2], matrix.shape[1])
        dcolumns = scratch("dcolumns", shape, dy.dtype) if on_cpu(dy) else xp.empty(shape, dy.dtype)
        xp.matmul(dy[part, low:high].reshape(-1, filters), matrix, out=dcolumns.reshape(-1, shape[3]))
        _col2im(dcolumns, window, dx[part, first:last], top + first - low * window.stride[0])

    rows = _rows_a_block(dy, dy.shape[2] * matrix.shape[1], workspace)
    if on_cpu(dy) or rows >= dy.shape[1]:
        _run(block, cut(len(dy), max(1, rows // dy.shape[1])), dy)
    else:
        step = max(1, rows * window.stride[0] - kh + 1)
        for picture in cut(len(dy), 1):
            for part in cut(size[0], step):
                block(picture, part.start, part.stop)
    return dx


def clear_unreached(dx, dy, weight, window):
    """Set to 0 what transposed filters do not reach from where dy is not 0: what Winograd leaves there is rounding."""
    taps, alive = weight.any(axis=(2, 3)), dy.any(axis=3)
    some = np.flatnonzero(~alive.all(axis=(1, 2))) if taps.all() else np.arange(len(dy))
    if len(some):
        ones = alive[some, ..., None].astype(dy.dtype), taps[..., None, None].astype(dy.dtype)
        n, i, j, _ = np.nonzero(convolve_transpose(*ones, dx.shape[1:3], window) == 0)
        dx[some[n], i, j] = 0


def _rows_that_reach(first, last, window, count):
    """(low, high): the output rows, of `count`, whose windows hold any of the rows first .. last-1."""
    size, stride, top = window.size[0], window.stride[0], window.pad[0]
    low = min(count, max(0, (first + top - size) // stride + 1))
    return low, max(low, min(count, (last - 1 + top) // stride + 1))


def weight_gradient(x, dy, window, conv="gemm", workspace=WORKSPACE):
    """dweight = im2col(x).T @ dy, summed in a fixed order whatever the threads."""
    xp = array_module(x)
    x, dy = xp.ascontiguousarray(x), xp.ascontiguousarray(dy)
    channels, filters = x.shape[3], dy.shape[3]
    shape = (*window.size, channels, filters)
    if window.covers(x.shape[1:]):
        rows, drows = x.reshape(len(x), math.prod(shape[:3])), dy.reshape(len(dy), filters)
        return (dense.full_weight_gradient(rows, drows) if on_cpu(x) else rows.T @ drows).reshape(shape)
    way = _way(conv, x, shape, window, dy.shape[1:3])
    if way == "direct":
        return direct.direct_weight_gradient(x, dy, window, GRADIENT_BLOCKS)
    if way == "winograd":
        return choice.winograd_weight_gradient(x, dy, window)
    rows, length = dy.reshape(-1, *dy.shape[2:]), math.prod(shape[:3])
    step = _rows_a_block(x, dy.shape[2] * length, workspace)
    shares = cut(len(rows), rows_a_share(len(rows), dy.shape[2]))
    sums = zeros(x, (len(shares), length, filters))

    def block(index):
        share = shares[index]
        for first in range(share.start, share.stop, step):
            part = slice(first, min(first + step, share.stop))
            # The columns are not kept under a name, or they would live beside those of the next block.
            out = scratch("product", (length, filters), x.dtype) if on_cpu(x) else None
            sums[index] += xp.matmul(
                _columns(x, part, window, dy.shape[1:3]).T, rows[part].reshape(-1, filters), out=out
            )

    _run(block, range(len(shares)), x, rows.size * length / 40)
    return sums.sum(axis=0, out=empty(x, (length, filters))).reshape(shape)


def rows_a_share(rows, width):
    """How many of dy's rows, of `width` places, go into one accumulator of the weight gradient."""
    count = max(2, min(GRADIENT_BLOCKS, rows * width // PLACES_A_BLOCK))
    return max(1, -(-rows // count))


def _sum_of_rows(dy):
    """dy (rows, F) -> (F,), the blocks' sums added in their order."""
    if not on_cpu(dy):
        return dy.sum(axis=0)
    parts = cut(len(dy), 1 << 14)
    sums = np.zeros((len(parts), dy.shape[1]), dy.dtype)
    dy = np.ascontiguousarray(dy)
    run_blocks(lambda i: sum_rows(dy[parts[i]], sums[i]), range(len(parts)))
    return sums.sum(axis=0)


def _way(conv, x, shape, window, size, tiled=None):
    """How filters of `shape` make a map of `size`, by the shapes alone: "gemm", "direct" or "winograd"."""
    if conv not in CONVS:
        raise ValueError(f"conv {conv!r} is not one of: {', '.join(CONVS)}.")
    if conv == "gemm" or not on_cpu(x):
        return "gemm"
    if conv != "winograd" and direct.suits(shape, size):
        return "direct"
    can, faster = choice.suits(shape, window, len(x), size, tiled)
    return "winograd" if can and (conv == "winograd" or (conv == "auto" and faster)) else "gemm"


def _run(block, parts, x, nanoseconds=math.inf):
    if on_cpu(x):
        return run_blocks(block, parts, nanoseconds)
    for part in parts:
        block(part)


def _rows_a_block(x, elements_a_row, workspace):
    budget = CPU_COLUMNS if on_cpu(x) else workspace
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


def _add_bias(y, bias, fuse_relu):
    """y (rows, F) += bias, unless that is None; with `fuse_relu` y = max(y, 0) in the same pass."""
    if bias is None:
        return
    if on_cpu(y):
        return add_bias(y, bias, fuse_relu)
    launch(CU, "add_bias", y.size, y, bias, len(bias), fuse_relu)


def _col2im(dcolumns, window, dx, top):
    (kh, kw), (sh, sw), left = window.size, window.stride, window.pad[1]
    if on_cpu(dx):
        return col2im(dcolumns, dx.reshape(*dx.shape[:2], -1), kh, kw, sh, sw, top, left, dx.shape[3])
    oh, ow = dcolumns.shape[1:3]
    launch(CU, "col2im", dx.size, dcolumns, dx, *dx.shape[1:], oh, ow, kh, kw, sh, sw, top, left)


CU = __file__.replace("conv.py", "conv.cu")


@loop
def sum_rows(rows, total):
    """total += every row.  NumPy's sum over the first axis takes three times as long where rows are short."""
    for i in range(len(rows)):
        for f in range(rows.shape[1]):
            total[f] += rows[i, f]


@loop
def add_bias(y, bias, fuse_relu):
    """Row by row.  A NaN stays NaN, as in relu.py."""
    for i in range(len(y)):
        for f in range(y.shape[1]):
            value = y[i, f] + bias[f]
            y[i, f] = 0 if fuse_relu and value <= 0 else value


@loop
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
