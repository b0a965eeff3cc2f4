"""The built-in data set: small colour scenes, each with one object of twelve classes, drawn on demand.

Edges make textures and shapes, these make parts (eyes, wheels, petals), these make objects: what a
convolutional net is said to learn layer by layer, with the truth (box, mask, parts) known.  Nothing
is stored: scene i of seed s is a pure function of (s, i, size, aligned), bit for bit, whatever the
batch or the number of threads.  scenes_objects.py says what an object is made of, scenes_draw.py
how it is painted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..machine import threads
from . import scenes_draw, scenes_objects

CLASSES = tuple(scenes_objects.OBJECTS)
SIZES = (28, 256)  # least and most, in pixels
_TABLES = scenes_objects.tables()
_PARTS = scenes_objects.PARTS


class Truth(NamedTuple):
    """What a scene shows: its class index, box (y0, x0, y1, x1), mask (H, W) bool, parts {name: (y, x)}.

    The box is mask's extent, half open: mask[y0:y1, x0:x1] holds the whole object.  (y, x) = (0, 0)
    is the centre of the first pixel.  left_ and right_ are the picture's, for an upright object.
    """

    label: int
    box: tuple[int, int, int, int]
    mask: np.ndarray
    parts: dict[str, tuple[float, float]]


def draw(
    ids: npt.ArrayLike, size: int = 64, seed: int = 0, aligned: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the scenes `ids`: images (n, size, size, 3) uint8 RGB and labels (n,) int64 = ids modulo
    the classes.

    aligned: draw objects upright, centred, facing right and nearly equally large, in different
    looks, so that the eyes of all faces lie close together (class k alone: ids k, k + 12, k + 24,
    ...).
    ValueError: an id, the size or the seed cannot be drawn.
    """
    numbers, size, key = _check(ids, size, seed)
    classes = labels(numbers)
    images = np.empty((len(numbers), size, size, 3), np.uint8)

    def block(part: slice) -> None:
        scenes_draw.paint_scenes(
            images[part], numbers[part], classes[part], key, _TABLES, bool(aligned), len(_PARTS)
        )

    threads.run_blocks(block, threads.cut(len(numbers), 16))
    return images, classes


def labels(ids: npt.ArrayLike, seed: int = 0) -> np.ndarray:
    """Return the classes of the scenes `ids` without drawing them: int64 (n,)."""
    return (np.asarray(ids, np.uint64) % np.uint64(len(CLASSES))).astype(np.int64)


def truth(scene_id: int, size: int = 64, seed: int = 0, aligned: bool = False) -> Truth:
    """Return the Truth of the scene that draw([scene_id], size, seed, aligned) draws, without the
    parts it does not have.
    """
    ids, size, key = _check([scene_id], size, seed)
    label = int(ids[0]) % len(CLASSES)
    image, mask = np.empty((size, size, 3), np.uint8), np.zeros((size, size), bool)
    parts = np.full((len(_PARTS), 2), np.nan)
    scenes_draw.paint_scene(image, mask, parts, key, ids[0], label, _TABLES, bool(aligned))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low, high = np.array([rows[0], columns[0]]), np.array([rows[-1], columns[-1]])
    # by less than a pixel: a part thinner than that may be too faint for the mask
    places = np.clip(parts, low, high)
    positions = {
        name: (float(y), float(x))
        for name, (y, x) in zip(_PARTS, places, strict=True)
        if name and y == y
    }
    return Truth(label, (*low.tolist(), *(high + 1).tolist()), mask, positions)


def _check(ids: npt.ArrayLike, size: int, seed: int) -> tuple[np.ndarray, int, np.uint64]:
    """Return ids as a uint64 vector, size and seed in Numba's types.  ValueError: one of them
    cannot be drawn.
    """
    ids = np.atleast_1d(np.asarray(ids))
    if ids.size == 0:
        ids = ids.astype(np.int64)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or (ids.size and int(ids.min()) < 0):
        raise ValueError("Scene ids must be whole numbers from 0 on, in one row.")
    if not isinstance(size, int | np.integer) or not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(
            f"size={size!r}: scenes are {SIZES[0]} to {SIZES[1]} pixels wide, in whole pixels."
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed!r} is not a whole number from 0 to 4294967295.")
    return ids.astype(np.uint64), int(size), np.uint64(seed)
