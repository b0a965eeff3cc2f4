"""Max pooling with switches.  A switch is the winner's place in its window; going down, each value
returns there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np

from ..files.schema import Record
from ..machine.arrays import Array, array_module, on_cpu
from ..machine.buffers import empty
from ..machine.kernels import launch
from ..machine.numba_cache import loop, uncounted
from ..machine.threads import pieces, run_ranges
from . import PAPER, Grads, Layer, Rules, Shape
from .cpu.simd import LANES, larger, load, splat, store, store_whole, where
from .cutouts import clear, gather
from .memory import Memory, Step
from .window import WINDOW, Window, moved, pair

SHARED = {"add": 0, "max": 1, "overwrite": 2}
MOST_PLACES = (1 << 16) - 1  # one number is left for "none of them": deconv_window


class Cache(NamedTuple):
    switches: np.ndarray
    shape: tuple


class MaxPool(Layer):
    """y = max of x over each window.  Paper, section 2.1, "Unpooling".

    Windows are cropped at the border (as if padded by -inf).  With ceil_mode, as in the paper's
    nets, it keeps a last window that hangs over the end, but drops one that would start at or
    beyond it.
    Ties: the first in reading order wins, on every device (cuda-convnet credits all tied places).
    NaN wins a window.

    size: (rows, columns) or one number; None is the whole map of the net it is built into, a global maximum.
    """

    limits = Record(WINDOW)
    named, verb, switches, border = "output", "unpool", True, -np.inf

    def __init__(
        self,
        size: int | Sequence[int] | None,
        stride: int | Sequence[int] = 1,
        pad: int | Sequence[int] = 0,
        ceil_mode: bool = True,
    ) -> None:
        self._window = size, stride, pad, ceil_mode
        self.window = None if size is None else self._of(size)

    @property
    def settings(self) -> dict[str, Any]:  # type: ignore[override]
        return self.window.settings

    def build(self, shape: Shape, rng: Any = None, dtype: Any = None) -> None:
        """Take the whole of a map (H, W, C) as the window, where the size is None."""
        self.window = self.window or self._of(tuple(shape[:2]))

    def _of(self, size):
        if np.prod(pair(size)) > MOST_PLACES:
            raise ValueError(
                f"The window {size} of a pool has more than the {MOST_PLACES:,} places a switch can name."
            )
        return Window.of_pool(size, *self._window[1:])

    def out_shape(self, shape: Shape) -> Shape:
        window = self.window or self._of(tuple(shape[:2]))
        return (*window.pooled_size(*shape[:2]), shape[2])

    def forward(self, x: Array, rng_key: Any = None) -> tuple[Array, Cache]:
        """y = x at the switch; cache = (switches, of y's shape: row * KW + column in the uncropped
        window; x.shape).
        """
        xp = array_module(x)
        kh, kw = self.window.size
        y = empty(x, (len(x), *self.out_shape(x.shape[1:])))
        switches = empty(x, y.shape, np.uint8 if kh * kw <= 256 else np.uint16)
        self._run(pool, xp.ascontiguousarray(x), y, switches, x.shape, y.shape)
        return y, Cache(switches, x.shape)

    def backward(self, dy: Array, cache: Cache) -> tuple[Array, Grads]:
        """dx = each dy put back at its switch, added where windows share a place: the exact
        transpose of forward.
        """
        return self._unpool(dy, cache, "add"), {}

    def deconv(self, r: Array, cache: Cache, rules: Rules = PAPER) -> Array:
        """Unpool: the same.  Overlapping 3x3/2 windows share 40-60 % of their switches; see
        Rules.shared_switches.
        """
        return self._unpool(r, cache, rules.shared_switches)

    def select_cache(self, cache: Cache, rows: Array) -> Cache:
        return Cache(cache.switches[rows], (len(rows), *cache.shape[1:]))

    def forward_window(self, x: Array, first: Array, below: Shape) -> Array:
        return moved(self).forward(x)[0]

    def deconv_window(
        self, r: Array, corner: Array, cache: Cache, rows: Array, below: Shape, rules: Rules
    ) -> tuple[Array, Array]:
        """add: a pooled unit outside the window has the value 0 and adds nothing.  By max and
        overwrite one that shares a place with a unit inside takes part there, so the window gets a
        rim of such units first; `none` keeps out those that do not exist.
        """
        (kh, kw), stride, pad = self.window.size, self.window.stride, self.window.pad[:2]
        size, rim = self.window.reach(r.shape[1:3]), (0, 0)
        if rules.shared_switches != "add":
            rim = tuple(-(-k // s) - 1 for k, s in zip((kh, kw), stride, strict=True))
            r = array_module(r).pad(r, ((0, 0), *((n, n) for n in rim), (0, 0)))
        outer = corner - rim
        switches, none = gather(cache.switches, rows, outer, r.shape[1:3]), kh * kw
        if none > np.iinfo(switches.dtype).max:
            switches = switches.astype(np.uint16)
        switches = clear(switches, outer, cache.switches.shape[1:], none)
        layer = moved(self, (rim[0] * stride[0], rim[1] * stride[1]))
        return layer.deconv(
            r, Cache(switches, (len(r), *size, r.shape[3])), rules
        ), corner * stride - pad

    def memory(self, step: Step) -> Memory:
        """Kept: the switches."""
        size = self.window.size if self.window else step.shape[:2]
        return Memory(own=step.outputs * (1 if math.prod(size) <= 256 else 2))

    def to_onnx(self, graph: Any, name: str) -> None:
        """Set the padding so that readers which do not drop a last window count as many windows."""
        window, shape = self.window, graph.shape
        counted = window.out_size(*shape[:2]) == graph.out[:2]
        pads = window.pad if counted else window.floor_pads(shape, graph.out)
        sizes = {"kernel_shape": window.size, "strides": window.stride, "pads": pads}
        graph.add(name, "MaxPool", **sizes, ceil_mode=int(window.ceil_mode and counted))

    def _unpool(self, dy, cache, shared):
        if shared not in SHARED:
            raise ValueError(f"shared switches {shared!r} is not one of: {', '.join(SHARED)}.")
        dx, in_order = empty(dy, (len(dy), *cache.shape[1:])), array_module(dy).ascontiguousarray
        sent, switches = in_order(dy), in_order(cache.switches)
        self._run(unpool, dx, sent, switches, dx.shape, dy.shape, SHARED[shared])
        return dx

    def _run(self, loop, large, small, switches, large_shape, small_shape, *more):
        window = (*self.window.size, *self.window.stride, *self.window.pad[:2])
        if on_cpu(large):
            # the rows of the result, counted through all pictures
            rows = small_shape if loop is pool else large_shape
            rows, row_size = rows[0] * rows[1], max(1, rows[2] * rows[3])
            arguments = (large, small, switches, *window, *more)
            nanoseconds = large.size * (1 / 6 + 12 / large_shape[3])
            return run_ranges(loop, rows, pieces(rows, 131072 // row_size), arguments, nanoseconds)
        count = small.size if loop is pool else large.size
        geometry = (*large_shape[1:], *small_shape[1:3], *window)
        launch(CU, loop.__name__, count, large, small, switches, geometry, *more)


CU = __file__.replace("pool.py", "pool.cu")


@loop
def pool(first, last, thread, x, y, switches, kh, kw, sh, sw, top, left):
    """The output rows first..last-1, counted through all pictures; LANES channels at a time, of which the
    last vector is computed twice where they do not fill one of their own.
    """
    (height, width, channels), (rows, across) = x.shape[1:], y.shape[1:3]
    for row in range(first, last):
        n, oy = divmod(row, rows)
        y0 = oy * sh - top
        low_y, high_y = max(0, -y0), min(kh, height - y0)
        for ox in range(across):
            x0 = ox * sw - left
            span = low_y, high_y, max(0, -x0), min(kw, width - x0), kw, width * channels, channels
            start, at = ((n * height + y0) * width + x0) * channels, (row * across + ox) * channels
            if channels >= LANES:
                for lane in range(0, channels, LANES):
                    c = min(lane, channels - LANES)
                    best, winners = pool_vector(x, start + c, span)
                    store(y, at + c, best)
                    store_whole(switches, at + c, winners)
            else:
                pool_numbers(x.reshape(-1), start, span, y[n, oy, ox], switches[n, oy, ox])


@uncounted
def pool_vector(x, start, span):
    """(the largest of LANES channels over a window, where it stands in it, in x's dtype).

    start: of the window's first place, which may lie outside.  span: (first row of the window that is inside,
    last, first column, last, columns of the window, numbers of a row of x, and of a pixel).
    """
    low_y, high_y, low_x, high_x, columns, line, pixel = span
    best = splat(x, x.dtype.type(-np.inf))
    winners = splat(x, x.dtype.type(low_y * columns + low_x))
    for ky in range(low_y, high_y):
        for kx in range(low_x, high_x):
            value, place = load(x, start + ky * line + kx * pixel), ky * columns + kx
            best, winners = larger(best, winners, value, x.dtype.type(place))
    return best, winners


@numba.njit(inline="always")
def pool_numbers(x, start, span, y, switches):
    """The same of fewer channels, to y and switches of one place, x being flat."""
    low_y, high_y, low_x, high_x, columns, line, pixel = span
    fresh = True
    for ky in range(low_y, high_y):
        for kx in range(low_x, high_x):
            at, place = start + ky * line + kx * pixel, ky * columns + kx
            value = x[at : at + pixel]
            for c in range(pixel):
                wins = fresh | (value[c] > y[c]) | ((value[c] != value[c]) & (y[c] == y[c]))
                y[c] = value[c] if wins else y[c]
                switches[c] = place if wins else switches[c]
            fresh = False


@loop
def unpool(first, last, thread, dx, dy, switches, kh, kw, sh, sw, top, left, shared):
    """The input rows first..last-1: each place gathers from the windows over it, in reading order
    (no atomics).
    """
    geometry = kh, kw, sh, sw, top, left
    windows = np.empty(kh * kw, np.int64), np.empty(kh * kw, switches.dtype)
    chosen = np.empty(dx.shape[3], np.bool_)
    for row in range(first, last):
        n, iy = divmod(row, dx.shape[1])
        if shared == 0 and dx.shape[3] >= LANES:
            add_vectors(iy, dx[n], dy[n], switches[n], geometry, windows)
        else:
            share(iy, dx[n], dy[n], switches[n], geometry, shared, chosen)


@uncounted
def add_vectors(iy, dx, dy, switches, geometry, windows):
    """Row iy of one map: the sum of what the windows over each place send there, LANES channels at a time.

    windows: room for where the pixels of the windows over a place begin, and which of its places each takes it for.
    """
    (kh, kw, sh, sw, top, left), (oh, ow, channels) = geometry, dy.shape
    starts, places = windows
    y = iy + top
    rows = range(max(0, (y - kh + sh) // sh), min(oh, y // sh + 1))
    for ix in range(dx.shape[1]):
        x, count = ix + left, 0
        for oy in rows:
            for ox in range(max(0, (x - kw + sw) // sw), min(ow, x // sw + 1)):
                starts[count] = (oy * ow + ox) * channels
                places[count] = (y - oy * sh) * kw + x - ox * sw
                count += 1
        for lane in range(0, channels, LANES):
            c = min(lane, channels - LANES)
            total = splat(dx, dx.dtype.type(0))
            for w in range(count):
                at = starts[w] + c
                total = total + where(switches, at, places[w], load(dy, at))
            store(dx, (iy * dx.shape[1] + ix) * channels + c, total)


@uncounted
def share(iy, dx, dy, switches, geometry, shared, chosen):
    """The same of few channels, or as `shared` says; chosen: room for a channel's."""
    (kh, kw, sh, sw, top, left), (oh, ow, channels) = geometry, dy.shape
    zero, y = dx.dtype.type(0), iy + top
    for ix in range(dx.shape[1]):
        out, x = dx[iy, ix], ix + left
        for c in range(channels):
            out[c], chosen[c] = 0, False
        for oy in range(max(0, (y - kh + sh) // sh), min(oh, y // sh + 1)):
            for ox in range(max(0, (x - kw + sw) // sw), min(ow, x // sw + 1)):
                # a wider type halves the vectors
                place = switches.dtype.type((y - oy * sh) * kw + x - ox * sw)
                value, switch = dy[oy, ox], switches[oy, ox]
                if shared == 0:
                    for c in range(channels):
                        sent = value[c]
                        out[c] += sent if switch[c] == place else zero
                elif shared == 1:
                    for c in range(channels):
                        takes = (switch[c] == place) & (~chosen[c] | (value[c] > out[c]))
                        out[c] = value[c] if takes else out[c]
                        chosen[c] |= takes
                else:
                    for c in range(channels):
                        out[c] = value[c] if switch[c] == place else out[c]
