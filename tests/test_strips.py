"""Strips: each tile, frame and word at its row and column."""

import numpy as np
import pytest
from canvas import flat

from rawconv.report import figures, strips

RED, FRAME, DARK, SOFT, WHITE = (
    (222, 84, 44),
    (206, 209, 215),
    (28, 30, 36),
    (104, 108, 118),
    (255, 255, 255),
)


TABLE = [[flat(10 * row + 1, 20 * column + 2, 7) for column in range(3)] for row in range(2)]


def place_of(canvas, row, column):
    """The picture that is TABLE[row][column]."""
    (found,) = (one for one in canvas.images if one.colour == (10 * row + 1, 20 * column + 2, 7))
    return found


def test_a_strip_is_a_table_of_rows_and_columns(canvas):
    strip = strips.Strip(
        "conv4",
        ["one", "two", "three"],
        ["first\ncat", "second"],
        TABLE,
        feet=[("p", ["a", "b", "c"])],
    )
    strips.draw([strip], "title", "subtitle", "legend", side=50)
    assert len(canvas.images) == 6
    corner = place_of(canvas, 0, 0)
    for row in range(2):
        for column in range(3):
            one = place_of(canvas, row, column)
            assert (one.x, one.y) == (
                corner.x + 58 * column,
                corner.y + 58 * row,
            ) and one.width == one.height == 50
    for column, head in enumerate(strip.heads):
        text = canvas.text(head)
        assert (
            text.x == corner.x + 58 * column + 25
            and corner.y - 20 < text.y < corner.y
            and text.colour == DARK
        )
    first, second, kind = (canvas.text(words) for words in ("first", "second", "cat"))
    assert first.x == second.x == kind.x < corner.x and (first.colour, kind.colour) == (DARK, SOFT)
    assert (
        (first.y + kind.y) / 2 == corner.y + 25
        and second.y == corner.y + 58 + 25
        and kind.y > first.y
    )
    for column, word in enumerate("abc"):
        text = canvas.text(word)
        assert text.x == corner.x + 58 * column + 25 and text.y > corner.y + 58 + 50
    assert canvas.text("p").x == first.x and canvas.text("conv4").y < corner.y


@pytest.mark.parametrize("mark", [(0, 2), (1, 0), (1, 2)])
def test_a_strip_frames_the_tile_at_row_and_column(canvas, mark):
    strips.draw([strips.Strip("", [], [], TABLE, {mark})], "", "", "", side=50)
    (frame,) = (shape.at for shape in canvas.rectangles if shape.fill == RED)
    one = place_of(canvas, *mark)
    assert frame == (one.x - 3, one.y - 3, one.x + 52, one.y + 52)
    assert sum(shape.fill == FRAME for shape in canvas.rectangles) == 5, (
        "the others have a thin grey one"
    )


def test_an_empty_place_stays_empty_and_strips_stand_beside_each_other(canvas):
    one = strips.Strip("left", [], [], [[None, TABLE[0][1]]])
    two = strips.Strip("right", [], [], [[TABLE[1][0], TABLE[1][1]]])
    strips.draw([one, two], "", "", "", side=50, across=2)
    left, right, last = place_of(canvas, 0, 1), place_of(canvas, 1, 0), place_of(canvas, 1, 1)
    assert len(canvas.images) == 3 and left.y == right.y == last.y
    assert right.x - left.x == 50 + figures.GAP and last.x - right.x == 58
    assert canvas.text("left").x == left.x - 58 and canvas.text("right").x == right.x


def test_a_word_stands_in_the_place_of_a_tile(canvas):
    strips.draw([strips.Strip("", [], [], [["dead", TABLE[0][1]]], {(0, 0)})], "", "", "", side=50)
    one, word = place_of(canvas, 0, 1), canvas.text("dead")
    assert (word.x, word.y, word.colour) == (one.x - 58 + 25, one.y + 25, WHITE) and len(
        canvas.images
    ) == 1
    assert sum(shape.fill == RED for shape in canvas.rectangles) == 1, "it can be framed as well"


def test_mosaic_fills_rows_first():
    tiles = np.stack([flat(k, k, k, size=(2, 3)) for k in range(5)])
    page = strips.mosaic(tiles, 3)
    assert page.shape == (5, 11, 3)
    assert [[int(page[y, x, 0]) for x in (0, 4, 8)] for y in (0, 3)] == [[0, 1, 2], [3, 4, 255]]
    assert (page[2] == 255).all() and (page[:2, 3] == 255).all()
