"""The way down, step by step: unpool, rectify, filter, again and again.  Zeiler & Fergus 2013, figure 1.

(projection,) = project(forward_pass(net, image), ["conv4:17"])
steps = projection.steps()                      steps[i].r, the map after each: signed, (H, W, C)
print(table(steps))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..files.messages import shape_text
from ..layers import Rules
from ..net import IMAGE

if TYPE_CHECKING:
    from typing import Any

    from ..net import Net


class Step(NamedTuple):
    """What a layer (object `layer`) did on the way down, and the map that came out: r (H, W, C) of
    its input's shape.

    The first step is the unit alone in its own layer; the last r is the projection.
    """

    layer: str
    step: str
    r: np.ndarray

    def numbers(self) -> dict[str, Any]:
        """Shape; energy, the sum of r squared; share of r that is not 0; smallest and largest value."""
        r = self.r.astype(np.float64)
        return {
            "layer": self.layer, "step": self.step, "shape": list(r.shape), "energy": float((r * r).sum()),
            "nonzero": float((r != 0).mean()), "min": float(r.min()), "max": float(r.max()),
        }  # fmt: skip


def word(layer: Any, rules: Rules) -> str:
    """Return the words for what a layer does on the way down; "" for one that does nothing."""
    if layer.passive:
        return ""
    return f"{layer.verb}, {getattr(rules, layer.rule)}" if layer.rule else layer.verb


def goal(below: str) -> str:
    """Return what a step of a layer with several inputs calls the input that it leads to: a node's name."""
    return "the picture" if below == IMAGE else below


def exact(net: Net) -> Net:
    """Return the same net with every convolution as one product: other algorithms smear what is exactly 0."""
    return net.with_execution(algorithm="gemm")


def table(steps: list[Step]) -> str:
    """Return the numbers of the steps as lines of text, from the unit down to the pixels."""
    rows = [("layer", "step", "shape", "energy", "non-zero", "min", "max")]
    for step in steps:
        n = step.numbers()
        shape = shape_text(n["shape"])
        share = (
            f"{n['nonzero']:.2%}"
            if n["nonzero"] >= 1e-4 or not n["nonzero"]
            else f"{n['nonzero']:.1e}"
        )
        rows.append(
            (
                n["layer"],
                n["step"],
                shape,
                f"{n['energy']:.4g}",
                share,
                f"{n['min']:.4g}",
                f"{n['max']:.4g}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Any) -> str:
        cells = [
            cell.ljust(w) if i < 2 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells)

    return "\n".join(map(line, rows))
