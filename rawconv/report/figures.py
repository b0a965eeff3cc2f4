"""Figures as Pillow pictures: tiles, blocks of tiles, pages of blocks.  No plotting library, no
display needed.

tile     one projection or one patch, enlarged to TILE pixels
block    one map: the square of its projections and, beside it, the square of the patches they came from
page     a title, blocks in columns, and a legend that says what is what
"""

import bisect
import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from .fonts import length, write

PAPER, INK, SOFT, RULE = (255, 255, 255), (28, 30, 36), (104, 108, 118), (206, 209, 215)
GREY, ACCENT = (128, 128, 128), (222, 84, 44)
# pixels: a tile; between tiles, halves of a block, blocks; the rim
TILE, LINE, SPLIT, GAP, MARGIN = 96, 2, 12, 30, 40
WIDTH = 1850  # pixels a page aims at
TITLE = 28  # pixels, the type of a page's title


class Tile(NamedTuple):
    """One unit, drawn: uint8 (h, w, 3) of equal size, cut to its receptive field.  patch None: not
    to be shown.  empty: nothing of the unit comes down, though it is not dead.  replaced: a control
    shows another unit in its place.
    """

    projection: np.ndarray
    patch: np.ndarray | None = None
    dead: bool = False
    empty: bool = False
    replaced: bool = False


class Block(NamedTuple):
    """One map: `title` and, in grey after it, `note`; its tiles, strongest first."""

    title: str
    note: str
    tiles: list


def enlarge(pixels, size=TILE):
    """uint8 (h, w, 3) -> a picture whose longer side is `size`.  Smooth: the eye reads edges, not
    the raster.
    """
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return Image.fromarray(np.ascontiguousarray(pixels)).resize(shape, Image.Resampling.BICUBIC)


# ---------------------------------------------------------------------------------------------- blocks


def block_size(count, patches=True, tile=TILE):
    """(width, height) of a block of `count` tiles; its title takes 26 pixels above them."""
    side = math.ceil(math.sqrt(count))
    square = side * tile + (side - 1) * LINE
    rows = math.ceil(count / side)
    return 2 * square + SPLIT if patches else square, 26 + rows * tile + (rows - 1) * LINE


def draw_block(page, left, top, block, count, patches=True, tile=TILE):
    """One map at (left, top): title, square of projections, square of patches."""
    draw = ImageDraw.Draw(page)
    _heading(draw, left, top + 16, block.title, block.note, block_size(count, patches, tile)[0])
    side = math.ceil(math.sqrt(count))
    square, top = side * tile + (side - 1) * LINE, top + 26
    bottom = top + block_size(count, patches, tile)[1] - 26
    halves = (left, left + square + SPLIT) if patches else (left,)
    if not block.tiles or all(unit.dead for unit in block.tiles):
        draw.rectangle((left, top, left + square - 1, bottom - 1), GREY)
        write(draw, (left + square / 2, (top + bottom) / 2), "dead", PAPER, 17, "mm")
        return
    for half in halves:
        draw.rectangle((half - LINE, top - LINE, half + square + LINE - 1, bottom + LINE - 1), RULE)
    for place, unit in enumerate(block.tiles):
        y, x = divmod(place, side)
        y, x = top + y * (tile + LINE), left + x * (tile + LINE)
        put_projection(page, unit, x, y, tile)
        if patches and unit.patch is not None:
            put(page, unit.patch, x + square + SPLIT, y, tile)


def _heading(draw, x, y, title, note, width):
    """A title and, in grey beside it, a note: together so many pixels wide at most."""
    title = fitted(title, width, 17)
    write(draw, (x, y), title, INK, 17, "ls")
    beside = length(title, 17) + 9
    if note and beside < width:
        write(draw, (x + beside, y), fitted(note, width - beside, 13), SOFT, 13, "ls")


def put(page, pixels, left, top, size=TILE):
    """Paste an enlarged picture into the middle of a grey square; (left, top, width, height) of the picture."""
    image = enlarge(pixels, size)
    ImageDraw.Draw(page).rectangle((left, top, left + size - 1, top + size - 1), GREY)
    left, top = left + (size - image.width) // 2, top + (size - image.height) // 2
    page.paste(image, (left, top))
    return left, top, *image.size


