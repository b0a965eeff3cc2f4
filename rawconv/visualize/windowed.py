"""Down through the receptive field alone: of what a unit is made of, nothing else can be other than zero.

    y, caches = net.forward(x, name)
    r = project_windows(net, seed, places, caches, rows, window_sizes(net, name))

A window is a small map per unit, r (U, h, w, C), and its corner (U, 2): the map's row and column at its first place.
A layer takes the window of size n at corner o to the one of size (n - 1) * stride + k at corner o * stride - pad; from
conv5 of the paper's net they are 1-3-5-7-15-33-67-139 of 13-13-13-26-55-110-224 places.  Where a window would be as
large as its map, the whole map goes on from there, so that no net is slower this way.

A window may hang over its map.  What lies outside is set to zero after every layer: in a whole map it does not exist.
"""

import copy

import numpy as np

from ..layers import PAPER
from ..layers.average_pool import AveragePool
from ..layers.conv import Conv
from ..layers.lrn import LRN
from ..layers.max_pool import Cache, MaxPool
from ..layers.relu import ReLU
from ..machine.arrays import array_module
from ..machine.threads import cut
from ..net import IMAGE

WINDOW_BYTES = 24 << 20  # of the windows of one map: many small ones go through a product, few large ones stay in cache
MAPS_BYTES = 96 << 20  # of all maps that units on their way through whole maps may take


def window_sizes(net, name):
    """[(rows, columns) computed for a unit of layer object `name`]: of the pixels, ..., of its own layer's map.

    A map's own size where a window would be as large, or where branches meet: from there down whole maps are computed.
    """
    size, found, whole, path = (1, 1), [], whole_maps(net, name), net.path(name)
    for place in reversed(range(len(path))):
        found.append(size := _or_whole(size, whole[place + 1]))
        if not sole(path, place):
            return [*whole[: place + 1], whole[place + 1], *reversed(found[:-1])]
        if window := getattr(path[place].layer, "window", None):
            size = tuple(map(_reach, size, window.size, window.stride))
    return [_or_whole(size, whole[0]), *reversed(found)]


def sole(path, place):
    """Whether node `place` of a path takes nothing but the output of the one before it."""
    return path[place].inputs == ((path[place - 1].name if place else IMAGE),)


def whole_maps(net, name):
    """The same list for the way through whole maps."""
    return [net.shape[:2], *(net.shapes[node.name][:2] for node in net.path(name))]


def _or_whole(size, whole):
    return whole if size[0] * size[1] >= whole[0] * whole[1] else size


def _reach(count, size, stride):
    return (count - 1) * stride + size


def project_windows(net, r, corner, caches, rows, sizes, rules=PAPER, out=None, at=None):
    """Units to pixel space: r (U, 1, 1, C) -> (U, H, W, C), the same as net.deconv makes of them in whole maps.

    r: what stands at each unit's place, one channel or all.  corner: (U, 2) that place, its row and column.
    caches: of the pictures that went up.  rows: (U,) which of those each unit is of.  sizes: window_sizes or whole_maps
    of the units' layer.  out, at: where the results are put, out[at].  corner, rows and at are NumPy's, the rest is on
    the net's device.
    """
    xp, path = array_module(r), [net.nodes[name] for name in caches]
    whole = [net.shape, *(net.shapes[name] for name in caches)]
    if out is None:
        out, at = xp.empty((len(r), *net.shape), r.dtype), np.arange(len(r))
    for place in reversed(range(len(path))):
        node = path[place]
        windows_end = sizes[place + 1] == whole[place + 1][:2] or not _known(node.layer)
        most = _at_once(sizes, whole[: place + 1], r.itemsize, windows_end)
        if len(r) > most:
            for some in cut(len(r), most):
                units = (r[some], corner[some], _below(caches, node.name), rows[some])
                project_windows(net, *units, sizes, rules, out, at[some])
            return out
        if windows_end:
            r = put(r, corner, whole[place + 1][:2])
            out[xp.asarray(at)] = net.deconv(r, select(_below(caches, node.name), xp.asarray(rows)), rules)
            return out
        r, corner = step(node.layer, r, corner, caches[node.name], rows, whole[place], rules)
    return put(r, corner, net.shape[:2], out, at)


def _below(caches, name):
    """The caches up to that of layer `name`."""
    names = list(caches)
    return {name: caches[name] for name in names[: names.index(name) + 1]}


