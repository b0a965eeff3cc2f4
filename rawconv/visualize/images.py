"""Images on their way into a net, and projections as images."""

from __future__ import annotations

import typing

import numpy as np

from ..data.pictures import stored_image as from_anything
from ..errors import UsageError
from ..machine.arrays import Array, array_module, to_cpu
from ..net import Net

if typing.TYPE_CHECKING:
    from ..data.pictures import Picture

GREY = 128  # zero, as a pixel: what a projection has outside its field, and what pads a crop over the picture's border


def net_module(net):
    """numpy or cupy: where the net's parameters are."""
    return next((array_module(value) for value in net.params.values()), np)


def stored_size(net: Net) -> int:
    """Rows = columns of a picture as data sets keep it.  UsageError where `net` is no Net, but its path perhaps."""
    if not isinstance(net, Net):
        raise UsageError(f"{net!r} is no net; rawconv.load makes one of a checkpoint's path, rawconv.build a new one.")
    return net.stored[0]


def stored_image(net: Net, picture: Picture) -> np.ndarray:
    """One picture, as in pictures.py, as a data set would keep it: smallest side resized, centre cut out."""
    return from_anything(picture, stored_size(net))


def preprocess(net: Net, pictures: np.ndarray) -> Array:
    """Stored pictures, uint8 (N, S, S, 3) -> what the net sees, on its device: minus mean, centre crop."""
    from ..data.augment import prepare

    xp = net_module(net)
    return prepare(xp.asarray(pictures), net.mean, net.shape[0], dtype=net.dtype)


def center_crop(net: Net, pictures: np.ndarray) -> np.ndarray:
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
