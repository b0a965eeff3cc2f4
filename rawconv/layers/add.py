"""The sum of several maps of one shape: where the branches of a residual net meet."""

from __future__ import annotations

from typing import Any

from ..files.messages import shape_text
from ..machine.arrays import Array, array_module, on_cpu
from ..machine.buffers import empty
from ..machine.threads import cut, run_blocks
from . import PAPER, Grads, Layer, Rules, Shape

BLOCK = 1 << 18  # numbers, about, of whole images, that one call adds on a CPU


class Add(Layer):
    """y = sum of the inputs.  He et al. 2015, section 3.2; the paper has no branches."""

    joins, linear, named, verb = True, True, "rectified", "fork"

    def out_shape(self, *shapes: Shape) -> Shape:
        if len(set(shapes)) != 1:
            different = " and ".join(map(shape_text, shapes))
            raise ValueError(f"Only maps of one shape can be added, not {different}.")
        return shapes[0]

    def forward(self, *inputs: Array, rng_key: Any = None) -> tuple[Array, tuple[int]]:
        """y = the inputs added in their order; cache = how many they are."""
        if len(inputs) == 1:
            return inputs[0].copy(), (1,)
        y, total = empty(inputs[0], inputs[0].shape), inputs[0]
        for x in inputs[1:]:
            _add(total, x, y)
            total = y
        return y, (len(inputs),)

    def backward(self, dy: Array, cache: tuple[int]) -> tuple[tuple[Array, ...], Grads]:
        """dx = dy for each input.  Copies, since each is its receiver's own."""
        return (dy, *(dy.copy() for _ in range(cache[0] - 1))), {}

    def deconv(self, r: Array, cache: tuple[int], rules: Rules = PAPER) -> tuple[Array, ...]:
        """r for each input, the adjoint; each branch then rectifies by itself."""
        return (r,) * cache[0]

    def to_onnx(self, graph: Any, name: str) -> None:
        graph.add(name, "Sum")


def _add(a: Array, b: Array, y: Array) -> None:
    """y = a + b, which may be a."""
    xp = array_module(y)
    if not on_cpu(y):
        xp.add(a, b, out=y)
        return
    images = max(1, BLOCK * len(y) // max(1, y.size))
    run_blocks(lambda part: xp.add(a[part], b[part], out=y[part]), cut(len(y), images), y.size / 3)
