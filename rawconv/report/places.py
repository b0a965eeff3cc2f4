"""The pictures that the units of a page are in, small, in one sheet: for what shows where a unit looks."""

import functools
import math

from . import sheets

SIDE, SMALLEST = 48, 16  # pixels of a picture's longer side, and where there are many
PIXELS = 4_000_000  # of all of them, as far as SMALLEST allows


def shrink(images):
    """The function from a number among `images`, uint8 (N, H, W, 3), to that one with SIDE pixels at most."""
    shape = _bounded(images.shape[1:3], SIDE)
    return functools.cache(lambda k: sheets.fit(images[k], shape))


def place_sheet(ways):
    """The sheet as the page has it, and the numbers of its images in reading order.

    ways: {Unit: winners.Way}.  None where pictures are not shown.
    """
    pictures = {unit.image: way.picture for unit, way in ways.items() if way.picture is not None}
    if not pictures:
        return None
    images, count = list(pictures.values()), len(pictures)
    side = next(
        s for s in range(SIDE, SMALLEST - 1, -8) if s == SMALLEST or count * s * s <= PIXELS
    )
    shape, columns = _bounded(images[0].shape[:2], side), math.ceil(math.sqrt(count))
    rows = [images[k : k + columns] for k in range(0, count, columns)]
    rows[-1] += [images[-1]] * (columns - len(rows[-1]))
    cell = sheets.cell_size(shape)
    return {
        "images": list(pictures), "sheet": sheets.sheet(rows, shape), "columns": columns, "tile": shape, "cell": cell,
        "size": (len(rows) * cell[0], columns * cell[1]),
    }  # fmt: skip


def _bounded(shape, side):
    scale = min(1, side / max(shape))
    return tuple(max(1, round(length * scale)) for length in shape)
