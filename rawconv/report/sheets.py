"""Sprite sheets: many small pictures in one, as a data URI for the page.  Equal pictures give equal text."""

import io

import numpy as np
from PIL import Image

from ..files.html_text import data_uri
from ..files.png import png_bytes

LOSSLESS = 24  # tiles up to this many pixels stay exact (PNG); larger ones are JPEG
QUALITY = 76
BLOCK = 8  # of JPEG: cells are multiples of it, so that a tile never shows its neighbour


def png_uri(image):
    """A grey picture or one of small tiles: PNG."""
    return data_uri("image/png", png_bytes(image, optimize=True))


def cell_size(shape):
    """(rows, columns) that a tile of this shape takes in a sheet."""
    if max(shape) <= LOSSLESS:
        return tuple(shape)
    return tuple(-(-length // BLOCK) * BLOCK for length in shape)


def sheet(rows, shape):
    """Rows of tiles, uint8 (h, w, 3) each, brought to `shape` (rows, columns) -> one data URI."""
    cells = cell_size(shape)
    pad = [(0, cell - length) for cell, length in zip(cells, shape, strict=True)]
    lines = [
        np.concatenate([np.pad(fit(tile, shape), (*pad, (0, 0)), "edge") for tile in row], axis=1)
        for row in rows
    ]
    image = Image.fromarray(np.concatenate(lines, axis=0))
    if max(shape) <= LOSSLESS:
        return png_uri(image)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return data_uri("image/jpeg", out.getvalue())


def fit(tile, shape):
    """A tile, uint8 (h, w, 3), brought to `shape` (rows, columns); None stays None."""
    if tile is None or tile.shape[:2] == tuple(shape):
        return tile
    return np.asarray(
        Image.fromarray(np.ascontiguousarray(tile)).resize(shape[::-1], Image.Resampling.LANCZOS)
    )


def grey_sheet(rows):
    """Rows of grey pixels, uint8 (h, w) each, of any sizes, one below the other -> one data URI."""
    width = max(row.shape[1] for row in rows)
    lines = [np.pad(row, ((0, 0), (0, width - row.shape[1])), constant_values=128) for row in rows]
    return png_uri(Image.fromarray(np.concatenate(lines, axis=0)))
