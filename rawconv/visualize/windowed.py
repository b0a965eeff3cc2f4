"""The way down through the receptive field alone: a unit's projection is zero everywhere else.

    y, caches = net.forward(x, name)
    r = go_down(net, caches, Windows(seed, places, rows, numbers), window_sizes(net, name))

A window is a small map per unit, r (U, h, w, C), and its corner (U, 2): the map's row and column at
its first place. A layer takes the window of size n at corner o to the one of size (n - 1) * stride
+ k at corner o * stride - pad; from conv5 of the paper's net they are 1-3-5-7-15-33-67-139 of
13-13-13-26-55-110-224 places.  Where a window would be as large as its map, the whole map goes on
from there, so that no net is slower this way.  boxes.py says which windows they are.

A window may hang over its map.  What lies outside is set to zero after every layer: in a whole map
it does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..layers import PAPER, Rules
from ..layers.cutouts import gather, put
from ..machine.arrays import Array, array_module
from ..machine.buffers import zeros
from ..machine.threads import cut
from ..net import IMAGE
from .boxes import boxes

if TYPE_CHECKING:
    from typing import Any

    from ..net import Caches, Net
    from .boxes import Box

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


class Descent(NamedTuple):
    """What holds for all units on their way down.  sizes, boxes: {node, or IMAGE: the size of its
    windows, its Box}.
    """

    net: Net
    rules: Any
    sizes: dict[str, Any]
    boxes: dict[str, Box]
    out: Array
    watch: Any


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
    name = next(reversed(caches))
    way = Descent(
        net, rules, dict(zip((IMAGE, *caches), sizes, strict=True)), boxes(net, name), out, watch
    )
    _go_on(way, caches, {name: windows}, windows.corner)
    return out


def _go_on(way, caches, reached, origin):
    """From the nodes of `caches` to the pixels.

    reached: {node: the Windows of its map that stand for what came down to it so far}.
    origin: (U, 2), the units' own places.
    """
    net, names = way.net, list(caches)
    while names:
        node, whole = net.nodes[names[-1]], net.shapes[names[-1]][:2]
        whole_from_here = way.sizes[node.name] == whole or (
            node.layer.window and not node.layer.deconv_window
        )
        most = _at_once(way, names, whole_from_here)
        if whole_from_here or len(origin) > most:
            left = {name: caches[name] for name in names}
            go_on = _go_on_whole if whole_from_here else _go_on
            for some in cut(len(origin), most):
                parts = {name: windows.part(some) for name, windows in reached.items()}
                go_on(way, left, parts, origin[some])
            return
        names.pop()
        _step_down(way, node, caches[node.name], reached, origin)
    windows = reached[IMAGE]
    put(windows.r, windows.corner, net.shape[:2], way.out, windows.at)


def _step_down(way, node, cache, reached, origin):
    """One node down: its Windows leave `reached`, and what comes out of it is added to its inputs'."""
    windows, net = reached.pop(node.name), way.net
    below = net.shapes.get(node.inputs[0], net.shape)
    r, corner = step(node.layer, *windows[:2], cache, windows.rows, below, way.rules)
    for name, part in zip(node.inputs, r if node.layer.joins else (r,), strict=True):
        made = windows._replace(r=part, corner=corner)
        if way.watch:
            way.watch(node, name, made)
        reached[name] = _summed(way, name, reached.get(name), made, origin)


def _summed(way, name, before, windows, origin):
    """The sum of two Windows of one map, or of one and nothing, as windows of the map's Box."""
    box, shape = way.boxes[name], way.net.shapes.get(name, way.net.shape)
    if box.offset is None:
        if before is None:  # in windows, until all goes on in whole maps
            return windows
        r = [put(part.r, part.corner, shape[:2]) for part in (before, windows)]
        return windows._replace(r=r[0] + r[1], corner=np.zeros_like(origin))
    if windows.r.shape[1:3] == box.size:
        return windows if before is None else windows._replace(r=before.r + windows.r)
    corner = origin * box.stride + box.offset
    size = (len(origin), *box.size, shape[2])
    r = zeros(windows.r, size) if before is None else before.r.copy()
    top, left = (windows.corner[0] - corner[0]).tolist() if len(origin) else (0, 0)
    r[:, top : top + windows.r.shape[1], left : left + windows.r.shape[2]] += windows.r
    return windows._replace(r=r, corner=corner)


def _go_on_whole(way, caches, reached, origin):
    """The rest of the way through whole maps; sizes are not asked any more."""
    net = way.net
    r = {
        name: put(windows.r, windows.corner, net.shapes.get(name, net.shape)[:2])
        for name, windows in reached.items()
    }
    windows, corner = next(iter(reached.values())), np.zeros_like(origin)

    def tell(node, parts):
        for below, part in zip(node.inputs, parts if node.layer.joins else (parts,), strict=True):
            way.watch(node, below, windows._replace(r=part, corner=corner))

    xp = array_module(windows.r)
    caches = select(net, caches, xp.asarray(windows.rows), way.rules)
    down = net.deconv(r, caches, way.rules, tell if way.watch else None)
    way.out[xp.asarray(windows.at)] = down


def _at_once(way, names, whole_from_here):
    """How many units may go on together from the last of `names`, through windows or through all of
    the whole maps below.
    """
    net = way.net

    def size(name):
        height, width = way.sizes[name]
        return height * width * net.shapes.get(name, net.shape)[2] * way.out.itemsize

    if whole_from_here:
        return max(1, MAPS_BYTES // sum(map(size, (IMAGE, *names[:-1]))))
    return max(1, WINDOW_BYTES // max(map(size, net.nodes[names[-1]].inputs)))


def step(layer, r, corner, cache, rows, below, rules):
    """One layer down: (the window of its input, its corner).  below: the shape of that input's map."""
    if layer.deconv_window:
        return layer.deconv_window(r, corner, cache, rows, below, rules)
    if layer.rule and getattr(rules, layer.rule) in layer.cached_rules:
        cache = gather(cache, rows, corner, r.shape[1:3])
    out = layer.deconv(r, cache, rules)
    if layer.joins:
        return out, corner
    if out.shape != r.shape:  # or a compiled loop below would read beside it
        kind, by = type(layer).__name__, getattr(rules, layer.rule) if layer.rule else "this rule"
        raise ValueError(
            f"A {kind} changes the size of its windows: if it reads its cache by {by}, cached_rules say so."
        )
    return out, corner


def select(net: Net, caches: Caches, rows: Any, rules: Rules) -> Caches:
    """The caches of these images, in this order, as if forward had been given just them (again
    and again), as far as the way down by these rules reads them.

    ValueError: a layer says nowhere how the images of its cache are selected.
    """
    return {name: _select_one(net[name], cache, rows, rules) for name, cache in caches.items()}


def _select_one(layer, cache, rows, rules):
    if layer.select_cache:
        return layer.select_cache(cache, rows)
    if layer.cached_rules and getattr(rules, layer.rule) not in layer.cached_rules:
        return cache  # which nobody reads, and a copy would be large
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