def put_projection(page, unit, left, top, size=TILE):
    """A unit's projection, or the word "dead" or "empty" in a grey square: they are told from what is faint."""
    if unit.dead or unit.empty:
        put_word(page, "dead" if unit.dead else "empty", left, top, size)
    else:
        put(page, unit.projection, left, top, size)


def put_word(page, word, left, top, size=TILE):
    """A grey square with a word in it, in the place of a picture."""
    draw = ImageDraw.Draw(page)
    draw.rectangle((left, top, left + size - 1, top + size - 1), GREY)
    write(draw, (left + size / 2, top + size / 2), word, PAPER, 13, "mm")


# ---------------------------------------------------------------------------------------------- pages


def blank_page(width, height, title, subtitle, legend):
    """(page, draw, y of the first free line): a white page for contents of this size, with heading
    and legend.
    """
    below, lines = wrapped(subtitle, width, 16), wrapped(legend, width, 15)
    heading = 62 + 22 * len(below)
    page = Image.new(
        "RGB", (width + 2 * MARGIN, heading + height + 30 + 21 * len(lines) + MARGIN), PAPER
    )
    draw = ImageDraw.Draw(page)
    write(draw, (MARGIN, 44), fitted(title, width, TITLE), INK, TITLE, "ls")
    for number, line in enumerate(below):
        write(draw, (MARGIN, 68 + 22 * number), line, SOFT, 16, "ls")
    top = heading + height + 30
    draw.line((MARGIN, top - 8, MARGIN + width, top - 8), RULE)
    for number, line in enumerate(lines):
        write(draw, (MARGIN, top + 14 + 21 * number), line, SOFT, 15, "ls")
    return page, draw, heading + 8


