"""Convolution, as one matrix product over the columns of the input.  A fully connected layer is a
Conv whose filter covers its whole input, so nothing special is needed to go down through fc6 or
fc7.

Up, every output position takes its KH x KW x C window as one row of `columns`, and y = columns @
weight + bias. The product is linear, so both ways down are its transpose: dcolumns = dy @ weight.T,
each row added back to its window.

That is what gpu/im2col.py does on a GPU, and gemm.py, one of the algorithms of cpu/, on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..files.schema import MOST_FILTERS, PAIR, Record, either, number, whole
from ..machine.arrays import Array, array_module, on_cpu, to_cpu
from ..machine.buffers import empty
from ..machine.threads import cut
from . import AUTO, GEMM, PAPER, Execution, Grads, Layer, Rules, Shape, gpu
from .cpu import choose, clear_unreached, gemm
from .cpu.depthwise import fits
from .cutouts import clear
from .gpu import sums
from .memory import Memory, Step, convolution_memory
from .window import WINDOW, Window, moved, pair

# so many groups of at most so many channels go through products of ...
MANY_GROUPS, FEW_CHANNELS = 8, 8
# ... so many channels: half the time of a product a group; with more channels a group, no time is
# won
WIDE = 64


Gate = tuple[Array, float]  # (y, ceiling) of a ReLU whose way back a Conv below it does


class Cache(NamedTuple):
    """What the ways down need: x, and how y was computed from it, which is how they are computed."""

    x: Array
    execution: Execution


class Conv(Layer):
    """y[n,i,j,f] = bias[f] + sum over k,l,c of x[n, i*s+k-pad, j*s+l-pad, c] * weight[k,l,c,f].
    Paper, section 2.

    filters: F. size: KH (or (KH, KW)); None covers the whole input (fully connected). pad: pixels,
    an int, (rows, columns) or (top, left, bottom, right). ceil_mode: sizes are rounded up
    (cuda-convnet; the missing zeros lie right and bottom), else down (PyTorch, Caffe).
    groups: filters of group g see the channels of group g only (Krizhevsky 2012); as many as
    channels and filters: depthwise (Howard et al. 2017).  dilation: pixels between the taps of a
    filter, an int or (rows, columns) (Yu and Koltun 2015).
    init_std: the weights start as N(0, std^2), the biases at 0; "he" is sqrt(2 / fan-in) (He 2015).
    Cross-correlation, as everywhere in deep learning; the filters are not flipped on the way up.
    """

    limits = Record(WINDOW | dict.fromkeys(("filters", "groups"), whole(1, MOST_FILTERS)) | {
        "init_std": either(number(), "he")
    }, {"dilation": PAIR})  # fmt: skip
    takes_execution, fuses_relu, linear = True, True, True
    named, verb = "rectified", "filter"

    def __init__(
        self,
        filters: int,
        size: int | Sequence[int] | None,
        stride: int | Sequence[int] = 1,
        pad: int | Sequence[int] = 0,
        groups: int = 1,
        ceil_mode: bool = True,
        init_std: float | str = 0.01,
        dilation: int | Sequence[int] = 1,
    ) -> None:
        if filters % groups:
            raise ValueError(
                f"{filters} filters cannot be split into {groups} groups; choose a multiple."
            )
        self.filters, self.groups, self.init_std = filters, groups, init_std
        self._window: Any = (size, stride, pad, ceil_mode, dilation)
        self.window = None if size is None else Window.of(size, stride, pad, ceil_mode, dilation)
        self.weight: Any = None
        self.bias: Any = None

    @property
    def settings(self) -> dict[str, Any]:  # type: ignore[override]
        size, stride, pad, ceil_mode, dilation = self.window or self._window
        return {
            "filters": self.filters, "size": size, "stride": stride, "pad": pad,
            "groups": self.groups, "ceil_mode": ceil_mode, "init_std": self.init_std,
        } | ({} if pair(dilation) == (1, 1) else {"dilation": dilation})  # fmt: skip

    @property
    def params(self) -> dict[str, Array]:  # type: ignore[override]
        return {"weight": self.weight, "bias": self.bias}

    def build(self, shape: Shape, rng: np.random.Generator, dtype: str = "float32") -> None:
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

    def param_shapes(self, shape: Shape) -> dict[str, tuple[int, ...]]:
        """{"weight": (KH, KW, C // groups, F), "bias": (F,)} for images of `shape` (H, W, C)."""
        height, width, channels = shape
        if channels % self.groups:
            raise ValueError(f"{channels} channels cannot be split into {self.groups} groups.")
        size = self.window.size if self.window else (height, width)
        return {"weight": (*size, channels // self.groups, self.filters), "bias": (self.filters,)}

    def out_shape(self, shape: Shape) -> Shape:
        height, width, channels = shape
        if self.weight is not None and channels != self.weight.shape[2] * self.groups:
            expected = self.weight.shape[2] * self.groups
            raise ValueError(
                f"This convolution takes {expected} channels, the input has {channels}."
            )
        window = self.window or Window.of((height, width), *self._window[1:])
        return (*window.out_size(height, width), self.filters)

    def forward(
        self,
        x: Array,
        rng_key: Any = None,
        fuse_relu: float | None = None,
        execution: Execution = AUTO,
    ) -> tuple[Array, Cache]:
        """y = columns @ weight + bias.

        fuse_relu: a ceiling, inf for none: y = min(max(that, 0), ceiling), the same bits as a
        ReLU's after it.
        """
        self.out_shape(x.shape[1:])

        def part(channels, filters, count, groups):
            weight = _side_by_side(self.weight[..., filters], count)
            return convolve(
                x[..., channels],
                weight,
                self.bias[filters],
                self.window,
                execution,
                groups,
                fuse_relu,
            )

        return self._each_part(part, x), Cache(x, execution)

    def backward(self, dy: Array, cache: Cache, gate: Gate | None = None) -> tuple[Array, Grads]:
        """dx = dcolumns added back to their windows; grads: weight columns.T @ dy, bias the sum of dy.

        gate: (y, ceiling) of a ReLU above, whose way back is gone first: dy counts where 0 < y <
        ceiling, and may be overwritten.
        """
        dy, bias = _gated_sum(dy, gate)
        grads = {"weight": self._weight_gradient(dy, cache), "bias": bias}
        return self.transpose(dy, cache.x.shape[1:3], cache.execution), grads

    def parameter_gradients(self, dy: Array, cache: Cache, gate: Gate | None = None) -> Grads:
        """Compute the second half of backward: all that the first layer of a net needs."""
        dy, bias = _gated_sum(dy, gate)
        return {"weight": self._weight_gradient(dy, cache), "bias": bias}

    def _weight_gradient(self, dy, cache):
        x, execution = cache

        def part(channels, filters, count, groups):
            dweight = weight_gradient(
                x[..., channels], dy[..., filters], self.window, execution, groups
            )
            return dweight if count == 1 else _apart(dweight, count)

        return self._each_part(part, x)

    def deconv(self, r: Array, cache: Cache, rules: Rules = PAPER) -> Array:
        """Apply the same filters, transposed, without bias, as backward does.  Paper, section 2.1,
        "Filtering".
        """
        return self.transpose(r, cache.x.shape[1:3], cache.execution, exact_zeros=True)

    def select_cache(self, cache: Cache, rows: Array) -> Cache:
        """Return all of it: deconv asks x for its height and width alone, and a copy of the rows would be large."""
        return cache

    def transpose(
        self, dy: Array, size: Sequence[int], execution: Execution = AUTO, exact_zeros: bool = False
    ) -> Array:
        """dy (N, OH, OW, F) -> dx (N, *size, C).  All that this way needs of x is its size."""

        def part(channels, filters, count, groups):
            weight, r = _side_by_side(self.weight[..., filters], count), dy[..., filters]
            return convolve_transpose(r, weight, size, self.window, execution, groups, exact_zeros)

        return self._each_part(part, dy)

    def forward_window(
        self, x: Array, first: Array, below: Shape, execution: Execution = AUTO
    ) -> Array:
        return moved(self).forward(x, execution=execution)[0]

    def deconv_window(
        self, r: Array, corner: Array, cache: Cache, rows: Array, below: Shape, rules: Rules
    ) -> tuple[Array, Array]:
        size, corner = (
            self.window.reach(r.shape[1:3]),
            corner * self.window.stride - self.window.pad[:2],
        )
        return clear(
            moved(self).transpose(r, size, cache.execution, exact_zeros=True), corner, below
        ), corner

    def memory(self, step: Step) -> Memory:
        channels = step.shape[2] // self.groups
        parts = (
            0
            if fits((channels, self.filters), self.groups)
            else len(_groups_together(self.groups, channels))
        )
        return convolution_memory(self, step, parts)

    def to_onnx(self, graph: Any, name: str) -> None:
        """Rounding up becomes padding; one window over the whole input becomes a product."""
        weight, bias = to_cpu(self.weight).transpose(3, 2, 0, 1), to_cpu(self.bias)
        if self.groups == 1 and self.window.covers(graph.shape):
            return graph.add_product(name, weight.reshape(len(weight), -1), bias)
        pads, sizes = (
            self.window.floor_pads(graph.shape, graph.out),
            {"kernel_shape": self.window.size},
        )
        sizes |= {"dilations": self.window.dilation} if self.window.is_dilated else {}
        graph.add(
            name,
            "Conv",
            weight,
            bias,
            group=self.groups,
            strides=self.window.stride,
            pads=pads,
            **sizes,
        )

    def _each_part(self, function, x):
        """function(its channels, its filters, its groups, groups that the operations below are to
        see: all of depthwise filters, else one) of each part that goes through one product, side by side.
        """
        if self.groups == 1 or fits(self.weight.shape[2:], self.groups):
            return function(slice(None), slice(None), 1, self.groups)
        channels, filters = self.weight.shape[2], self.filters // self.groups
        parts = [
            function(
                *(slice(n * some.start, n * some.stop) for n in (channels, filters)),
                some.stop - some.start,
                1,
            )
            for some in _groups_together(self.groups, channels)
        ]
        return array_module(x).concatenate(parts, axis=-1)


def _groups_together(groups, channels):
    """The groups, of so many channels each, that go through one product: slices."""
    return cut(
        groups, WIDE // channels if groups >= MANY_GROUPS and channels <= FEW_CHANNELS else 1
    )


def _side_by_side(weight, count):
    """The filters of `count` groups (KH, KW, C, count * F) as those of one: 0 for the channels of
    the other groups.
    """
    if count == 1:
        return weight
    kh, kw, channels, filters = weight.shape
    own = array_module(weight).eye(count, dtype=weight.dtype)[:, None, :, None]
    spread = weight.reshape(kh, kw, 1, channels, count, filters // count) * own
    return spread.reshape(kh, kw, count * channels, filters)


def _apart(dweight, count):
    """Back from there: the gradients (KH, KW, C, count * F) of the filters' own channels."""
    kh, kw, channels, filters = dweight.shape
    blocks = dweight.reshape(kh, kw, count, channels // count, count, filters // count)
    own = blocks.diagonal(axis1=2, axis2=4)  # (KH, KW, C, F, count)
    return own.swapaxes(3, 4).reshape(kh, kw, channels // count, filters)


def _gated_sum(dy, gate):
    """(dy, its sum over images and positions (F,)); with a gate, of dy where 0 < y < ceiling,
    elsewhere 0, which dy itself is then where it is contiguous.
    """
    way = gemm if on_cpu(dy) else sums
    if gate is None:
        return dy, way.sum_of_rows(dy.reshape(-1, dy.shape[-1]))
    xp, (y, ceiling) = array_module(dy), gate
    dy, y = xp.ascontiguousarray(dy), xp.ascontiguousarray(y)
    rows, flat = dy.reshape(-1, dy.shape[-1]), y.reshape(-1, dy.shape[-1])
    return dy, way.sum_of_rows(rows, (flat, ceiling))


# The three operations, for one group of filters, or for depthwise ones (groups > 1).


def convolve(
    x: Array,
    weight: Array,
    bias: Array,
    window: Window,
    execution: Execution = GEMM,
    groups: int = 1,
    fuse_relu: float | None = None,
) -> Array:
    """y = im2col(x) @ weight + bias.  fuse_relu: and min(max(y, 0), fuse_relu)."""
    x = array_module(x).ascontiguousarray(x)
    y = empty(x, (len(x), *window.out_size(*x.shape[1:3]), weight.shape[3]))
    passes = _passes(execution, x, x.shape[1:3], weight.shape, window, groups)
    passes.forward(x, weight, bias, window, y, fuse_relu)
    return y


def convolve_transpose(
    dy: Array,
    weight: Array,
    size: Sequence[int],
    window: Window,
    execution: Execution = GEMM,
    groups: int = 1,
    exact_zeros: bool = False,
) -> Array:
    """dx = col2im(dy @ weight.T) on a map of `size` (H, W): the exact transpose of convolve without its bias.

    exact_zeros: dx is exactly 0 wherever no dy but 0 reaches, as a sum of such products is, by
    Winograd as well.  A ReLU below would let through half of its rounding errors, and where nothing
    else is left they would be displayed at full contrast.
    """
    dy = array_module(dy).ascontiguousarray(dy)
    dx = empty(dy, (len(dy), *size, weight.shape[2] * groups))
    passes = _passes(execution, dy, tuple(size), weight.shape, window, groups)
    passes.transpose(dy, weight, window, dx)
    if exact_zeros and not passes.exact:
        clear_unreached(dx, dy, weight, window)
    return dx


def weight_gradient(
    x: Array, dy: Array, window: Window, execution: Execution = GEMM, groups: int = 1
) -> Array:
    """dweight = im2col(x).T @ dy, summed in an order that the shapes decide."""
    xp = array_module(x)
    x, dy = xp.ascontiguousarray(x), xp.ascontiguousarray(dy)
    shape = (*window.size, x.shape[3] // groups, dy.shape[3])
    return _passes(execution, x, x.shape[1:3], shape, window, groups).weight_gradient(x, dy, window)


def _passes(execution, x, size, weight, window, groups):
    """The functions that compute these three."""
    if on_cpu(x):
        images = execution.images or len(x)
        return choose(execution.algorithm, images, size, weight, window, groups)
    return gpu.choose(execution, weight, groups)
