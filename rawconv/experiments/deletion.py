"""Deletion and insertion: whether a picture of what matters to a unit shows what matters.

    orders = {"deconvnet": order_of(squared_norm(projection, blocks)), "edges": ...}
    deletion, insertion = curves(net, x, unit, blocks, orders)      each {name: (STEPS + 1,)}

The unit's field is cut into blocks.  Deletion fills them with the pixel mean, those with the
largest squared norm first; insertion begins with a field that is all mean and gives them back.
After each of STEPS steps the picture goes up again, whole, and the unit's activation is divided by
what it was.  A good order makes deletion fall and insertion rise early: the area under the curve
says how early.
Petsiuk, Das & Saenko 2018; Samek et al. 2017.
"""

import numpy as np

from ..machine.arrays import array_module, to_cpu
from ..machine.threads import cut
from ..visualize.forward_pass import WORKSPACE, at_once
from ..visualize.units import layer_object

STEPS = 20
SMALL, SIDES = 128, (4, 8)  # pixels of a block's side in nets for smaller pictures, and in others


def blocks(net, unit):
    """(B, 4) int: the blocks of a unit's field, row by row: top, left, bottom, right, cut at the picture."""
    side = SIDES[max(net.shape[:2]) >= SMALL]
    top, left, bottom, right = unit.inner_box(net)
    return np.array([
        (y, x, min(y + side, bottom), min(x + side, right))
        for y in range(top, bottom, side) for x in range(left, right, side)
    ])  # fmt: skip


def squared_norm(r, boxes):
    """(B,) the sum of squares of r (H, W, C) in each box."""
    squared = np.square(r, dtype=float).sum(axis=2).cumsum(axis=0).cumsum(axis=1)
    squared = np.pad(squared, ((1, 0), (1, 0)))
    top, left, bottom, right = boxes.T
    return squared[bottom, right] - squared[top, right] - squared[bottom, left] + squared[top, left]


def order_of(squared_norms):
    """(B,) int: the place of each block in the order, the one with the largest squared norm first."""
    return np.argsort(np.argsort(-squared_norms, kind="stable"), kind="stable")


def curves(net, x, unit, boxes, orders):
    """({name: (STEPS + 1,)} of deletion, the same of insertion): the unit's activation as a share of that in x.

    x: (1, H, W, C), as it went up, on the net's device.  boxes: `blocks`.  orders: {name: `order_of`}.
    """
    xp, name = array_module(x), layer_object(net, unit.layer)
    place = np.full(
        (len(orders), *net.shape[:2]), -1
    )  # of each pixel's block; outside none is touched
    for number, order in enumerate(orders.values()):
        for rank, (top, left, bottom, right) in zip(order, boxes, strict=True):
            place[number, top:bottom, left:right] = rank
    done = np.rint(np.arange(STEPS + 1) * len(boxes) / STEPS).astype(int)
    touched = (place[:, None] >= 0) & (place[:, None] < done[:, None, None])
    waiting = place[:, None] >= done[:, None, None]
    images = np.concatenate([touched, waiting]).reshape(-1, *net.shape[:2])
    values = []
    for part in cut(len(images), at_once(net, [unit.layer], WORKSPACE)):
        kept = x * xp.asarray(~images[part, :, :, None]).astype(x.dtype)
        values.append(
            to_cpu(net.forward(kept, name, keep=False)[0][:, unit.y, unit.x, unit.channel])
        )
    values = np.concatenate(values).reshape(2, len(orders), STEPS + 1).astype(float)
    values /= values[0, 0, 0]  # nothing deleted
    return tuple(dict(zip(orders, way, strict=True)) for way in values)


def area(curve):
    """The area under a curve (..., STEPS + 1) over shares of the field from 0 to 1."""
    return (curve[..., 1:] + curve[..., :-1]).mean(axis=-1) / 2