def _at_once(sizes, shapes, itemsize, windows_end):
    """How many units may go on together, through windows of these sizes or through all of the whole maps below."""
    maps = [height * width * shape[2] * itemsize for (height, width), shape in zip(sizes, shapes, strict=False)]
    return max(1, MAPS_BYTES // sum(maps) if windows_end else WINDOW_BYTES // maps[-1])


def step(layer, r, corner, cache, rows, below, rules):
    """One layer down: (the window of its input, its corner).  below: the shape of that input's map."""
    if isinstance(layer, Conv):
        size = tuple(map(_reach, r.shape[1:3], layer.window.size, layer.window.stride))
        corner = corner * layer.window.stride - layer.window.pad[:2]
        r = moved(layer, (0, 0)).transpose(r, size, exact_zeros=True)
        return clear(r, corner, below), corner
    if isinstance(layer, AveragePool):
        return _spread(layer, r, corner, below)
    if isinstance(layer, MaxPool):
        return _unpool(layer, r, corner, cache, rows, below, rules)
    if _asks(layer, rules):
        cache = gather(cache, rows, corner, r.shape[1:3])
    return layer.deconv(r, cache, rules), corner


def _unpool(layer, r, corner, cache, rows, below, rules):
    """add: a pooled unit outside the window has the value 0 and adds nothing.  max and overwrite: it has a say where
    it shares a place with one inside, so the window gets a rim of such units first; `none` keeps out the units that
    do not exist."""
    (kh, kw), stride, pad = layer.window.size, layer.window.stride, layer.window.pad[:2]
    size = tuple(map(_reach, r.shape[1:3], (kh, kw), stride))
    rim = (0, 0)
    if rules.shared_switches != "add":
        rim = tuple(-(-k // s) - 1 for k, s in zip((kh, kw), stride, strict=True))
        r = array_module(r).pad(r, ((0, 0), *((n, n) for n in rim), (0, 0)))
    outer = corner - rim
    switches, none = gather(cache.switches, rows, outer, r.shape[1:3]), kh * kw
    if none > np.iinfo(switches.dtype).max:
        switches = switches.astype(np.uint16)
    switches = clear(switches, outer, cache.switches.shape[1:], none)
    layer = moved(layer, (rim[0] * stride[0], rim[1] * stride[1]))
    return layer.deconv(r, Cache(switches, (len(r), *size, r.shape[3])), rules), corner * stride - pad


def _spread(layer, r, corner, below):
    """Each value is divided by the count that its window has in the whole map."""
    counts = gather(layer.counts(below[:2]), np.zeros(len(r), int), corner, r.shape[1:3])
    r = r / array_module(r).asarray(counts, r.dtype)
    size = tuple(map(_reach, r.shape[1:3], layer.window.size, layer.window.stride))
    corner = corner * layer.window.stride - layer.window.pad[:2]
    return clear(layer.without_count().transpose(r, size), corner, below), corner


def _known(layer):
    """Whether `step` goes down through its windows; a newcomer's are left to whole maps."""
    return isinstance(layer, Conv | MaxPool | AveragePool) or getattr(layer, "window", None) is None


def moved(layer, pad):
    """The layer with another padding."""
    layer = copy.copy(layer)
    layer.window = layer.window._replace(pad=(*pad, 0, 0))
    return layer


def _asks(layer, rules):
    """Whether the way down by these rules looks at the cache."""
    return (isinstance(layer, ReLU) and rules.relu != "deconv") or (isinstance(layer, LRN) and rules.lrn != "identity")


def gather(array, rows, corner, size):
    """array (N, H, W, C) -> the windows of `size` at `corner` of these rows, (U, h, w, C).

    Outside the map stands what is nearest: some value, to be cleared or multiplied by zero.
    """
    xp = array_module(array)
    y, x = (np.clip(corner[:, axis, None] + np.arange(size[axis]), 0, array.shape[1 + axis] - 1) for axis in range(2))
    return array[xp.asarray(rows[:, None, None]), xp.asarray(y[:, :, None]), xp.asarray(x[:, None, :])]


def clear(r, corner, whole, value=0):
    """r, with `value` wherever a window lies outside its map; whole: the map's (H, W, ...)."""
    xp = array_module(r)
    y, x = (corner[:, axis, None] + np.arange(r.shape[1 + axis]) for axis in range(2))
    y, x = (y < 0) | (y >= whole[0]), (x < 0) | (x >= whole[1])
    over = np.flatnonzero(y.any(axis=1) | x.any(axis=1))
    if len(over):
        outside, over = xp.asarray(y[over, :, None] | x[over, None, :]), xp.asarray(over)
        some = r[over]
        some[outside] = value
        r[over] = some
    return r


def put(r, corner, size, out=None, at=None):
    """The windows at their places in whole maps of `size`, zero elsewhere; what hangs over is cut off.

    out, at: where the maps are to be, out[at].
    """
    if out is None and r.shape[1:3] == tuple(size) and not corner.any():
        return r
    if out is None:
        out, at = array_module(r).empty((len(r), *size, r.shape[3]), r.dtype), np.arange(len(r))
    for unit, (number, (top, left)) in enumerate(zip(at.tolist(), corner.tolist(), strict=True)):
        out[number] = 0
        paste(out[number], r[unit], top, left)
    return out


def paste(x, r, top, left):
    """Write the window r (h, w, C) into the map x (H, W, C) at (top, left); what hangs over is cut off."""
    y0, y1 = max(0, top), min(x.shape[0], top + r.shape[0])
    x0, x1 = max(0, left), min(x.shape[1], left + r.shape[1])
    if y0 < y1 and x0 < x1:
        x[y0:y1, x0:x1] = r[y0 - top : y1 - top, x0 - left : x1 - left]


def select(caches, rows):
    """The caches of these pictures, in this order, as if forward had been given just them (again and again)."""

    def gather(cache):
        if isinstance(cache, Cache):  # a pool's switches
            return Cache(cache.switches[rows], (len(rows), *cache.shape[1:]))
        return cache if cache is None or isinstance(cache, tuple) else cache[rows]  # what belongs to no picture stays

    return {name: gather(cache) for name, cache in caches.items()}
