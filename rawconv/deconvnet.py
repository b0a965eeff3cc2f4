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
import re
import typing
import warnings

import numpy as np

from .arrays import Array, array_module, to_cpu
from .errors import UsageError
from .layers import PAPER, Rules
from .layers.add import Add
from .layers.concat import Concat
from .layers.conv import Conv
from .layers.pool import MaxPool
from .layers.relu import ReLU
from .net import Net
from .pictures import is_batch, stored_batch
from .pictures import stored as stored_picture
from .threads import cut
from .windowed import project_windows, whole_maps, window_sizes

if typing.TYPE_CHECKING:
    from .pictures import Batch, Picture

GREY = 128  # zero, as a pixel: what a projection has outside its field, and what pads a crop over the picture's border
CACHE_BYTES = 384 << 20  # what the caches of one chunk of pictures may take
UNITS = 256  # that set out together on their way down; windowed.py says how many go on together


# ---------------------------------------------------------------------------------------------- naming units


def layer_names(net: Net) -> dict[str, str]:
    """{name a user gives: layer object}.  conv4 and fc6 mean the ReLU after them; the last layer is `scores`."""
    names = {}
    for name, layer in net.layers:
        if isinstance(layer, Conv | Add):
            above = net.consumers[name]
            names[name] = above[0] if len(above) == 1 and isinstance(net[above[0]], ReLU) else name
        elif isinstance(layer, MaxPool | Concat):
            names[name] = name
    return {"scores" if name == net.output else name: found for name, found in names.items()}


def layer_object(net: Net, layer: str | int) -> str:
    """The layer object that `layer` names: "conv4" or plain "4" (relu4), "pool5", "fc6", "scores", or an object."""
    names, layer = layer_names(net), str(layer)
    if layer in names:
        return names[layer]
    numbered = [name for name in net.shapes if name in (f"conv{layer}", f"fc{layer}")] if layer.isdigit() else []
    layer = numbered[0] if numbered else layer
    if layer in net.shapes:
        return names.get(layer, layer)
    raise UsageError(f"There is no layer {layer!r} in this net; the layers are {', '.join(names)}.")


def user_name(net: Net, name: str) -> str:
    """The name a user gives to a layer object: conv4 for relu4."""
    return next((given for given, found in layer_names(net).items() if found == name), name)


def parse_unit(net: Net, unit: str) -> tuple:
    """ "conv4:17", "conv4:17:3:5" or "conv4:17:*" -> (layer object, map, None or (y, x) or "*")."""
    layer, *numbers = str(unit).split(":")
    name = layer_object(net, layer)
    place = "*" if numbers[1:] == ["*"] else None
    numbers = numbers[:1] if place else numbers
    if len(numbers) not in (1, 3) or not all(re.fullmatch(r"\d{1,9}", part) for part in numbers):
        raise UsageError(f"{unit!r} is not a unit; write conv4:17 (its strongest place), conv4:17:y:x or conv4:17:*.")
    number, *where = map(int, numbers)
    height, width, maps = net.shapes[name]
    if number >= maps:
        raise UsageError(f"{unit!r}: layer {layer} has {maps} maps, 0 to {maps - 1}.")
    if where and (where[0] >= height or where[1] >= width):
        raise UsageError(
            f"{unit!r}: a map of layer {layer} has {height}x{width} places, 0:0 to {height - 1}:{width - 1}."
        )
    return name, number, tuple(where) or place


# ---------------------------------------------------------------------------------------------- going down


def project(net: Net, picture: Batch, unit: str, rules: Rules = PAPER) -> np.ndarray:
    """A picture and a unit -> its projection, signed, (H, W, 3) of the net's input; of several pictures (N, H, W, 3).

    picture: a path, a Pillow picture, uint8 (H, W, 3), (H, W) or (H, W, 4) of any size; several: pictures.py.
    unit: "conv4:17" the strongest place of map 17, "conv4:17:y:x" that place, "conv4:17:*" the whole map.
    Warns of a unit that is 0 in a picture: its projection is empty.
    """
    found = []
    for one in stored_batch(picture, stored_size(net)):
        _, seed, caches = pick(net, one, unit)
        if not seed.any():
            warnings.warn(dead(net, one, unit), stacklevel=2)
        found.append(to_cpu(net.deconv(seed, caches, rules)[0]))
    return np.stack(found) if is_batch(picture) else found[0]


