"""The way down, step by step: unpool, rectify, filter, again and again.  Zeiler & Fergus 2013, figure 1.

unit, steps = trace(net, picture, "conv4:17")
print(table(steps))                                  steps[i].r, the map after each: signed, (H, W, C)
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..layers import PAPER, Rules
from ..layers.add import Add
from ..layers.average_pool import AveragePool
from ..layers.concat import Concat
from ..layers.conv import Conv
from ..layers.dropout import Dropout
from ..layers.lrn import LRN
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from ..machine.arrays import to_cpu
from .projection import pick
from .units import user_name

if TYPE_CHECKING:
    from ..data.pictures import ImageLike

WORDS = {
    MaxPool: "unpool", ReLU: "rectify", Conv: "filter", LRN: "norm", Dropout: "dropout", Add: "fork", Concat: "split",
    AveragePool: "spread",
}  # fmt: skip


class Step(NamedTuple):
    """What a layer (object `layer`) did on the way down, and the map that came out: r (H, W, C) of its input's shape.

    The first step is the unit alone in its own layer; the last r is the projection.
    """

    layer: str
    step: str
    r: np.ndarray

    def numbers(self) -> dict:
        """Shape; energy, the sum of r squared; share of r that is not 0; smallest and largest value."""
        r = self.r.astype(np.float64)
        return {
            "layer": self.layer, "step": self.step, "shape": list(r.shape), "energy": float((r * r).sum()),
            "nonzero": float((r != 0).mean()), "min": float(r.min()), "max": float(r.max()),
        }  # fmt: skip


def trace(net, picture: ImageLike, unit: str, rules: Rules = PAPER) -> tuple[str, list[Step]]:
    """One picture and a unit (as in projection.project) -> (its full name "conv4:17:3:5", its Steps).

    By the `exact` net, up and down.
    """
    net = exact(net)
    unit, r, caches = pick(net, picture, unit)
    steps = [Step(user_name(net, next(reversed(caches))), "unit", to_cpu(r)[0].copy())]

    def step(node, r):
        below = node.layer.deconv(r, caches[node.name], rules)
        for part in below if isinstance(below, tuple) else (below,):
            if not isinstance(node.layer, Dropout):  # which does nothing here
                steps.append(Step(node.name, _word(node.layer, rules), to_cpu(part)[0].copy()))
        return below

    net.down(r, caches, step)
    return unit, steps


def _word(layer, rules):
    word = WORDS[type(layer)]
    return f"{word}, {rules.lrn}" if word == "norm" else f"{word}, {rules.relu}" if word == "rectify" else word


def exact(net):
    """The same net with every convolution as one product: other algorithms smear what is exactly 0."""
    net = net.with_layers(copy.copy)
    for _, layer in net.layers:
        if isinstance(layer, Conv):
            layer.conv = "gemm"
    return net


def table(steps: list[Step]) -> str:
    """The numbers of the steps as lines of text, from the unit down to the pixels."""
    rows = [("layer", "step", "shape", "energy", "non-zero", "min", "max")]
    for step in steps:
        n = step.numbers()
        shape = "x".join(map(str, n["shape"]))
        share = f"{n['nonzero']:.2%}" if n["nonzero"] >= 1e-4 or not n["nonzero"] else f"{n['nonzero']:.1e}"
        rows.append((n["layer"], n["step"], shape, f"{n['energy']:.4g}", share, f"{n['min']:.4g}", f"{n['max']:.4g}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row):
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells)

    return "\n".join(map(line, rows))
