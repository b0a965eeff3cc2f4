"""The algorithms that convolve on a CPU, behind one table: a module each, with the same four names.

    supports(shape, forced, transposed)              whether it computes convolutions of this Shape and, unless it is
                                                     forced (asked for by name), whether it is the faster way
    forward(x, weight, bias, window, y, fuse_relu)   up: y = the convolution plus bias (or None); with a fuse_relu then
                                                     min(max(y, 0), fuse_relu), whose ceiling may be inf
    transpose(dy, weight, window, dx)                back and down: dx = the transpose of that, without bias
    weight_gradient(x, dy, window)                   back: the gradient of the weight, whose sum has one order

All see one group of filters, but for depthwise, which sees all.  x, dy and the results are
contiguous; y and dx are written.  Filters with holes (a dilated window) are for gemm and depthwise
alone. simd.py holds the vectors that some of them compute with.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..window import Window
from . import dense, depthwise, direct, gemm, winograd
from .turned_filters import turn

ALGORITHMS = {  # the first that supports a shape
    "depthwise": depthwise, "dense": dense, "winograd": winograd, "direct": direct, "gemm": gemm,
}  # fmt: skip
# considered whatever is asked for: the first two are exact where they fit
ALWAYS = ("depthwise", "dense", "gemm")
CHOICES = ("auto", "gemm", "winograd", "direct")  # of --conv
# Of what `auto` chooses and of the sums it takes: one more with every change by which the same seed
# gives other bits.  Checkpoints keep it.
AUTO_VERSION = 6
# positions of dx for one of dy: a convolution of the padded dy multiplies mostly zeros beyond
MOST_ZEROS = 1.9


class Shape(NamedTuple):
    """What an algorithm is chosen by.  images: N.  size: (H, W) of x.  weight: (KH, KW, C // groups, F)."""

    images: int
    size: tuple
    weight: tuple
    window: Window
    groups: int = 1

    @property
    def out_size(self):
        return self.window.out_size(*self.size)

    def turned(self):
        """The Shape of the convolution of dy by filters turned by 180 degrees that is the transpose
        of this one.

        None where there is none: its stride is not 1, or some windows lie in the padding alone.
        """
        (kh, kw), (top, left), (oh, ow) = self.window.span, self.window.pad[:2], self.out_size
        if self.window.stride != (1, 1) or top >= kh or left >= kw:
            return None
        pad = (kh - 1 - top, kw - 1 - left, self.size[0] - oh + top, self.size[1] - ow + left)
        window = self.window._replace(pad=pad, ceil_mode=True)
        return Shape(self.images, (oh, ow), (*window.size, *self.weight[:1:-1]), window)


class Passes(NamedTuple):
    """The three functions that compute a convolution.

    exact: whether transpose gives exactly 0 wherever no dy but 0 reaches, as a sum of such products is.
    """

    forward: Callable
    transpose: Callable
    weight_gradient: Callable
    exact: bool


@functools.lru_cache(4096)
def choose(
    algorithm: str, images: int, size: tuple, weight: tuple, window: Window, groups: int = 1
) -> Passes:
    """The Passes for a Shape, which alone decides, so that a run repeats bit for bit.

    algorithm: "auto", or the name of one that is taken wherever it supports the shape.
    """
    if algorithm not in CHOICES:
        raise ValueError(f"conv {algorithm!r} is not one of: {', '.join(CHOICES)}.")
    shape = Shape(images, size, weight, window, groups)
    chosen = _first(algorithm, shape)
    transpose, by = _transpose(algorithm, shape)
    return Passes(chosen.forward, transpose, chosen.weight_gradient, by is not winograd)


def _first(algorithm, shape, transposed=False):
    considered = [
        name for name in ALGORITHMS if name in (algorithm, *ALWAYS) or algorithm == "auto"
    ]
    if shape.window.is_dilated:
        considered = [name for name in considered if name in ("depthwise", "gemm")]
    return next(
        ALGORITHMS[name]
        for name in considered
        if ALGORITHMS[name].supports(shape, name == algorithm, transposed)
    )


def _transpose(algorithm, shape):
    """(the function that computes the transpose, the algorithm it is of)."""
    by, turned = _first(algorithm, shape, transposed=True), shape.turned()
    spread = np.prod(shape.size) / max(1, np.prod(shape.out_size))
    if (
        by in (depthwise, dense)
        or turned is None
        or (spread >= MOST_ZEROS and algorithm != "winograd")
    ):
        return by.transpose, by
    by = _first(algorithm, turned)
    return functools.partial(_by_turning, by.forward, turned.window), by


def _by_turning(convolve, window, dy, weight, _, dx):
    convolve(dy, turn(weight), None, window, dx)


def clear_unreached(dx, dy, weight, window):
    """Set to 0 what transposed filters do not reach from where dy is not 0: what Winograd leaves
    there is rounding.
    """
    taps, alive = weight.any(axis=(2, 3)), dy.any(axis=3)
    some = np.flatnonzero(~alive.all(axis=(1, 2))) if taps.all() else np.arange(len(dy))
    if not len(some):
        return
    alive, taps = alive[some, ..., None].astype(dy.dtype), taps[..., None, None].astype(dy.dtype)
    reached = np.empty((len(some), *dx.shape[1:3], 1), dy.dtype)
    choose("gemm", len(some), dx.shape[1:3], taps.shape, window).transpose(
        alive, taps, window, reached
    )
    n, i, j, _ = np.nonzero(reached == 0)
    dx[some[n], i, j] = 0
