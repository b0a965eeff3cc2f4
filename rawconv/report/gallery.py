"""A page of captioned pictures: some of a data set, or a net's worst mistakes."""

import math
from typing import NamedTuple

import numpy as np

from .figures import INK, MARGIN, SOFT, WIDTH, blank_page, fitted, put
from .fonts import write


class Picture(NamedTuple):
    """uint8 (h, w, 3) with one or two lines below it."""

    pixels: np.ndarray
    caption: str
    note: str = ""


def gallery(pictures, title, subtitle, legend, tile=112):
    """The pictures in rows, row by row, about twice as wide as high."""
    notes = any(picture.note for picture in pictures)
    cell = tile + 14, tile + (46 if notes else 30)
    columns = max(4, min((WIDTH + 14) // cell[0], math.ceil(math.sqrt(2 * len(pictures)))))
    rows = math.ceil(len(pictures) / columns)
    page, draw, top = blank_page(
        max(520, columns * cell[0] - 14), rows * cell[1], title, subtitle, legend
    )
    for place, picture in enumerate(pictures):
        y, x = divmod(place, columns)
        x, y = MARGIN + x * cell[0], top + y * cell[1]
        put(page, picture.pixels, x, y, tile)
        write(draw, (x, y + tile + 15), fitted(picture.caption, tile, 13), INK, 13, "ls")
        write(draw, (x, y + tile + 30), fitted(picture.note, tile, 12), SOFT, 12, "ls")
    return page
