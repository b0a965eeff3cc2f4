"""ReLU.  With LRN, the layer whose way down differs from its way back: the tests hold the
four-quadrant table.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..files.schema import ABOVE_0, Record
from ..machine.arrays import Array, array_module, on_cpu
from ..machine.buffers import empty
from ..machine.kernels import launch
from ..machine.numba_cache import loop
from ..machine.threads import pieces, run_ranges
from . import PAPER, Grads, Layer, Rules, Shape
from .memory import FLOAT, Memory, Step


class ReLU(Layer):
    """y = max(x, 0), or with a ceiling min(max(x, 0), ceiling).  Paper, section 2.1.

    ceiling: a number above 0, as the 6 of ReLU6 (Howard et al. 2017); None: there is none. The
    paper has no ceilings.  Its rule asks what a value on its way down is, not what passed on the
    way up, so it is blind to the ceiling too.  A gradient is 0 where the ceiling was reached.
    """

    limits = Record({}, {"ceiling": ABOVE_0})
    in_place, rectifier = True, True
    verb, rule, cached_rules = "rectify", "relu", ("gradient", "guided")

    def __init__(self, ceiling: float | None = None) -> None:
        if ceiling is not None and not 0 < ceiling < math.inf:
            raise ValueError(f"The ceiling of a ReLU is a number above 0, not {ceiling}.")
        self.ceiling = None if ceiling is None else float(ceiling)

    @property
    def relu_ceiling(self) -> float:  # type: ignore[override]
        return math.inf if self.ceiling is None else self.ceiling

    @property
    def settings(self) -> dict[str, Any]:  # type: ignore[override]
        return {} if self.ceiling is None else {"ceiling": self.ceiling}

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: Array, rng_key: Any = None) -> tuple[Array, Array]:
        """y = min(max(x, 0), ceiling); cache = y.  A NaN stays NaN."""
        y = relu(x, ceiling=self.relu_ceiling)
        return y, y

    def backward(self, dy: Array, y: Array, in_place: bool = False) -> tuple[Array, Grads]:
        """dx = dy where 0 < x < ceiling (which is where 0 < y < ceiling), else 0.

        in_place: dy may be overwritten.
        """
        return relu_grad(
            dy, y, dy if in_place and dy.flags.c_contiguous else None, self.relu_ceiling
        ), {}

    def deconv(self, r: Array, y: Array, rules: Rules = PAPER) -> Array:
        """deconv: max(r, 0), blind to x; gradient: r where 0 < x < ceiling; guided: both
        (Springenberg 2014).
        """
        if rules.relu == "deconv":
            return relu(r)
        if rules.relu == "gradient":
            return relu_grad(r, y, ceiling=self.relu_ceiling)
        if rules.relu == "guided":
            return relu_grad(relu(r), y, ceiling=self.relu_ceiling)
        raise ValueError(f"rule {rules.relu!r} is not one of: deconv, gradient, guided.")

    def memory(self, step: Step) -> Memory:
        """Up: nothing, where the layer below does the work.  Back: dx is dy."""
        return Memory("output", in_place=step.fused, back=-step.outputs * FLOAT)

    def to_onnx(self, graph: Any, name: str) -> None:
        if self.ceiling is None:
            return graph.add(name, "Relu")
        graph.add(name, "Clip", np.float32(0), np.float32(self.ceiling))


def relu(x: Array, out: Array | None = None, ceiling: float = math.inf) -> Array:
    """min(max(x, 0), ceiling), written to `out`, which may be x.  A NaN stays NaN."""
    out = empty(x, x.shape) if out is None else out
    xp, most = array_module(x), x.dtype.type(ceiling)
    if on_cpu(x) and x.flags.c_contiguous:
        _share(relu_pieces, most, x, out)
    else:
        xp.maximum(x, 0, out=out)
        if ceiling < math.inf:
            xp.minimum(out, most, out=out)
    return out


def relu_grad(dy: Array, y: Array, dx: Array | None = None, ceiling: float = math.inf) -> Array:
    """dx = dy where 0 < y < ceiling, else 0; dx may be dy."""
    xp, most = array_module(dy), y.dtype.type(ceiling)
    dx, dy, y = (
        empty(dy, dy.shape) if dx is None else dx,
        xp.ascontiguousarray(dy),
        xp.ascontiguousarray(y),
    )
    if on_cpu(dy):
        _share(relu_grad_pieces, most, dy, y, dx)
    else:
        launch(CU, "relu_grad_block", dy.size, most, dy, y, dx)
    return dx


def _share(loop, ceiling, *arrays):
    arrays = [array.reshape(-1) for array in arrays]
    count = len(arrays[0])
    run_ranges(loop, count, pieces(count, 1 << 18), (ceiling, *arrays), count / 3)


CU = __file__.replace(".py", ".cu")


@loop
def relu_block(ceiling, x, y):
    zero = x.dtype.type(0)
    for i in range(len(x)):
        value = zero if x[i] <= zero else x[i]  # so a NaN stays NaN
        y[i] = ceiling if value > ceiling else value


@loop
def relu_pieces(first, last, thread, ceiling, x, y):
    relu_block(ceiling, x[first:last], y[first:last])


@loop
def relu_grad_block(ceiling, dy, y, dx):
    """dx = dy where 0 < y < ceiling, else 0; without a ceiling, infinite ones are below it too.

    dy is read before the choice: LLVM does not vectorise loops in place, and a choice of what to
    read would become a jump, mispredicted half of the time and ten times slower.
    """
    endless = ceiling == np.inf
    for i in range(len(dy)):
        value = dy[i]
        dx[i] = value if (y[i] > 0) & ((y[i] < ceiling) | endless) else 0


@loop
def relu_grad_pieces(first, last, thread, ceiling, dy, y, dx):
    relu_grad_block(ceiling, dy[first:last], y[first:last], dx[first:last])
