"""Tiles in rows and columns with words around them: what an experiment shows of several units, nets
or epochs.

page = draw([Strip("conv4", ["deconvnet", "gradient"], ["map 17"], [[r, g]])], title, subtitle, legend)
"""

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import ImageDraw

from .figures import (
    ACCENT,
    GAP,
    INK,
    LINE,
    MARGIN,
    RULE,
    SOFT,
    TITLE,
    WIDTH,
    blank_page,
    fitted,
    put,
    put_word,
    wrapped,
)
from .fonts import length, write

SPACE = 8  # pixels between two tiles
LABELS = 320  # pixels of a label left of its row at most


class Strip(NamedTuple):
    """A table of tiles.

    title: above it.  heads: over the columns.  labels: left of the rows, "map 17\\nface": further
    lines in grey.
    rows: [[uint8 (h, w, 3), or a word in its place, as "dead", or None for an empty one]].
    marks: {(row, column)} that get a frame.  feet: [(label, [a word below each column])].
    """

    title: str
    heads: list
    labels: list
    rows: list
    marks: Collection[Any] = frozenset()
    feet: Sequence[Any] = ()


def draw(strips, title, subtitle, legend, side=96, across=1):
    """A page, a Pillow picture, of strips with tiles of `side` pixels, `across` of them beside each other."""
    sizes = [_size(strip, side) for strip in strips]
    bands = [
        range(first, min(first + across, len(strips))) for first in range(0, len(strips), across)
    ]
    width = max(sum(sizes[k][0] + GAP for k in band) - GAP for band in bands)
    width = max(width, 520, _title(title, TITLE))
    height = sum(max(sizes[k][1] for k in band) + GAP for band in bands) - GAP
    page, _, top = blank_page(width, height, title, subtitle, legend)
    for band in bands:
        left = MARGIN
        for k in band:
            _strip(page, left, top, strips[k], side)
            left += sizes[k][0] + GAP
        top += max(sizes[k][1] for k in band) + GAP
    return page


def _measures(strip, side):
    """(pixels left of the tiles, above them)."""
    words = [
        line
        for label in [*strip.labels, *(label for label, _ in strip.feet)]
        for line in label.split("\n")
    ]
    left = min(LABELS, max((length(word, 14) for word in words), default=0))
    lines = max((len(wrapped(head, side + SPACE - 4, 13)) for head in strip.heads), default=0)
    return round(left) + (12 if left else 0), 30 * bool(strip.title) + 17 * lines + 6 * bool(lines)


def _title(text, size):
    """Pixels that a title takes; one that is wider than a page is cut."""
    return min(math.ceil(length(text, size)), WIDTH)


def _size(strip, side):
    left, top = _measures(strip, side)
    columns = max(map(len, strip.rows))
    width = max(left + columns * (side + SPACE) - SPACE, _title(strip.title, 17))
    return width, top + len(strip.rows) * (side + SPACE) + 20 * len(strip.feet)


def _strip(page, left, top, strip, side):
    draw, (inset, above) = ImageDraw.Draw(page), _measures(strip, side)
    if strip.title:
        write(draw, (left, top + 18), fitted(strip.title, _size(strip, side)[0], 17), INK, 17, "ls")
    x0, y0 = left + inset, top + above
    for column, head in enumerate(strip.heads):
        lines = wrapped(head, side + SPACE - 4, 13)
        for line, text in enumerate(lines):
            at = x0 + column * (side + SPACE) + side / 2, y0 - 8 - 17 * (len(lines) - 1 - line)
            write(draw, at, text, INK, 13, "ms")
    for row, tiles in enumerate(strip.rows):
        y = y0 + row * (side + SPACE)
        if strip.labels:
            _label(draw, left, y + side / 2, strip.labels[row])
        for column, pixels in enumerate(tiles):
            if pixels is not None:
                _tile(
                    page,
                    x0 + column * (side + SPACE),
                    y,
                    pixels,
                    side,
                    (row, column) in strip.marks,
                )
    for number, (label, words) in enumerate(strip.feet):
        y = y0 + len(strip.rows) * (side + SPACE) + 20 * number + 12
        write(draw, (left, y), fitted(label, LABELS, 14), SOFT, 14, "ls")
        for column, word in enumerate(words):
            text = fitted(word, side + SPACE - 2, 14)
            write(draw, (x0 + column * (side + SPACE) + side / 2, y), text, INK, 14, "ms")


def _label(draw, x, y, label):
    lines = label.split("\n")
    for number, text in enumerate(lines):
        text = fitted(text, LABELS, 14)
        at = x, y + 18 * (number - (len(lines) - 1) / 2)
        write(draw, at, text, SOFT if number else INK, 14, "lm")


def _tile(page, x, y, pixels, side, marked):
    frame, colour = (3, ACCENT) if marked else (LINE // 2, RULE)
    ImageDraw.Draw(page).rectangle(
        (x - frame, y - frame, x + side + frame - 1, y + side + frame - 1), colour
    )
    (put_word if isinstance(pixels, str) else put)(page, pixels, x, y, side)


def mosaic(tiles, columns, gap=1, fill=255):
    """Equal tiles uint8 (n, h, w, 3) as one picture, `columns` in a row."""
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), fill, np.uint8)
    for k, tile in enumerate(tiles):
        y, x = divmod(k, columns)
        page[y * (height + gap) :, x * (width + gap) :][:height, :width] = tile
    return page
