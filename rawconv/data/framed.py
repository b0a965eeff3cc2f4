"""Scenes in coloured frames, whose class depends on the object and on the frame together.

Three in ten of these scenes have no frame and show their class.  The others have a frame of one of
six colours, and the k-th colour (0 to 5: red, yellow, green, cyan, blue, magenta) moves the class
on by k + 1: a face in red is a "cat", in yellow the class after that.  Neither object nor frame
alone tells the class, and no sum of evidence for the one and for the other does: a net needs layers
enough to see both and then to combine them.  Made for Table 3 (experiments/ablation.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..machine.philox import words
from . import scenes
from .scenes_draw import hsv

FRAME_COLOURS, FRAMED, STREAM = 6, 0.7, 0xF4A3E
CLASSES = scenes.CLASSES


def draw(ids: npt.ArrayLike, size: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw the framed scenes `ids`: images (n, size, size, 3) uint8 RGB and labels (n,) int64 of CLASSES.

    The objects are those of scenes.draw; image i is a pure function of (seed, i, size).  Errors: as
    in scenes.draw.
    """
    images, _ = scenes.draw(ids, size, seed)
    dice = _dice(ids, seed)
    frame_colours = _frame_colours(dice)
    hues = (np.maximum(frame_colours, 0) + 0.3 * (dice[:, 2] - 0.5)) / FRAME_COLOURS
    shades = zip(hues, 0.7 + 0.3 * dice[:, 3], 0.6 + 0.4 * dice[:, 4], strict=True)
    paints = np.round(255 * np.array([hsv(*shade) for shade in shades])).astype(np.uint8)
    frame = np.ones((size, size), bool)
    frame[width(size) : -width(size), width(size) : -width(size)] = False
    images[:] = np.where(
        ((frame_colours >= 0)[:, None, None] & frame)[..., None], paints[:, None, None], images
    )
    return images, labels(np.atleast_1d(ids), seed)


def labels(ids: npt.ArrayLike, seed: int = 0) -> np.ndarray:
    """Return the classes of the framed scenes `ids` without drawing them: int64 (n,)."""
    return (scenes.labels(ids) + _frame_colours(_dice(ids, seed)) + 1) % len(CLASSES)


def _dice(ids: npt.ArrayLike, seed: int) -> np.ndarray:
    """Return five random numbers from 0 up to 1 for each image."""
    return words((seed, 0, np.atleast_1d(ids)), STREAM, 5) / 2.0**32


def _frame_colours(dice: np.ndarray) -> np.ndarray:
    """Return the number of each image's colour; -1: it has no frame."""
    return np.where(dice[:, 0] < FRAMED, (FRAME_COLOURS * dice[:, 1]).astype(np.int64), -1)


def width(size: int) -> int:
    """Return the width of the frame in pixels: 6 of 64, more than the shifted crops of training cut off."""
    return size * 6 // 64
