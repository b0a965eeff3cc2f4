"""The sum of several maps of one shape: where the branches of a residual net meet."""

from __future__ import annotations

from typing import Any

from ..machine.arrays import Array
from . import PAPER, Grads, Layer, Rules, Shape


class Add(Layer):
    """y = sum of the inputs.  He et al. 2015, section 3.2; the paper has no branches."""

    joins, named, verb = True, "rectified", "fork"

    def out_shape(self, *shapes: Shape) -> Shape:
        if len(set(shapes)) != 1:
            raise ValueError(f"Only maps of one shape can be added, not {_listed(shapes)}.")
        return shapes[0]

    def forward(self, *inputs: Array, rng_key: Any = None) -> tuple[Array, tuple[int]]:
        """y = the inputs added in their order; cache = how many they are."""
        y = inputs[0].copy()
        for x in inputs[1:]:
            y += x
        return y, (len(inputs),)

    def backward(self, dy: Array, cache: tuple[int]) -> tuple[tuple[Array, ...], Grads]:
        """dx = dy for each input.  Copies, since each is its receiver's own."""
        return (dy, *(dy.copy() for _ in range(cache[0] - 1))), {}

    def deconv(self, r: Array, cache: tuple[int], rules: Rules = PAPER) -> tuple[Array, ...]:
        """r for each input, the adjoint; each branch then rectifies by itself."""
        return (r,) * cache[0]

    def to_onnx(self, graph: Any, name: str) -> None:
        graph.add(name, "Sum")


def _listed(shapes: Any) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes)
