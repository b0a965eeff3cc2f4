"""Up again where a picture has changed: of each map, only what the change reaches is computed anew.

    maps = ForwardPass(net, x).maps                            once: the picture as it is, x (1, H, W, C)
    found = forward(net, maps, r, corner, ["relu5", "fc8"])    what the layers say where r (U, h, w, C) covers it

Each change is a window of the picture, r, with its first row and column, corner (U, 2), all inside
the picture.  A layer takes a window of n rows to those places whose own windows touch it, floor((n
+ k - 2) / s) + 1 at most, and reads beside it what the unchanged picture has there.  Of a 50-pixel
square in the paper's net that are 28-15-10-6-8-10-12 of 110-55-26-13-13-13-13 places.  Where the
window is nearly the whole map, whole maps go on.

It is exact: no place that is left out can have changed.  The way down has its twin in windowed.py.
A net that branches below the wanted layers goes up in whole maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def forward(
    net: Net, maps: dict[str, Array], r: Array, corner: Array, wanted: Sequence[str]
) -> Any:
    """{layer object: its output (U, H, W, C)} of the `wanted` layers, for U changes of one picture.

    maps: of that picture's ForwardPass.  r: what stands in the changed window, (U, h, w, C);
    corner: (U, 2), NumPy's. Beside the result, memory is bounded whatever U.
    """
    path = net.path(max(wanted, key=list(net.shapes).index))
    some = _some if all(_sole(path, place) for place in range(len(path))) else _whole
    parts = [
        some(net, maps, r[part], corner[part], wanted, path)
        for part in cut(len(r), _at_once(net, r))
    ]
    return {name: array_module(r).concatenate([part[name] for part in parts]) for name in wanted}


def _whole(net, maps, r, corner, wanted, path):
    x = paste(_repeat(maps[IMAGE], len(r)), r, corner)
    return {name: y for name, y, _ in net.up(x, stop=path[-1].name) if name in wanted}


def _some(net, maps, r, corner, wanted, path):
    changed, below, whole = {}, IMAGE, r.shape[1:3] == maps[IMAGE].shape[1:3]
    for name, layer, _ in path:
        if not whole and layer.window:
            size = reached(layer, r.shape[1:3], net.shapes[name][:2])
            if size is None:
                r, whole = paste(_repeat(maps[below], len(r)), r, corner), True
            else:
                r, corner = _step(net, layer, maps[below], r, corner, size, net.shapes[name][:2])
        if whole or not layer.window:
            r, _ = layer.forward(r, **net.how(layer))
        if name in wanted:
            changed[name] = r if whole else paste(_repeat(maps[name], len(r)), r, corner)
        below = name
    return changed


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


def _at_once(net, r):
    """How many changes may be on their way together: the largest two maps that follow each other decide."""
    sizes, size = [r[0].size], r.shape[1:3]
    for name, layer in net.layers:
        if size and layer.window:
            size = reached(layer, size, net.shapes[name][:2])  # None from where on whole maps go up
        height, width = size or net.shapes[name][:2]
        sizes.append(height * width * net.shapes[name][2])
    return max(1, CACHE_BYTES // (3 * max(sizes) * r.dtype.itemsize))


def _sole(path, place):
    """Whether node `place` of a path takes nothing but the output of the one before it."""
    return path[place].inputs == ((path[place - 1].name if place else IMAGE),)