def dead(net: Net, picture: Picture, unit: str) -> str:
    """Of a unit that is 0 in a picture, a sentence with the strongest place of its map; "" of any other, or a score."""
    name, number, place = parse_unit(net, unit)
    y, _ = net.forward(net_input(net, stored(net, picture)[None]), name, keep=False)
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


def pick(net: Net, picture: Picture, unit: str) -> tuple[str, Array, list]:
    """Up, and all but the unit set to zero -> (its full name "conv4:17:3:5", the seed (1, H, W, C), the caches)."""
    name, number, place = parse_unit(net, unit)
    y, caches = net.forward(net_input(net, stored(net, picture)[None]), name)
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


def is_score(net, name):
    """Whether layer object `name` is the class scores: the last layer, with no ReLU on it."""
    return name == net.output and isinstance(net[name], Conv)


def at_once(net, name, dtype, budget):
    """How many pictures may be on their way together, if the maps of one up to `name` share `budget` bytes."""
    elements = math.prod(net.shape) + sum(math.prod(net.shapes[node.name]) for node in net.path(name))
    return max(1, budget // (elements * np.dtype(dtype).itemsize))


# ---------------------------------------------------------------------------------------------- pictures in and out


def net_module(net):
    """numpy or cupy: where the net's parameters are."""
    return next((array_module(value) for value in net.params.values()), np)


def stored_size(net: Net) -> int:
    """Rows = columns of a picture as data sets keep it.  UsageError where `net` is no Net, but its path perhaps."""
    if not isinstance(net, Net):
        raise UsageError(f"{net!r} is no net; rawconv.load makes one of a checkpoint's path, rawconv.build a new one.")
    return net.stored[0]


def stored(net: Net, picture: Picture) -> np.ndarray:
    """One picture, as in pictures.py, as a data set would keep it: smallest side resized, centre cut out."""
    return stored_picture(picture, stored_size(net))


def net_input(net: Net, pictures: np.ndarray) -> Array:
    """Stored pictures, uint8 (N, S, S, 3) -> what the net sees, on its device: minus mean, centre crop."""
    from .data.augment import prepare

    xp = net_module(net)
    return prepare(xp.asarray(pictures), net.mean, net.shape[0], dtype=net.dtype)


def seen(net: Net, pictures: np.ndarray) -> np.ndarray:
    """The same pictures as they look: the centre crop, uint8 (N, H, W, 3)."""
    top, left = ((have - want) // 2 for have, want in zip(pictures.shape[1:3], net.shape[:2], strict=True))
    return pictures[:, top : top + net.shape[0], left : left + net.shape[1]]


def display(r: Array, percentile: float = 100) -> np.ndarray:
    """Signed r (..., H, W, C) -> uint8, each picture by itself: 255 * (0.5 + 0.5 * r / max|r|).  Zero is grey (128).

    percentile below 100: that percentile of the |r| that are not 0 instead of the maximum; what exceeds it is cut off.
    The paper does not say how it scales; a symmetric scale keeps the sign, and grey means "nothing".
    """
    r = to_cpu(r).astype(np.float64)
    if r.ndim > 3:
        return np.array([display(one, percentile) for one in r], np.uint8).reshape(r.shape)
    size = np.abs(r[r != 0])
    scale = np.percentile(size, percentile) if size.size else 1
    return np.rint(255 * (0.5 + 0.5 * np.clip(r / scale, -1, 1))).astype(np.uint8)


def crop(picture: np.ndarray, box: tuple, fill: float = GREY) -> np.ndarray:
    """picture (H, W, C) cut to box (top, left, bottom, right), which may leave it: padded with `fill` there."""
    top, left, bottom, right = box
    height, width = picture.shape[:2]
    out = np.full((bottom - top, right - left, *picture.shape[2:]), fill, picture.dtype)
    y0, y1, x0, x1 = max(top, 0), min(bottom, height), max(left, 0), min(right, width)
    if y0 < y1 and x0 < x1:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    return out
