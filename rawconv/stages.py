"""A forward pass that keeps nothing, in stages: where maps are large, some images of the batch at a time.

The largest maps of a net lie in its first layers, and a pass takes as much memory as they do.  An
image's maps depend on no other image, so a stage may take a few images up through its nodes, and
then the next few: the maps of all the batch exist only between two stages, where they are small.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from .machine.arrays import Array
from .machine.buffers import empty
from .machine.threads import cut

IMAGE = ""  # among the names of nodes: the image that goes up
AT_ONCE = 32 << 20  # bytes of a stage's maps that exist at once, about, unless ...
MOST_PARTS = 4  # ... it took more parts for that: each transforms Winograd's filters anew
BETWEEN = 32 << 20  # bytes of the map of all the batch between two stages, at most


class Stage(NamedTuple):
    """Nodes whose last alone has consumers above them, and how many images go up through them at once."""

    nodes: list[Any]
    images: int


def forward_in_stages(net: Any, x: Array, stop: str | None) -> Array:
    """Return the output of node `stop`, or of the last: the bits of one pass over all of x (N, H, W, C).

    On a CPU, without an rng_key.
    """
    maps, y, asked = {IMAGE: x}, x, (stop,)
    net = net.with_execution(images=len(x))  # what "auto" chooses for all of them
    for nodes, images in stages(net, len(x), x.itemsize, stop):
        top = nodes[-1].name
        if images < len(x):
            ((name, below),) = maps.items()
            y = empty(x, (len(x), *net.shapes[top]))
            for part in cut(len(x), images):
                y[part] = _last(net.walk_up(nodes, {name: below[part]}, asked=asked))
            del below
        else:
            del y  # only `maps` holds it from here on
            y = _last(net.walk_up(nodes, maps, asked=asked))
        maps = {top: y}
    return y


def _last(steps: Iterable[tuple[str, Array, Any]]) -> Array:
    """Return the last output of a walk, whose caches are dropped on the way."""
    for _, y, cache in steps:  # noqa: B007 (the last y is the result)
        del cache
    return y


def stages(net: Any, batch: int, itemsize: int, stop: str | None = None) -> list[Stage]:
    """Return the stages of a pass of `batch` images of numbers of so many bytes.

    A stage ends where all that is needed above is one map of at most BETWEEN bytes.  Neighbours
    that take all the images at once are one stage.
    """
    merged: list[Stage] = []
    pieces = _cut_where_small(net, batch, itemsize, stop)
    room = max(AT_ONCE, batch * max(most for _, most in pieces) / MOST_PARTS)
    for nodes, most in pieces:
        images = math.ceil(batch / max(1, math.ceil(batch * most / room)))
        if merged and images == merged[-1].images == batch:
            merged[-1].nodes.extend(nodes)
        else:
            merged.append(Stage(nodes, images))
    return merged


def _cut_where_small(net, batch, itemsize, stop):
    """[(nodes, the most bytes an image has in maps while it goes up through them)]."""
    path, fused = net.path(stop or net.output), net.fused_ceilings
    fused.pop(stop, None)
    waiting = Counter(name for node in path for name in node.inputs)
    alive, nodes, most, pieces = {IMAGE: 0}, [], 1, []  # the images are the caller's
    for node in path:
        size = math.prod(net.shapes[node.name]) * itemsize
        # a ReLU that was fused has no map of its own
        own = 0 if node.inputs[0] in fused else size
        most = max(most, sum(alive.values()) + own)
        for name in node.inputs:
            waiting[name] -= 1
            if not waiting[name]:
                del alive[name]
        alive[node.name] = size
        nodes.append(node)
        if node is path[-1] or (len(alive) == 1 and size * batch <= BETWEEN):
            pieces.append((nodes, most))
            nodes, most = [], 1
    return pieces
