"""Average pooling.  It is linear, so the way back and the way down are one: its transpose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import RawconvError
from ..files.schema import Record, one_of
from ..machine.arrays import Array, array_module, on_cpu
from ..machine.buffers import empty
from ..machine.kernels import launch
from ..machine.numba_cache import loop
from ..machine.threads import run_ranges
from . import PAPER, Grads, Layer, Rules, Shape
from .cutouts import clear, gather
from .memory import Memory, Step
from .window import WINDOW, Window, moved

FAR = 1 << 30  # further than any window reaches
COUNTS = ("map", "padded", "window")


class AveragePool(Layer):
    """y = sum of x over each window / count.  The cells of a window that lie outside the map are 0.

    size: (rows, columns) or one number; None is the whole map of the net it is built into, a global average.
    stride, pad, ceil_mode: as MaxPool's, whose maps have the same size.
    count: which cells of a window are counted, where it hangs over the border of the map:
        "map": those inside the map (ONNX; PyTorch's count_include_pad=False);
        "padded": those inside the padded map (Caffe; PyTorch's count_include_pad=True);
        "window": all of them, whatever they lie on.
    Going down, a value is divided by the count of its own window and handed to each of its cells.
    The paper has no averages; a linear layer needs no switches, so its transpose is all there is to
    choose.
    """

    limits = Record(WINDOW | {"count": one_of(*COUNTS)})
    linear, named, verb = True, "output", "spread"

    def __init__(
        self,
        size: int | Sequence[int] | None,
        stride: int | Sequence[int] = 1,
        pad: int | Sequence[int] = 0,
        ceil_mode: bool = True,
        count: str = "map",
    ) -> None:
        if count not in COUNTS:
            raise ValueError(f"count {count!r} is not one of: {', '.join(COUNTS)}.")
        self.count = count
        self._window: Any = (size, stride, pad, ceil_mode)
        self.window = None if size is None else Window.of_pool(size, stride, pad, ceil_mode)

    @property
    def settings(self) -> dict[str, Any]:  # type: ignore[override]
        return {**self.window.settings, "count": self.count}

    def build(self, shape: Shape, rng: Any = None, dtype: Any = None) -> None:
        """Take the whole of a map (H, W, C) as the window, where the size is None."""
        self.window = self._on(shape)

    def _on(self, shape):
        return self.window or Window.of_pool(tuple(shape[:2]), *self._window[1:])

    def out_shape(self, shape: Shape) -> Shape:
        return (*self._on(shape).pooled_size(*shape[:2]), shape[2])

    def forward(self, x: Array, rng_key: Any = None) -> tuple[Array, Any]:
        """y = sum of x over each window / count; cache = (H, W) of x."""
        y = empty(x, (len(x), *self.out_shape(x.shape[1:])))
        self._run(average, array_module(x).ascontiguousarray(x), y)
        return y, x.shape[1:3]

    def backward(self, dy: Array, size: Any) -> tuple[Array, Grads]:
        """dx = sum of dy / count over the windows that hold the place: the transpose of forward."""
        return self.transpose(dy, size), {}

    def deconv(self, r: Array, size: Any, rules: Rules = PAPER) -> Array:
        """Divide and spread r as backward does dy."""
        return self.transpose(r, size)

    def transpose(self, dy: Array, size: Any) -> Array:
        """dy (N, OH, OW, C) -> dx (N, *size, C)."""
        dx = empty(dy, (len(dy), *size, dy.shape[3]))
        self._run(spread, dx, array_module(dy).ascontiguousarray(dy))
        return dx

    def forward_window(self, x: Array, first: Array, below: Shape) -> Array:
        y = self._sums().forward(x)[0]
        return y / self._counts_at(y, first, below)

    def deconv_window(
        self, r: Array, corner: Array, cache: Any, rows: Array, below: Shape, rules: Rules
    ) -> tuple[Array, Array]:
        """Each value is divided by the count that its window has in the whole map."""
        r, size = r / self._counts_at(r, corner, below), self.window.reach(r.shape[1:3])
        corner = corner * self.window.stride - self.window.pad[:2]
        return clear(self._sums().transpose(r, size), corner, below), corner

    def _sums(self):
        """The layer that only sums, over windows cut out of a map with their padding."""
        layer = moved(self)
        layer.count = "one"
        return layer

    def _counts_at(self, y, corner, below):
        """The counts of the windows of the output that y holds; below: (H, W) of the whole input."""
        counts = gather(self.counts(below[:2]), np.zeros(len(y), int), corner, y.shape[1:3])
        return array_module(y).asarray(counts, y.dtype)

    def counts(self, size: Any) -> Array:
        """Return the count of each window on a map of `size` (H, W): (1, OH, OW, 1), NumPy's."""
        low, high = np.reshape(self._counted(size), (2, 2))
        rows, columns = (
            np.minimum(high[axis], first + k) - np.maximum(low[axis], first)
            for axis, (out, k, s, p) in enumerate(
                zip(self.out_shape((*size, 1))[:2], *self.window[:3], strict=False)
            )
            for first in [np.arange(out) * s - p]
        )
        return (rows[:, None] * columns)[None, :, :, None]

    def memory(self, step: Step) -> Memory:
        return Memory()

    def to_onnx(self, graph: Any, name: str) -> None:
        """ONNX counts the cells inside the map or all of the window; where it hangs over, not all
        readers agree.
        """
        window, shape = self.window, graph.shape
        if window.covers(shape):
            return graph.add(name, "GlobalAveragePool")
        counts = self.counts(shape[:2])
        inside = (counts == AveragePool(**window.settings).counts(shape[:2])).all()
        if not inside and (counts != math.prod(window.size)).any():
            why = "averages windows that hang over its padded map"
            raise RawconvError(f"Layer {name} {why}, which cannot be exported.")
        sizes = {
            "kernel_shape": window.size,
            "strides": window.stride,
            "pads": window.floor_pads(shape, graph.out),
        }
        graph.add(name, "AveragePool", **sizes, count_include_pad=int(not inside))

    def _counted(self, size):
        """(top, left, bottom, right): the cells that count are those of rows top..bottom-1, columns
        left..right-1.
        """
        top, left, bottom, right = self.window.pad
        return {
            "map": (0, 0, *size), "padded": (-top, -left, size[0] + bottom, size[1] + right),
            "window": (-FAR, -FAR, FAR, FAR), "one": (0, 0, 0, 0),
        }[self.count]  # fmt: skip

    def _run(self, loop, large, small):
        window = self._on(large.shape[1:])
        numbers, counted = (
            (*window.size, *window.stride, *window.pad[:2]),
            self._counted(large.shape[1:3]),
        )
        if not on_cpu(large):
            count = small.size if loop is average else large.size
            geometry = (*large.shape[1:], *small.shape[1:3], *numbers)
            return launch(CU, loop.__name__, count, large, small, geometry, *counted)
        result = small if loop is average else large
        rows, row_size = result.shape[0] * result.shape[1], result.shape[2] * result.shape[3]
        some = max(1, 131072 // max(1, row_size))
        run_ranges(loop, rows, some, (large, small, numbers, counted), large.size / 4)


CU = __file__.replace("pool.py", "pool.cu")


@loop
def average(first, last, thread, x, y, numbers, counted):
    """The output rows first..last-1, counted through all images.

    Each row of a window has a sum of its own, and they are added: that of a large map in one go
    would lose digits.
    """
    kh, kw, sh, sw, top, left = numbers
    count_top, count_left, count_bottom, count_right = counted
    height, width, channels = x.shape[1:]
    line = np.empty(channels, x.dtype)
    for row in range(first, last):
        n, oy = divmod(row, y.shape[1])
        y0 = oy * sh - top
        rows = max(1, min(y0 + kh, count_bottom) - max(y0, count_top))
        for ox in range(y.shape[2]):
            total, x0 = y[n, oy, ox], ox * sw - left
            columns = max(1, min(x0 + kw, count_right) - max(x0, count_left))
            total[:] = 0
            for iy in range(max(0, y0), min(height, y0 + kh)):
                line[:] = 0
                for ix in range(max(0, x0), min(width, x0 + kw)):
                    value = x[n, iy, ix]
                    for c in range(channels):
                        line[c] += value[c]
                for c in range(channels):
                    total[c] += line[c]
            count = x.dtype.type(rows * columns)
            for c in range(channels):
                total[c] /= count


@loop
def spread(first, last, thread, dx, dy, numbers, counted):
    """The input rows first..last-1: each place gathers from the windows over it, in reading order
    (no atomics).
    """
    kh, kw, sh, sw, top, left = numbers
    count_top, count_left, count_bottom, count_right = counted
    height, (oh, ow, channels) = dx.shape[1], dy.shape[1:]
    for row in range(first, last):
        n, iy = divmod(row, height)
        y = iy + top
        for ix in range(dx.shape[2]):
            out, x = dx[n, iy, ix], ix + left
            out[:] = 0
            for oy in range(max(0, (y - kh + sh) // sh), min(oh, y // sh + 1)):
                y0 = oy * sh - top
                rows = max(1, min(y0 + kh, count_bottom) - max(y0, count_top))
                for ox in range(max(0, (x - kw + sw) // sw), min(ow, x // sw + 1)):
                    x0, value = ox * sw - left, dy[n, oy, ox]
                    columns = max(1, min(x0 + kw, count_right) - max(x0, count_left))
                    count = dx.dtype.type(rows * columns)
                    for c in range(channels):
                        out[c] += value[c] / count
