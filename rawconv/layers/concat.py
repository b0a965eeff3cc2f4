"""Several maps side by side along the channels: where the branches of an Inception, Fire or dense
block meet.
"""

from __future__ import annotations

import itertools
from typing import Any

from ..machine.arrays import Array, array_module
from . import PAPER, Grads, Layer, Rules, Shape


class Concat(Layer):
    """y = the inputs (N, H, W, C1), (N, H, W, C2), ... side by side, (N, H, W, C1 + C2 + ...).
    Szegedy et al. 2014.
    """

    joins, linear, named, verb = True, True, "rectified", "split"

    def out_shape(self, *shapes: Shape) -> Shape:
        if len({shape[:2] for shape in shapes}) != 1:
            sizes = " and ".join(f"{height}x{width}" for height, width, _ in shapes)
            raise ValueError(f"Only maps of one size can stand side by side, not {sizes}.")
        return (*shapes[0][:2], sum(shape[2] for shape in shapes))

    def forward(self, *inputs: Array, rng_key: Any = None) -> tuple[Array, Any]:
        """y = concatenate(inputs, axis=-1); cache = the channels of each."""
        return array_module(inputs[0]).concatenate(inputs, axis=-1), tuple(
            x.shape[-1] for x in inputs
        )

    def backward(self, dy: Array, cache: Any) -> tuple[tuple[Array, ...], Grads]:
        """dx = its own channels of dy for each input."""
        return _split(dy, cache), {}

    def deconv(self, r: Array, cache: Any, rules: Rules = PAPER) -> tuple[Array, ...]:
        """Split r as backward does dy: each input gets its own channels."""
        return _split(r, cache)

    def to_onnx(self, graph: Any, name: str) -> None:
        graph.add(name, "Concat", axis=1)


def _split(y: Array, channels: Any) -> tuple[Array, ...]:
    ends = list(itertools.accumulate(channels))
    return tuple(
        array_module(y).ascontiguousarray(y[..., end - count : end])
        for count, end in zip(channels, ends, strict=True)
    )
