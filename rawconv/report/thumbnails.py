"""A step of a unit's way down as a row of small grey images, for the page."""

from typing import NamedTuple

import numpy as np

CHANNELS = 4  # the strongest maps of a step that are drawn one by one
SIDE = 32  # pixels of their thumbnails at most


class Thumbnails(NamedTuple):
    """A step as a row of thumbnails, uint8 (h, n * w), 128 is 0: all maps in one, then those
    numbered `maps`.
    """

    pixels: np.ndarray
    maps: list


def thumbnails(r: np.ndarray) -> Thumbnails:
    """The Thumbnails of r (H, W, C): all maps in one, then the strongest; of 1x1 maps all stand in one grid.

    The maps have one scale together, the first thumbnail its own.
    """
    height, width, maps = r.shape
    thumb = thumb_size(r.shape)
    if (height, width) == (1, 1):
        flat = np.zeros(thumb[0] * thumb[1])
        flat[:maps] = r.ravel()
        return Thumbnails(_grey(flat.reshape(thumb)), [])
    strength = (r.astype(np.float64) ** 2).sum(axis=(0, 1))
    best = [
        number
        for number in np.argsort(-strength, kind="stable")[:CHANNELS].tolist()
        if strength[number]
    ]
    small = [_shrink(r[:, :, number], thumb) for number in best]
    whole = _grey(_shrink(np.sqrt((r.astype(np.float64) ** 2).sum(axis=2)), thumb))
    return Thumbnails(
        np.concatenate([whole, _grey(np.concatenate(small, axis=1))] if best else [whole], axis=1),
        best,
    )


def thumb_size(shape: tuple) -> tuple[int, int]:
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
    image = Image.fromarray(np.ascontiguousarray(one, np.float32))
    return np.asarray(image.resize(thumb[::-1], Image.Resampling.BOX))


def _grey(values):
    largest = np.abs(values).max()
    return np.rint(128 + 127 * values / (largest or 1)).astype(np.uint8)
