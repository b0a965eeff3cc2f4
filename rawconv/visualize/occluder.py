"""A square that hides a part of a picture, wherever it is put: what the net then says.

    passed = forward_pass(net, "cat.jpg")
    places = Places.of(net.shape, side=16, stride=2)
    for answers in cover(passed, places.boxes, "conv5:17:3:5"): ...    a few squares at a time
    places.grid(p)                                                     their numbers as a heat map

Zeiler & Fergus 2013, figure 7.  Of each map only what the square reaches is computed again: perturbed.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ..data.preprocessing import preprocess, stored_size
from ..layers.softmax import softmax
from ..machine.arrays import Array, array_module, to_cpu
from ..machine.threads import cut
from . import perturbed
from .forward_pass import ForwardPass
from .units import Unit, layer_object

GREY = 128  # of the square
AT_ONCE = 64  # squares between two answers


class Answers(NamedTuple):
    """What the net says of a picture under some squares.

    p, logits: (n, classes).  values: of the unit that was asked for, (n,); None without one.
    """

    p: np.ndarray
    logits: np.ndarray
    values: np.ndarray | None


class Places(NamedTuple):
    """Where the square's middle was, its rows and columns; the boxes (n, 4), row by row: top, left,
    bottom, right, cut off at the border; the square's side."""

    rows: np.ndarray
    columns: np.ndarray
    boxes: np.ndarray
    side: int

    @classmethod
    def of(cls, shape: Sequence[int], side: int, stride: int) -> Places:
        """Every `stride` pixels of a picture of `shape`, as far from one border as from the other."""
        rows, columns = (
            np.arange((length - 1) % stride // 2, length, stride) for length in shape[:2]
        )
        tops = (
            np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2) - side // 2
        )
        return cls(
            rows,
            columns,
            np.hstack([np.maximum(tops, 0), np.minimum(tops + side, shape[:2])]),
            side,
        )

    def grid(self, values: np.ndarray) -> np.ndarray:
        """Arrange values (n,) of the boxes as (rows, columns)."""
        return values.reshape(len(self.rows), len(self.columns))

    def middle(self, index: int) -> dict[str, int]:
        """Return {"y", "x"} of the middle of box `index`."""
        row, column = divmod(int(index), len(self.columns))
        return {"y": int(self.rows[row]), "x": int(self.columns[column])}


def cover(
    passed: ForwardPass, boxes: np.ndarray, unit: Unit | str | None = None, at_once: int = AT_ONCE
) -> Iterator[Answers]:
    """Yield the Answers of the picture with each box grey, `at_once` boxes at a time, in their order.

    passed: of one picture, that went up to the class scores.
    boxes: (n, 4), top, left, bottom, right of each in pixels of the net's input, inside it.
    unit: whose activation is told, of a whole map the largest; a name without a place is the
    strongest place of its map in the picture as it is.
    """
    net, size = passed.net, stored_size(passed.net)
    grey = preprocess(net, np.full((1, size, size, 3), GREY, np.uint8))
    unit = None if unit is None else passed.unit(unit)
    names = [net.output, *([layer_object(net, unit.layer)] if unit else [])]
    for part in cut(len(boxes), at_once):
        change = changes(passed.x, grey, boxes[part])
        maps = perturbed.forward(net, passed.maps, *change, list(dict.fromkeys(names)))
        y, values = maps[net.output], None
        if unit:
            channel = to_cpu(maps[names[-1]][..., unit.channel])
            values = channel.max(axis=(1, 2)) if unit.whole else channel[:, unit.y, unit.x]
        p, logits = (to_cpu(each).reshape(len(y), -1) for each in (softmax(y), y))
        yield Answers(p, logits, values)


def changes(x: Array, grey: Array, boxes: np.ndarray) -> tuple[Array, np.ndarray]:
    """Return (r (n, h, w, C), corner (n, 2)) for perturbed.forward: windows of one size of x, in each a
    box of `grey`.

    x, grey: prepared pictures (1, H, W, C).  A box that the border cuts off is smaller than its
    window, which keeps the pixels of x beside it.
    """
    size = (boxes[:, 2:] - boxes[:, :2]).max(axis=0)
    corner = np.minimum(boxes[:, :2], np.array(x.shape[1:3]) - size)
    xp = array_module(x)
    rows, columns = (corner[:, axis, None] + np.arange(size[axis]) for axis in range(2))
    top, left, bottom, right = boxes.T[:, :, None]
    covered = (top <= rows) & (rows < bottom), (left <= columns) & (columns < right)
    which = (covered[0][:, :, None] & covered[1][:, None]).astype(np.int64)  # of x and grey
    places = which, rows[:, :, None], columns[:, None]
    return xp.concatenate([x, grey])[tuple(map(xp.asarray, places))], corner
