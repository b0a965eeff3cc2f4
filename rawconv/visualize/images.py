"""Projections as images, and crops of images."""

from __future__ import annotations

import numpy as np

from ..machine.arrays import Array, to_cpu

# zero, as a pixel: what a projection has outside its field, and what pads a crop over the picture's
# border
GREY = 128


def display(r: Array, percentile: float = 100) -> np.ndarray:
    """Signed r (..., H, W, C) -> uint8, each picture by itself: 255 * (0.5 + 0.5 * r / max|r|).
    Zero is grey (128).

    percentile below 100: that percentile of the |r| that are not 0 instead of the maximum; what
    exceeds it is cut off. The paper does not say how it scales; a symmetric scale keeps the sign,
    and grey means "nothing".
    """
    r = to_cpu(r).astype(np.float64)
    if r.ndim > 3:
        return np.array([display(image, percentile) for image in r], np.uint8).reshape(r.shape)
    size = np.abs(r[r != 0])
    scale = np.percentile(size, percentile) if size.size else 1
    return np.rint(255 * (0.5 + 0.5 * np.clip(r / scale, -1, 1))).astype(np.uint8)


def crop(image: np.ndarray, box: tuple[int, int, int, int], fill: float = GREY) -> np.ndarray:
    """picture (H, W, C) cut to box (top, left, bottom, right), which may leave it: padded with
    `fill` there.
    """
    top, left, bottom, right = box
    height, width = image.shape[:2]
    out = np.full((bottom - top, right - left, *image.shape[2:]), fill, image.dtype)
    y0, y1, x0, x1 = max(top, 0), min(bottom, height), max(left, 0), min(right, width)
    if y0 < y1 and x0 < x1:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return out
