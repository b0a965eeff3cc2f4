"""Which window of every map below a unit reaches: what windowed.py computes.

    window_sizes(net, "relu5")      [(139, 139), ..., (1, 1)]: of the pixels, ..., of the layer's own map
    boxes(net, "relu5")             {node: Box}: also where each window lies

Where branches meet on the way down, the window is the union of theirs: each path has one constant
offset from the unit, so one box holds for all units.  Paths of unequal stride meet in the whole map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..net import IMAGE

if TYPE_CHECKING:
    from typing import Any

    from ..net import Net


class Box(NamedTuple):
    """The window of one map that units of a layer reach: its size, rows and columns, and its first
    place, which is offset + stride * the unit's own.  None for both: the whole map.
    """

    size: tuple[int, int]
    offset: tuple[int, ...] | None
    stride: tuple[int, ...] | None

    def below(self, window: Any) -> Box:
        """The Box of the input of a layer with this Window."""
        if self.offset is None or self.stride is None:
            return Box(window.reach(self.size), None, None)
        steps = window.stride
        offset = tuple(o * s - p for o, s, p in zip(self.offset, steps, window.pad, strict=False))
        stride = tuple(n * s for n, s in zip(self.stride, steps, strict=True))
        return Box(window.reach(self.size), offset, stride)

    def union(self, other: Box, whole: tuple[int, int]) -> Box:
        """The union of two on a map of size `whole`."""
        if self.offset is None or other.offset is None or self.stride != other.stride:
            return Box(whole, None, None)
        both = [
            (min(a, b), max(a + n, b + m))
            for a, n, b, m in zip(self.offset, self.size, other.offset, other.size, strict=True)
        ]
        size = (both[0][1] - both[0][0], both[1][1] - both[1][0])
        return Box(size, tuple(first for first, _ in both), self.stride)


def boxes(net: Net, name: str) -> dict[str, Box]:
    """{node, or IMAGE: its Box} for a unit of layer object `name`, of all that it is made of."""
    reached = {name: Box((1, 1), (0, 0), (1, 1))}
    for node in reversed(net.path(name)):
        box = reached[node.name] = _or_whole(reached[node.name], net.shapes[node.name][:2])
        below = box.below(node.layer.window) if node.layer.window else box
        for source in node.inputs:
            whole = net.shapes.get(source, net.shape)[:2]
            reached[source] = reached[source].union(below, whole) if source in reached else below
    reached[IMAGE] = _or_whole(reached[IMAGE], net.shape[:2])
    return reached


def window_sizes(net: Net, name: str) -> Any:
    """[(rows, columns) computed for a unit of layer object `name`]: of the pixels, ..., of its own
    layer's map.

    A map's own size where a window would be as large, or where branches of unequal stride meet: from
    there down whole maps are computed.
    """
    reached = boxes(net, name)
    return [
        reached[node_name].size for node_name in (IMAGE, *(node.name for node in net.path(name)))
    ]


def whole_maps(net: Net, name: str) -> Any:
    """The same list for the way through whole maps."""
    return [net.shape[:2], *(net.shapes[node.name][:2] for node in net.path(name))]


def _or_whole(box, whole):
    large = box.size[0] * box.size[1] >= whole[0] * whole[1]
    return Box(whole, None, None) if large else box
