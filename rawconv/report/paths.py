"""The way down, watched: what unpool, rectify and filter leave of one unit, step by step, for the page's many units.

As trace.py does for one unit, but up by the net as it is, so that a unit has the value its scan found; down by the
`exact` one, so that what is not zero can be counted.  A dropout, which does nothing here, is a step as well.
"""

from typing import NamedTuple

import numpy as np

from ..data.preprocessing import center_crop, preprocess
from ..layers import PAPER
from ..machine.arrays import array_module, to_cpu
from ..machine.threads import cut
from ..visualize.projection import at_once
from ..visualize.trace import WORDS, exact
from ..visualize.units import is_score
from ..visualize.windowed import MAPS_BYTES, select

MAPS = 4  # the strongest maps of a step that are drawn one by one
SIDE = 32  # pixels of their thumbnails at most


class Way(NamedTuple):
    """One unit: its value, its projection r (H, W, C), the picture it saw (uint8, H, W, 3), and of every step down

    energy, the sum of r squared, and share, of r that is not 0.  sights: [Sight of every step], or None if unwatched.
    """

    value: float
    r: np.ndarray
    picture: np.ndarray
    energy: list
    share: list
    sights: list


class Sight(NamedTuple):
    """A step as a row of thumbnails, uint8 (h, n * w), 128 is 0: all maps in one, then those numbered `maps`."""

    pixels: np.ndarray
    maps: list


def steps(net, name):
    """[{"layer", "verb", "shape": of r below it, "thumb": (h, w)}] from layer object `name`."""
    if name not in net.nodes:
        raise ValueError(f"There is no layer {name!r}.")
    found = []
    for node in reversed(net.path(name)):
        verb = WORDS[type(node.layer)]
        for below in node.inputs:
            shape = tuple(net.shapes.get(below, net.shape))
            found.append({"layer": node.name, "verb": verb, "shape": shape, "thumb": _thumb(shape)})
    return found


def follow(net, split, name, units, watched, rules=PAPER):
    """Yield (k, Way of units[k]) of many units of layer object `name`, in the order of their pictures.

    units: [(picture id, map, y, x)].  watched: whether each one's steps are drawn.  Seeds as in project_units.
    """
    order = sorted(range(len(units)), key=lambda k: units[k])
    for part in cut(len(order), at_once(net, name, net.dtype, MAPS_BYTES)):
        some = order[part]
        ids, rows = np.unique([units[k][0] for k in some], return_inverse=True)
        pictures = split.read(ids)
        y, caches = net.forward(preprocess(net, pictures), name)
        places = np.array([units[k][1:] for k in some]).T
        values, energy, share, sights, r = _down(net, name, y, caches, rows, places, [watched[k] for k in some], rules)
        looks = center_crop(net, pictures)
        for i, k in enumerate(some):
            yield k, Way(float(values[i]), r[i], looks[rows[i]], energy[i], share[i], sights.get(i))


def _down(net, name, y, caches, rows, places, watched, rules):
    """The units of one chunk all the way: values (U,), energy and share (U, steps), {u: [Sight]}, r (U, H, W, C)."""
    xp, count = array_module(y), np.arange(len(rows))
    number, top, left = (xp.asarray(column) for column in places)
    rows, seconds = xp.asarray(rows), xp.asarray(count)
    values = y[rows, top, left, number]
    r = xp.zeros((len(count), *y.shape[1:]), y.dtype)
    r[seconds, top, left, number] = 1 if is_score(net, name) else values
    caches, energy, share = select(caches, rows), [], []
    sights = {int(u): [] for u in np.flatnonzero(watched)}

    def step(node, r):
        below = node.layer.deconv(r, caches[node.name], rules)
        for part in below if isinstance(below, tuple) else (below,):
            flat = part.reshape(len(part), -1)
            energy.append(to_cpu((flat.astype(np.float64) ** 2).sum(axis=1)))
            share.append(to_cpu((flat != 0).mean(axis=1)))
            for u, row in sights.items():
                row.append(_sight(to_cpu(part[u])))
        return below

    r = exact(net).down(r, caches, step)
    return to_cpu(values), np.stack(energy, 1), np.stack(share, 1), sights, to_cpu(r)


def _sight(r):
    """r (H, W, C) of one step -> Sight.  All tiles of maps have one scale; of 1x1 maps all stand in one grid."""
    height, width, maps = r.shape
    thumb = _thumb(r.shape)
    if (height, width) == (1, 1):
        flat = np.zeros(thumb[0] * thumb[1])
        flat[:maps] = r.ravel()
        return Sight(_grey(flat.reshape(thumb)), [])
    strength = (r.astype(np.float64) ** 2).sum(axis=(0, 1))
    best = [number for number in np.argsort(-strength, kind="stable")[:MAPS].tolist() if strength[number]]
    small = [_shrink(r[:, :, number], thumb) for number in best]
    whole = _grey(_shrink(np.sqrt((r.astype(np.float64) ** 2).sum(axis=2)), thumb))
    return Sight(np.concatenate([whole, _grey(np.concatenate(small, axis=1))] if best else [whole], axis=1), best)


def _thumb(shape):
    """(rows, columns) of the thumbnail of one map of this shape."""
    height, width, maps = shape
    if (height, width) == (1, 1):
        return -(-maps // SIDE), min(maps, SIDE)
    scale = min(1, SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _shrink(one, thumb):
    from PIL import Image

    if one.shape == thumb:
        return one
    picture = Image.fromarray(np.ascontiguousarray(one, np.float32))
    return np.asarray(picture.resize(thumb[::-1], Image.Resampling.BOX))


def _grey(values):
    largest = np.abs(values).max()
    return np.rint(128 + 127 * values / (largest or 1)).astype(np.uint8)
