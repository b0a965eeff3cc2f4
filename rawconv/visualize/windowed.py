"""The way down through the receptive field alone: a unit's projection is zero everywhere else.

    y, caches = net.forward(x, name)
    r = go_down(net, caches, Windows(seed, places, rows, numbers), window_sizes(net, name))

A window is a small map per unit, r (U, h, w, C), and its corner (U, 2): the map's row and column at
its first place. A layer takes the window of size n at corner o to the one of size (n - 1) * stride
+ k at corner o * stride - pad; from conv5 of the paper's net they are 1-3-5-7-15-33-67-139 of
13-13-13-26-55-110-224 places.  Where a window would be as large as its map, the whole map goes on
from there, so that no net is slower this way.

A window may hang over its map.  What lies outside is set to zero after every layer: in a whole map
it does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..layers import PAPER
from ..layers.cutouts import gather, put
from ..machine.arrays import Array, array_module
from ..machine.threads import cut
from ..net import IMAGE

if TYPE_CHECKING:
    from typing import Any

    from ..net import Caches, Net

# of the windows of one map: many small ones go through a product, few large ones stay in cache
WINDOW_BYTES = 24 << 20
MAPS_BYTES = 96 << 20  # of all maps that units on their way through whole maps may take


class Windows(NamedTuple):
    """Of each of U units a window of one feature map.

    r: (U, h, w, C), on the net's device.  corner: (U, 2), row and column of each window's first
    place in the map.
    rows: (U,), which of the images that went up each unit is of.  at: (U,), the units' places in
    the result. corner, rows and at are NumPy's.
    """

    r: Array
    corner: np.ndarray
    rows: np.ndarray
    at: np.ndarray

    def part(self, some: Any) -> Windows:
        """Those of the units `some`, a slice."""
        return Windows(*(column[some] for column in self))


def window_sizes(net: Net, name: str) -> Any:
    """[(rows, columns) computed for a unit of layer object `name`]: of the pixels, ..., of its own
    layer's map.

    A map's own size where a window would be as large, or where branches meet: from there down whole
    maps are computed.
    """
    size, sizes, whole, path = (1, 1), [], whole_maps(net, name), net.path(name)
    for place in reversed(range(len(path))):
        sizes.append(size := _or_whole(size, whole[place + 1]))
        if not sole(path, place):
            # whole maps up to this node's own, whose size is the last of `sizes`
            return [*whole[: place + 2], *reversed(sizes[:-1])]
        if window := path[place].layer.window:
            size = window.reach(size)
    return [_or_whole(size, whole[0]), *reversed(sizes)]


def sole(path, place):
    """Whether node `place` of a path takes nothing but the output of the one before it."""
    return path[place].inputs == ((path[place - 1].name if place else IMAGE),)


def whole_maps(net: Net, name: str) -> Any:
    """The same list for the way through whole maps."""
    return [net.shape[:2], *(net.shapes[node.name][:2] for node in net.path(name))]


def _or_whole(size, whole):
    return whole if size[0] * size[1] >= whole[0] * whole[1] else size


def go_down(net, caches, windows, sizes, rules=PAPER, out=None, watch=None):
    """Units to pixel space: (U, H, W, C), the same as net.deconv makes of them in whole maps.

    caches: of the images that went up, as far as the units' layer.
    windows: the Windows of the units' own layer, of one place or of the whole map.
    sizes: window_sizes or whole_maps of that layer.
    out: where the results are put, out[windows.at]; by default a new array.
    watch: the function watch(node, below, windows) that is told of each step down, `windows` being
    what came out of it for the input `below`; for a node of several inputs it is called with each.
    """
    if out is None:
        out = array_module(windows.r).empty((len(windows.r), *net.shape), windows.r.dtype)
    path, whole = (
        [net.nodes[name] for name in caches],
        [net.shape, *(net.shapes[name] for name in caches)],
    )
    for place in reversed(range(len(path))):
        node = path[place]
        whole_from_here = sizes[place + 1] == whole[place + 1][:2] or (
            node.layer.window and not node.layer.deconv_window
        )
        most = _at_once(sizes, whole[: place + 1], windows.r.itemsize, whole_from_here)
        if whole_from_here or len(windows.r) > most:
            caches = _below(caches, node.name)
            go_on = _go_down_whole if whole_from_here else go_down
            for some in cut(len(windows.r), most):
                go_on(net, caches, windows.part(some), sizes, rules, out, watch)
            return out
        r, corner = step(
            node.layer, *windows[:2], caches[node.name], windows.rows, whole[place], rules
        )
        windows = windows._replace(r=r, corner=corner)
        if watch:
            watch(node, node.inputs[0], windows)
    put(windows.r, windows.corner, net.shape[:2], out, windows.at)
    return out


def _go_down_whole(net, caches, windows, sizes, rules, out, watch):
    """The rest of the way through whole maps; `sizes` are not asked any more."""
    xp, r = (
        array_module(windows.r),
        put(windows.r, windows.corner, net.shapes[next(reversed(caches))][:2]),
    )
    origin = np.zeros_like(windows.corner)

    def tell(node, parts):
        for below, part in zip(node.inputs, parts if node.layer.joins else (parts,), strict=True):
            watch(node, below, windows._replace(r=part, corner=origin))

    caches = select(net, caches, xp.asarray(windows.rows))
    out[xp.asarray(windows.at)] = net.deconv(r, caches, rules, tell if watch else None)


def _below(caches, name):
    """The caches up to that of layer `name`."""
    names = list(caches)
    return {name: caches[name] for name in names[: names.index(name) + 1]}


def _at_once(sizes, shapes, itemsize, whole_from_here):
    """How many units may go on together, through windows of these sizes or through all of the whole
    maps below.
    """
    maps = [
        height * width * shape[2] * itemsize
        for (height, width), shape in zip(sizes, shapes, strict=False)
    ]
    return max(1, MAPS_BYTES // sum(maps) if whole_from_here else WINDOW_BYTES // maps[-1])


def step(layer, r, corner, cache, rows, below, rules):
    """One layer down: (the window of its input, its corner).  below: the shape of that input's map."""
    if layer.deconv_window:
        return layer.deconv_window(r, corner, cache, rows, below, rules)
    if layer.rule and getattr(rules, layer.rule) in layer.cached_rules:
        cache = gather(cache, rows, corner, r.shape[1:3])
    out = layer.deconv(r, cache, rules)
    if out.shape != r.shape:  # or a compiled loop below would read beside it
        kind, by = type(layer).__name__, getattr(rules, layer.rule) if layer.rule else "this rule"
        raise ValueError(
            f"A {kind} changes the size of its windows: if it reads its cache by {by}, cached_rules say so."
        )
    return out, corner


def select(net: Net, caches: Caches, rows: Any) -> Caches:
    """The caches of these images, in this order, as if forward had been given just them (again
    and again).

    ValueError: a layer says nowhere how the images of its cache are selected.
    """
    return {name: _select_one(net[name], cache, rows) for name, cache in caches.items()}


def _select_one(layer, cache, rows):
    if layer.select_cache:
        return layer.select_cache(cache, rows)
    if hasattr(cache, "dtype"):
        return cache[rows]
    if cache is None or (
        isinstance(cache, tuple) and all(isinstance(part, (int, float)) for part in cache)
    ):
        return cache
    kind = type(layer).__name__
    raise ValueError(
        f"The cache of a {kind} is neither None, an array (N, ...) nor a tuple of numbers: "
        "give it a select_cache."
    )
