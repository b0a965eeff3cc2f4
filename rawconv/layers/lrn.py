"""Local response normalisation across feature maps (Krizhevsky 2012, section 3.3; the paper's
"contrast norm.").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..files.schema import ABOVE_0, SIDE, Record, number
from ..machine.arrays import Array, array_module, on_cpu
from ..machine.buffers import empty
from ..machine.kernels import THREADS, launch
from ..machine.numba_cache import loop
from ..machine.threads import pieces, run_ranges
from . import PAPER, Grads, Layer, Rules, Shape
from .memory import Memory, Step


class LRN(Layer):
    """y_c = x_c / (k + alpha * S_c)^beta, S_c = sum of x_j^2 over the `size` channels j around c
    (cut at the ends).

    alpha is NOT divided by size: Caffe, PyTorch and ONNX divide, so their alpha is size times ours.
    size is odd.  Paper: the norm that follows pool1 and pool2; constants from Krizhevsky.
    """

    limits = Record({"size": SIDE, "alpha": number(0), "beta": number(), "k": ABOVE_0})
    verb, rule, cached_rules = "norm", "lrn", ("gradient",)

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
    ) -> None:
        if size < 1 or size % 2 == 0:
            raise ValueError(f"LRN's window must be odd, not {size}.")
        self.size, self.alpha, self.beta, self.k = size, float(alpha), float(beta), float(k)

    @property
    def settings(self) -> dict[str, Any]:  # type: ignore[override]
        return {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}

    def out_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, x: Array, rng_key: Any = None) -> tuple[Array, Array]:
        """y = x * D^-beta with D = k + alpha * S; cache = x (D is cheaper to compute again than to keep)."""
        x = array_module(x).ascontiguousarray(x)
        y = empty(x, x.shape)
        self._run(lrn, "lrn", x, x, y)
        return y, x

    def backward(self, dy: Array, x: Array) -> tuple[Array, Grads]:
        """dx_c = dy_c * D_c^-beta - 2 * alpha * beta * x_c * T_c, with T_c the sum of dy_j * x_j *
        D_j^(-beta-1) over the j whose window holds c: the same window, since it is odd."""
        dy = array_module(dy).ascontiguousarray(dy)
        dx = empty(dy, dy.shape)
        self._run(lrn_back, "lrn_back", x, dy, dx)
        return dx, {}

    def deconv(self, r: Array, x: Array, rules: Rules = PAPER) -> Array:
        """r itself: no contrast normalisation on the way down (ECCV text, section 3.1).
        "gradient": backward.
        """
        if rules.lrn == "identity":
            return r
        if rules.lrn == "gradient":
            return self.backward(r, x)[0]
        raise ValueError(f"lrn {rules.lrn!r} is not one of: identity, gradient.")

    def memory(self, step: Step) -> Memory:
        return Memory("input")

    def to_onnx(self, graph: Any, name: str) -> None:
        """ONNX divides alpha by the size."""
        graph.add(
            name, "LRN", size=self.size, alpha=self.alpha * self.size, beta=self.beta, bias=self.k
        )

    def _run(self, loop, kernel, x, given, out):
        channels = x.shape[-1]
        if not on_cpu(x):
            half = min(self.size // 2, channels - 1)
            runs = 2 * THREADS + 6 * half if kernel == "lrn_back" else THREADS + 2 * half
            if runs * x.itemsize > SHARED_BYTES:
                raise ValueError(
                    f"LRN over {self.size} channels does not fit a GPU block's memory; use --device cpu."
                )
            constants = (channels, half, self.alpha, self.beta, self.k)
            return launch(
                CU, kernel, x.size, x, given, out, *constants, shared_bytes=runs * x.itemsize
            )
        kind, rows = x.dtype.type, x.size // channels
        constants = self.size // 2, kind(self.alpha), kind(self.beta), kind(self.k)
        arrays = [array.reshape(rows, channels) for array in (x, given, out)]
        size = pieces(rows, 65536 // channels)
        run_ranges(loop, rows, size, (*arrays, *constants), x.size * NANOSECONDS)


CU = __file__.replace("lrn.py", "lrn.cu")
NANOSECONDS = 1.5  # that a number takes, about
SHARED_BYTES = 48 << 10  # that a block of threads has on every card


@loop(error_model="numpy")
def _scale(x, squares, half, alpha, k, scale):
    """scale_c = k + alpha * sum of the squares around c; `squares` is x^2 with `half` zeros at both ends."""
    channels = len(x)
    for c in range(channels):
        squares[half + c] = x[c] * x[c]
        scale[c] = 0
    for j in range(2 * half + 1):
        for c in range(channels):
            scale[c] += squares[c + j]
    for c in range(channels):
        scale[c] = k + alpha * scale[c]


@loop(error_model="numpy")
def _inverse_power(scale, beta, power):
    """power = scale^-beta.  For 3/4 two square roots, since pow does not vectorise."""
    if beta == 0.75:
        for c in range(len(scale)):
            root = np.sqrt(scale[c])
            power[c] = 1 / (root * np.sqrt(root))
    else:
        for c in range(len(scale)):
            power[c] = scale[c] ** -beta


@loop(error_model="numpy")
def lrn(first, last, thread, x, given, y, half, alpha, beta, k):
    channels = x.shape[1]
    squares = np.zeros(channels + 2 * half, x.dtype)
    scale, power = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    for i in range(first, last):
        _scale(x[i], squares, half, alpha, k, scale)
        _inverse_power(scale, beta, power)
        for c in range(channels):
            y[i, c] = x[i, c] * power[c]


@loop(error_model="numpy")
def lrn_back(first, last, thread, x, dy, dx, half, alpha, beta, k):
    channels = x.shape[1]
    squares, ratio = np.zeros(channels + 2 * half, x.dtype), np.zeros(channels + 2 * half, x.dtype)
    scale, power, total = (
        np.empty(channels, x.dtype),
        np.empty(channels, x.dtype),
        np.empty(channels, x.dtype),
    )
    factor = 2 * alpha * beta
    for i in range(first, last):
        _scale(x[i], squares, half, alpha, k, scale)
        _inverse_power(scale, beta, power)
        for c in range(channels):
            ratio[half + c] = dy[i, c] * x[i, c] * power[c] / scale[c]
            total[c] = 0
        for j in range(2 * half + 1):
            for c in range(channels):
                total[c] += ratio[c + j]
        for c in range(channels):
            dx[i, c] = dy[i, c] * power[c] - factor * x[i, c] * total[c]