def wrapped(text, width, size):
    """The text in lines of at most that many pixels; one at least."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and length(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [fitted(line, width, size) for line in lines]


def grid(blocks, count, title, subtitle, legend, patches=True, columns=None, tile=TILE):
    """The paper's figure 2: one block a map, `count` tiles each."""
    width, height = block_size(count, patches, tile)
    columns = columns or max(1, min(len(blocks), (WIDTH + GAP) // (width + GAP)))
    rows = math.ceil(len(blocks) / columns)
    page_width = max(520, columns * (width + GAP) - GAP)
    page, _, top = blank_page(page_width, rows * (height + GAP) - GAP, title, subtitle, legend)
    for place, block in enumerate(blocks):
        y, x = divmod(place, columns)
        draw_block(
            page, MARGIN + x * (width + GAP), top + y * (height + GAP), block, count, patches, tile
        )
    return page


def overview(blocks, title, subtitle, legend, patches=True, tile=64):
    """Every map in one look: its strongest projection above the patch, its number below."""
    columns = min(
        len(blocks), max(8, min(24, math.ceil(math.sqrt(len(blocks) * (2 if patches else 1.2)))))
    )
    cell = tile + 10, (2 * tile + LINE if patches else tile) + 24
    rows = math.ceil(len(blocks) / columns)
    page_width = max(520, columns * cell[0] - 10)
    page, draw, top = blank_page(page_width, rows * cell[1] - 6, title, subtitle, legend)
    for place, block in enumerate(blocks):
        y, x = divmod(place, columns)
        x, y = MARGIN + x * cell[0], top + y * cell[1]
        unit = block.tiles[0]
        put_projection(page, unit, x, y, tile)
        if patches and unit.patch is not None and not unit.dead:
            put(page, unit.patch, x, y + tile + LINE, tile)
        label = y + cell[1] - 9
        write(draw, (x + tile / 2, label), fitted(block.title, tile + 8, 13), SOFT, 13, "ms")
    return page


def fitted(text, width, size):
    """The text, cut with dots to that many pixels."""
    if length(text, size) <= width:
        return text
    fits = bisect.bisect_right(
        range(1, len(text) + 1), width, key=lambda count: length(text[:count] + "…", size)
    )
    return text[:fits] + "…"


def filters(weight, title, subtitle, legend, tile=TILE):
    """First-layer filters (KH, KW, 3, F), each scaled by itself around mid-grey."""
    from ..visualize.images import display

    images = display(np.moveaxis(weight, 3, 0))
    blocks = [Block(str(number), "", [Tile(image)]) for number, image in enumerate(images)]
    return overview(blocks, title, subtitle, legend, patches=False, tile=tile)


def one_image(image, units, title, subtitle, legend, tile=176, liked=()):
    """A single picture with its strongest units marked in it, and each unit's projection and patch
    beside it, and the patches that its map likes.

    units: [(Tile, box (top, left, bottom, right), title, note)], strongest first.  Each one's
    number stands in the picture where its receptive field has its centre; the field of the first is
    drawn.  liked: of each unit [uint8 (h, w, 3)], nine at most.
    """
    patches = any(unit.patch is not None for unit, *_ in units)
    across = 1 + patches + any(liked)  # tiles beside each other
    columns = max(1, math.ceil(math.sqrt(len(units))))
    cell = across * (tile + LINE) - LINE + GAP, tile + 26 + 20
    rows = max(1, math.ceil(len(units) / columns))
    side = max(2 * tile, min(720, rows * cell[1] - 46))
    width = side + GAP + columns * cell[0] - GAP
    page, draw, top = blank_page(
        width, max(side + 26, rows * cell[1] - 20), title, subtitle, legend
    )
    pasted = put(page, image, MARGIN, top + 26, side)
    _mark(draw, [box for _, box, *_ in units], side / max(image.shape[:2]), pasted)
    for number, (unit, _, name, note) in enumerate(units):
        y, x = divmod(number, columns)
        x, y = MARGIN + side + GAP + x * cell[0], top + y * cell[1]
        _disc(draw, x + 10, y + 10, number + 1)
        _heading(draw, x + 28, y + 16, name, note, cell[0] - GAP - 28)
        draw.rectangle(
            (x - LINE, y + 26 - LINE, x + cell[0] - GAP + LINE - 1, y + 26 + tile + LINE - 1), RULE
        )
        put_projection(page, unit, x, y + 26, tile)
        if patches:
            put(page, unit.patch, x + tile + LINE, y + 26, tile)
        if any(liked):
            _put_nine(page, liked[number], x + (across - 1) * (tile + LINE), y + 26, tile)
    return page


def _put_nine(page, patches, left, top, size):
    """Nine patches at most in a grey square of this size, strongest first."""
    ImageDraw.Draw(page).rectangle((left, top, left + size - 1, top + size - 1), GREY)
    edges = [round(k * (size + LINE) / 3) for k in range(4)]
    for place, patch in enumerate(patches):
        y, x = divmod(place, 3)
        put(page, patch, left + edges[x], top + edges[y], min(np.diff(edges)) - LINE)


def _mark(draw, boxes, scale, pasted):
    """The first box, and at the centre of each its number (the strongest on top).

    pasted: (left, top, width, height) of the enlarged picture on the page.
    """
    left, top, width, height = pasted
    for y0, x0, y1, x1 in boxes[:1]:
        (x0, x1), (y0, y1) = (
            [first + min(max(0, round(edge * scale)), length - 1) for edge in edges]
            for first, length, edges in ((left, width, (x0, x1)), (top, height, (y0, y1)))
        )
        draw.rectangle((x0, y0, x1, y1), None, ACCENT, 3)
    for number, (y0, x0, y1, x1) in reversed(list(enumerate(boxes, 1))):
        x, y = _inside((x0 + x1) / 2 * scale, width), _inside((y0 + y1) / 2 * scale, height)
        _disc(draw, left + x, top + y, number)


def _inside(middle, length):
    """So far from both ends that a disc fits; in what is narrower than a disc, its middle."""
    rim = min(12, length / 2)
    return min(max(rim, middle), length - rim)


def _disc(draw, x, y, number):
    draw.ellipse((x - 10, y - 10, x + 10, y + 10), ACCENT, PAPER)
    write(draw, (x, y), str(number), PAPER, 13, "mm")
