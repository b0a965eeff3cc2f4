"""Up again where a picture has changed: of each map, only what the change reaches is computed anew.

    maps = ForwardPass(net, x).maps                            once: the picture as it is, x (1, H, W, C)
    found = forward(net, maps, r, corner, ["relu5", "fc8"])    what the layers say where r (U, h, w, C) covers it

Each change is a window of the picture, r, with its first row and column, corner (U, 2), all inside
the picture.  A layer takes a window of n rows to those places whose own windows touch it, floor((n
+ k - 2) / s) + 1 at most, and reads beside it what the unchanged picture has there.  Of a 50-pixel
square in the paper's net that are 28-15-10-6-8-10-12 of 110-55-26-13-13-13-13 places.  Where the
window is nearly the whole map, whole maps go on.

It is exact: no place that is left out can have changed.  The way down has its twin in windowed.py.
Where branches meet, all of them go on in the window that holds what any has changed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..layers.cutouts import clear, gather, paste
from ..machine.arrays import array_module
from ..machine.threads import cut
from ..net import IMAGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..machine.arrays import Array
    from ..net import Net

CACHE_BYTES = 384 << 20  # what the changes that are on their way together may take
WORTH = 0.9  # of a map's places: a window of more is not cheaper than the whole map


class Change(NamedTuple):
    """What stands in the changed windows of one map, r (U, h, w, C), and where they lie: corner (U, 2),
    NumPy's.  None: r is the whole map.
    """

    r: Array
    corner: np.ndarray | None

    def whole(self, base: Array) -> Array:
        """The whole map (U, H, W, C); base: the unchanged one (1, H, W, C)."""
        return (
            self.r
            if self.corner is None
            else paste(_repeat(base, len(self.r)), self.r, self.corner)
        )


def forward(
    net: Net, maps: dict[str, Array], r: Array, corner: Array, wanted: Sequence[str]
) -> Any:
    """{layer object: its output (U, H, W, C)} of the `wanted` layers, for U changes of one picture.

    maps: of that picture's ForwardPass.  r: what stands in the changed window, (U, h, w, C);
    corner: (U, 2), NumPy's. Beside the result, memory is bounded whatever U.
    """
    path = net.path(*wanted)
    parts = [
        _some(net, maps, Change(r[part], corner[part]), wanted, path)
        for part in cut(len(r), _at_once(net, r, path))
    ]
    return {name: array_module(r).concatenate([part[name] for part in parts]) for name in wanted}


def _some(net, maps, change, wanted, path):
    if change.r.shape[1:3] == maps[IMAGE].shape[1:3]:
        change = Change(change.r, None)
    changes, outputs = {IMAGE: change}, {}
    waiting = Counter(name for node in path for name in node.inputs)
    for node in path:
        changes[node.name] = change = _changed(
            net, maps, node, [changes[name] for name in node.inputs]
        )
        if node.name in wanted:
            outputs[node.name] = change.whole(maps[node.name])
        waiting.subtract(node.inputs)
        for name in {name for name in node.inputs if not waiting[name]}:
            del changes[name]
    return outputs


def _changed(net, maps, node, inputs):
    """The Change of a node's output, from those of its inputs."""
    layer, bases = node.layer, [maps[name] for name in node.inputs]
    (r, corner), whole = inputs[0], net.shapes[node.name][:2]
    if layer.window and corner is not None:
        if size := reached(layer, r.shape[1:3], whole):
            return Change(*_step(net, layer, bases[0], r, corner, size, whole))
        r, corner = inputs[0].whole(bases[0]), None
    if not layer.joins:
        return Change(layer.forward(r, **net.how(layer))[0], corner)
    parts, corner = _aligned(inputs, bases)
    return Change(layer.forward(*parts)[0], corner)


def _aligned(inputs, bases):
    """(the windows of several maps of one size, all of them where any has changed; their corners)."""
    corners, whole = [change.corner for change in inputs], bases[0].shape[1:3]
    if all(corner is not None for corner in corners):
        ends = [change.corner + change.r.shape[1:3] for change in inputs]
        first, last = np.min(corners, axis=0), np.max(ends, axis=0)
        size = (last - first).max(axis=0, initial=0)
        if size.prod() <= WORTH * np.prod(whole):
            first = np.clip(first, 0, np.array(whole) - size)
            rows = np.zeros(len(first), int)
            return [
                paste(
                    gather(base, rows, first, tuple(size.tolist())), change.r, change.corner - first
                )
                for change, base in zip(inputs, bases, strict=True)
            ], first
    return [change.whole(base) for change, base in zip(inputs, bases, strict=True)], None


def reached(layer: Any, size: Any, whole: Any) -> Any:
    """The rows and columns of a layer's map, of `whole`, that a window of `size` below can change.

    None where that is nearly all of them, or the layer has no forward_window.
    """
    window = layer.window
    size = tuple(
        min((n + k - 2) // s + 1, most)
        for n, k, s, most in zip(size, window.span, window.stride, whole, strict=True)
    )
    return (
        size if layer.forward_window and size[0] * size[1] <= WORTH * whole[0] * whole[1] else None
    )


def _step(net, layer, base, r, corner, size, whole):
    """One layer up: (the window of `size` of its output, its corner), from the window r at `corner`
    of its input.

    base: its whole input for the unchanged picture.  whole: rows and columns of its output.
    """
    window, pad = layer.window, np.array(layer.window.pad[:2])
    # ceil: the first whose window touches r
    first = -((np.array(window.span) - 1 - pad - corner) // window.stride)
    first = np.clip(first, 0, np.array(whole) - size)
    origin = first * window.stride - pad
    x = paste(gather(base, np.zeros(len(r), int), origin, window.reach(size)), r, corner - origin)
    x = clear(x, origin, base.shape[1:], layer.border)
    return layer.forward_window(x, first, base.shape[1:3], **net.how(layer)), first


def _repeat(base, count):
    return array_module(base).repeat(base, count, axis=0)


def _at_once(net, r, path):
    """How many changes may be on their way together: the largest three maps of one size decide."""
    sizes, most = {IMAGE: r.shape[1:3]}, r[0].size
    for name, layer, inputs in path:
        size, whole = max(sizes[below] for below in inputs), net.shapes[name][:2]
        if layer.window:  # None from where on whole maps go up
            size = reached(layer, size, whole) or whole
        sizes[name] = size
        most = max(most, size[0] * size[1] * net.shapes[name][2])
    return max(1, CACHE_BYTES // (3 * most * r.dtype.itemsize))
