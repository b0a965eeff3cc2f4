"""A page of captioned pictures: some of a data set, or a net's worst mistakes."""

import math
from typing import NamedTuple

import numpy as np

from .figures import INK, MARGIN, SOFT, WIDTH, blank_page, fitted, put
from .fonts import write


class Tile(NamedTuple):
    """uint8 (h, w, 3) with one or two lines below it."""

    pixels: np.ndarray
    caption: str
    note: str = ""


def gallery(images, title, subtitle, legend, tile=112):
    """The pictures in rows, row by row, about twice as wide as high."""
    notes = any(image.note for image in images)
    cell = tile + 14, tile + (46 if notes else 30)
    columns = max(4, min((WIDTH + 14) // cell[0], math.ceil(math.sqrt(2 * len(images)))))
    rows = math.ceil(len(images) / columns)
    page, draw, top = blank_page(
        max(520, columns * cell[0] - 14), rows * cell[1], title, subtitle, legend
    )
    for place, image in enumerate(images):
        y, x = divmod(place, columns)
        x, y = MARGIN + x * cell[0], top + y * cell[1]
        put(page, image.pixels, x, y, tile)
        write(draw, (x, y + tile + 15), fitted(image.caption, tile, 13), INK, 13, "ls")
        write(draw, (x, y + tile + 30), fitted(image.note, tile, 12), SOFT, 12, "ls")
    return page
