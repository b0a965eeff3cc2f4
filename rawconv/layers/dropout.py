"""Dropout with a counter-based generator: the mask is a pure function of (seed, stream; sample,
epoch, element).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..files.schema import BELOW_1, Record, whole
from ..machine.arrays import Array, array_module, on_cpu
from ..machine.buffers import empty
from ..machine.kernels import launch
from ..machine.numba_cache import loop
from ..machine.philox import low, philox4x32
from ..machine.threads import pieces, run_ranges
from . import PAPER, Grads, Layer, Rules, Shape
from .memory import Memory, Step


class Dropout(Layer):
    """y = x * mask / (1 - rate) while training, x otherwise (inverted dropout; the paper halves at
    test time instead).

    rate: the share that is set to zero.  stream: the number of the random sequence; by default that
    of its node, which the net gives it with rng_key, so that every dropout of a net has one of its
    own. Paper, section 3: rate 0.5 after fc6 and fc7.
    """

    limits = Record({"rate": BELOW_1}, {"stream": whole(0, (1 << 64) - 1)})
    linear, verb, passive = True, "dropout", True

    def __init__(self, rate: float = 0.5, stream: int | None = None) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"A dropout rate lies in [0, 1), not {rate}.")
        self.rate, self.stream = rate, stream

    @property
    def settings(self) -> dict[str, Any]:  # type: ignore[override]
        return {"rate": self.rate} | ({} if self.stream is None else {"stream": self.stream})

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: Array, rng_key: Any = None) -> tuple[Array, Any]:
        """cache: on the CPU which elements were kept, a byte each; on a GPU rng_key, since drawing
        the mask again costs less there than keeping it; None where nothing is dropped."""
        if rng_key is None or self.rate == 0:
            return x, None
        x = array_module(x).ascontiguousarray(x)
        if not on_cpu(x):
            return self._draw_and_mask(x, rng_key), rng_key
        seed, stream, epoch, samples = self._key(rng_key)
        y, kept = empty(x, x.shape), empty(x, x.shape, np.bool_)
        rows = [array.reshape(len(x), math.prod(x.shape[1:])) for array in (x, y, kept)]
        rows.append(np.asarray(samples, np.uint64))
        key = [np.uint64(number) for number in (self._threshold, seed, stream, epoch)]
        scale = x.dtype.type(self._scale)
        run_ranges(dropout, len(x), pieces(len(x), 16), (*rows, scale, *key), 2 * x.size)
        return y, kept

    def backward(self, dy: Array, cache: Any) -> tuple[Array, Grads]:
        """dx = dy * mask / (1 - rate), with the same mask."""
        if cache is None:
            return dy, {}
        dy = array_module(dy).ascontiguousarray(dy)
        if not on_cpu(dy):
            return self._draw_and_mask(dy, cache), {}
        dx, scale = empty(dy, dy.shape), dy.dtype.type(self._scale)
        arrays = [array.reshape(-1) for array in (dy, cache, dx)]
        size = pieces(dy.size, 1 << 18)
        run_ranges(mask_pieces, dy.size, size, (*arrays, scale), dy.size / 3)
        return dx, {}

    def deconv(self, r: Array, cache: Any, rules: Rules = PAPER) -> Array:
        """r itself: a deconvnet looks at the trained net, where dropout does nothing."""
        return r

    def memory(self, step: Step) -> Memory:
        return Memory(in_place=self.rate == 0)

    def to_onnx(self, graph: Any, name: str) -> None:
        graph.add(name, "Dropout", np.float32(self.rate))

    def _key(self, rng_key):
        """(seed, stream, epoch, samples) as the loop and the kernel take them."""
        seed, epoch, samples, *number = rng_key
        stream = number[0] if self.stream is None else self.stream
        return low(seed), low(stream), low(epoch), samples

    @property
    def _threshold(self):
        return int(self.rate * 2**32)

    @property
    def _scale(self):
        return 1 / (1 - self.rate)

    def _draw_and_mask(self, x, rng_key):
        """On a GPU, in one kernel."""
        seed, stream, epoch, samples = self._key(rng_key)
        y, row = empty(x, x.shape), x[:1].size
        samples = array_module(x).asarray(samples, np.uint64)
        fours = (row + 3) // 4  # calls of Philox for one image
        constants = (row, fours, self._threshold, self._scale, seed, stream, epoch)
        launch(CU, "dropout", len(x) * fours, x, y, samples, *constants)
        return y


CU = __file__.replace("dropout.py", "dropout.cu")
STRETCH = 64  # Philox calls at once on the CPU


@loop
def mask(x, kept, y, scale):
    for i in range(len(x)):
        scaled = x[i] * scale
        y[i] = scaled if kept[i] else 0


@loop
def mask_pieces(first, last, thread, x, kept, y, scale):
    mask(x[first:last], kept[first:last], y[first:last], scale)


@loop
def dropout(first, last, thread, x, y, kept, samples, scale, threshold, seed, stream, epoch):
    """One Philox call serves four neighbouring elements; an element is kept where its word reaches
    the threshold.

    First the words of a stretch, then its elements: each of the two loops is vectorised, together
    they are not.
    """
    length, limit = x.shape[1], np.uint32(threshold)
    words = np.empty(4 * STRETCH, np.uint32)
    for row in range(first, last):
        for start in range(0, length, 4 * STRETCH):
            part = slice(start, start + 4 * STRETCH)
            given, out, keep = x[row, part], y[row, part], kept[row, part]
            for block in range((len(given) + 3) // 4):
                w0, w1, w2, w3 = philox4x32(
                    np.uint64(start // 4 + block), samples[row], epoch, np.uint64(0), seed, stream
                )
                words[4 * block] = w0
                words[4 * block + 1] = w1
                words[4 * block + 2] = w2
                words[4 * block + 3] = w3
            for i in range(len(given)):
                keep[i] = words[i] >= limit
            mask(given, keep, out, scale)
