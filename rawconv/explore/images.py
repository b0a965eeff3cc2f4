"""Pixels as the page takes them: PNG, and PNG in JSON."""

from __future__ import annotations

import base64
import math

import numpy as np
from PIL import Image

from ..files.png import png_bytes

LEVEL = 1  # of zlib: what is drawn while somebody waits, on this machine, need not be small
SHEET = 16  # columns of a sheet of maps, at least: as many as make it about square


def png(pixels: np.ndarray) -> bytes:
    """Return uint8 (H, W), (H, W, 1) or (H, W, 3) as a PNG file."""
    pixels = pixels[..., 0] if pixels.shape[2:] == (1,) else pixels
    return png_bytes(Image.fromarray(np.ascontiguousarray(pixels)), level=LEVEL)


def png_text(pixels: np.ndarray) -> str:
    """Return the same in base64, for JSON."""
    return base64.b64encode(png(pixels)).decode()


def columns(count: int) -> int:
    """Return how many maps stand in a row of a sheet of `count`."""
    return min(count, max(SHEET, math.isqrt(count)))


def sheet(y: np.ndarray) -> np.ndarray:
    """Draw the maps y (H, W, F) side by side, `columns` in a row: uint8 (rows * H, columns * W).

    Each by its own largest absolute value: 0 is black and that is white; where any value of the
    layer is negative, 0 is mid-grey.
    """
    height, width, count = y.shape
    largest = np.abs(y).max(axis=(0, 1))
    scaled = y / np.where(largest > 0, largest, 1)
    grey = np.rint(128 + 127 * scaled if y.min() < 0 else 255 * scaled).astype(np.uint8)
    side = columns(count)
    rows = -(-count // side)
    cells = np.zeros((rows * side, height, width), np.uint8)
    cells[:count] = grey.transpose(2, 0, 1)
    cells = cells.reshape(rows, side, height, width).transpose(0, 2, 1, 3)
    return cells.reshape(rows * height, side * width)


def thumbnail(image: np.ndarray, size: int) -> np.ndarray:
    """Bring uint8 (H, W, 3) to a longer side of at most `size`."""
    small = Image.fromarray(image)
    small.thumbnail((size, size))
    return np.asarray(small)
