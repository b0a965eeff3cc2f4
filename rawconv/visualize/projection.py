"""From a unit back to pixels: pick one, keep its activation, walk down.  Zeiler & Fergus 2013, section 2.1.

    net, info, state = rawconv.checkpoint.load(path)
    r = project(net, picture, "conv4:17")          what the strongest place of map 17 saw: (H, W, 3), signed
    Image.fromarray(display(r)).show()             zero is mid-grey

1. One forward walk records the caches (the pools' switches among them).
2. Everything in the unit's layer is set to zero but the unit, which keeps its value.
3. net.deconv carries that down: unpool, rectify, filter with the transpose, again and again, into pixel space.
"""

from __future__ import annotations

import math
import typing
import warnings

import numpy as np

from ..data.pictures import is_batch, stored_batch
from ..data.preprocessing import preprocess, stored_image, stored_size
from ..errors import UsageError
from ..layers import PAPER, Rules
from ..machine.arrays import Array, array_module, to_cpu
from ..machine.threads import cut
from ..net import Net
from .units import is_score, layer_object, parse_unit, user_name
from .windowed import project_windows, whole_maps, window_sizes

if typing.TYPE_CHECKING:
    from ..data.pictures import ImageLike, ImagesLike

CACHE_BYTES = 384 << 20  # what the caches of one chunk of pictures may take
UNITS = 256  # that set out together on their way down; windowed.py says how many go on together


def project(net: Net, picture: ImagesLike, unit: str, rules: Rules = PAPER) -> np.ndarray:
    """A picture and a unit -> its projection, signed, (H, W, 3) of the net's input; of several pictures (N, H, W, 3).

    picture: a path, a Pillow picture, uint8 (H, W, 3), (H, W) or (H, W, 4) of any size; several: pictures.py.
    unit: "conv4:17" the strongest place of map 17, "conv4:17:y:x" that place, "conv4:17:*" the whole map.
    Warns of a unit that is 0 in a picture: its projection is empty.
    """
    if not isinstance(rules, Rules):
        raise UsageError(f"rules are a rawconv.layers.Rules, as Rules('guided'), not {rules!r:.80}.")
    found = []
    for one in stored_batch(picture, stored_size(net)):
        _, seed, caches = pick(net, one, unit)
        if not seed.any():
            warnings.warn(dead(net, one, unit), stacklevel=2)
        found.append(to_cpu(net.deconv(seed, caches, rules)[0]))
    return np.stack(found) if is_batch(picture) else found[0]


def dead(net: Net, picture: ImageLike, unit: str) -> str:
    """Of a unit that is 0 in a picture, a sentence with the strongest place of its map; "" of any other, or a score."""
    name, number, place = parse_unit(net, unit)
    y, _ = net.forward(preprocess(net, stored_image(net, picture)[None]), name, keep=False)
    values = to_cpu(y)[0, :, :, number]
    top, left = (int(i) for i in np.unravel_index(values.argmax(), values.shape))
    here = values.any() if place == "*" else values[place or (top, left)]
    if here or is_score(net, name):
        return ""
    given = f"{user_name(net, name)}:{number}"
    if not values.any():
        return f"{given} is 0 everywhere in this picture: it is dead there and its projection is empty."
    return (
        f"{given}:{place[0]}:{place[1]} is 0 in this picture: it is dead there and its projection is empty; the "
        f"strongest place of its map is {given}:{top}:{left}, with {values[top, left]:.4g}."
    )


def pick(net: Net, picture: ImageLike, unit: str) -> tuple[str, Array, list]:
    """Up, and all but the unit set to zero -> (its full name "conv4:17:3:5", the seed (1, H, W, C), the caches)."""
    name, number, place = parse_unit(net, unit)
    y, caches = net.forward(preprocess(net, stored_image(net, picture)[None]), name)
    if place is None:
        place = tuple(int(i) for i in np.unravel_index(int(y[0, :, :, number].argmax()), y.shape[1:3]))
    seed = array_module(y).zeros_like(y)
    part = (0, slice(None), slice(None), number) if place == "*" else (0, *place, number)
    seed[part] = 1 if is_score(net, name) else y[part]
    return ":".join(map(str, (user_name(net, name), number, *place))), seed, caches


def project_units(net, x, layer, units, rules=PAPER, full=False, control=None, others=None):
    """Many units of one layer -> (r (U, H, W, C), their activations (U,)), both on the device of x.

    x: prepared pictures (N, H, W, C).  units: (U, 4) whole numbers: row of x, map, y, x.  Each picture goes up once,
    its units come down in batches, through their receptive fields alone (see windowed.py) or, with full=True, through
    whole maps; memory is bounded whatever U and N.  A unit of value 0 is dead here: r is empty.
    A class score is seeded with 1, any other unit with its activation.
    control: see controls.py; others: (N, H, W, C) the pictures whose switches it exchanges for those of x.
    """
    xp, name = array_module(x), layer_object(net, layer)
    units = np.asarray(units, np.int64).reshape(-1, 4)
    r, values = xp.empty((len(units), *x.shape[1:]), x.dtype), xp.empty(len(units), x.dtype)
    rows, step = np.unique(units[:, 0]), at_once(net, name, x.dtype, CACHE_BYTES)
    sizes, down = whole_maps(net, name) if full else window_sizes(net, name), control.net if control else net
    for part in cut(len(rows), step):
        here = np.flatnonzero(np.isin(units[:, 0], rows[part]))
        y, caches = net.forward(x[xp.asarray(rows[part])], name)
        if control:
            other = None if others is None else net.forward(others[xp.asarray(rows[part])], name)[1]
            caches = control.caches(caches, other)
        for some in cut(len(here), UNITS):
            chosen = here[some]
            row, number, corner = np.searchsorted(rows[part], units[chosen, 0]), units[chosen, 1], units[chosen, 2:]
            at = tuple(xp.asarray(column) for column in (row, *corner.T, number))
            values[xp.asarray(chosen)] = value = y[at]
            seed = xp.zeros((len(chosen), 1, 1, y.shape[3]), y.dtype)
            seed[xp.arange(len(chosen)), 0, 0, at[3]] = 1 if is_score(net, name) else value
            project_windows(down, seed, corner, caches, row, sizes, rules, r, chosen)
    return r, values


def at_once(net, name, dtype, budget):
    """How many pictures may be on their way together, if the maps of one up to `name` share `budget` bytes."""
    elements = math.prod(net.shape) + sum(math.prod(net.shapes[node.name]) for node in net.path(name))
    return max(1, budget // (elements * np.dtype(dtype).itemsize))
