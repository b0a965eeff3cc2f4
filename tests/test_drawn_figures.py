"""Grids, overviews and single pictures: what stands where, by position, colour and words."""

import numpy as np
import pytest
from canvas import flat

from rawconv.report import figures
from rawconv.report.figures import Block, Tile

RED, GREY, DARK, SOFT, WHITE = (
    (222, 84, 44),
    (128, 128, 128),
    (28, 30, 36),
    (104, 108, 118),
    (255, 255, 255),
)


def test_a_grid_shows_projections_left_and_patches_right_strongest_first(canvas):
    tiles = [Tile(flat(200, k, 0), flat(0, k, 200)) for k in range(3)]
    blocks = [
        Block("map 4", "9 to 1", tiles),
        Block("map 7", "3 to 2", [Tile(flat(99, 0, 0), flat(0, 0, 99))] * 3),
    ]
    figures.grid(blocks, 3, "the title", "below it", "the legend")
    first = {one.colour: one for one in canvas.images}
    corner = first[200, 0, 0]
    side = 96 + 2
    for k in range(3):
        projection, patch = first[200, k, 0], first[0, k, 200]
        assert (projection.x, projection.y) == (corner.x + k % 2 * side, corner.y + k // 2 * side)
        assert (patch.x, patch.y) == (projection.x + 2 * side - 2 + 12, projection.y)
    title, note, other = canvas.text("map 4"), canvas.text("9 to 1"), canvas.text("map 7")
    assert (title.x, title.colour, note.colour) == (corner.x, DARK, SOFT)
    assert title.y == note.y < corner.y and note.x > title.x and other.x == first[99, 0, 0].x
    heads = [canvas.text(words) for words in ("the title", "below it", "the legend")]
    assert [head.size for head in heads] == [28, 16, 15] and [head.colour for head in heads] == [
        DARK,
        SOFT,
        SOFT,
    ]
    assert heads[0].y < heads[1].y < title.y < max(one.y for one in canvas.images) < heads[2].y


def test_one_dead_unit_among_others_is_named_and_its_patch_shown(canvas):
    tiles = [Tile(flat(200, 0, 0), flat(0, 0, 1)), Tile(flat(*GREY), flat(0, 0, 2), dead=True)]
    figures.grid([Block("map 0", "", tiles)], 2, "", "", "")
    assert [one.colour for one in canvas.images] == [(200, 0, 0), (0, 0, 1), (0, 0, 2)]
    alive, word = canvas.images[0], canvas.text("dead")
    assert (word.x, word.y, word.colour, word.anchor) == (
        alive.x + 98 + 48,
        alive.y + 48,
        WHITE,
        "mm",
    )


def test_the_overview_has_each_number_below_its_own_tiles(canvas):
    blocks = [Block(str(k), "", [Tile(flat(200, k, 0), flat(0, k, 200))]) for k in (3, 5, 8)]
    blocks[1] = blocks[1]._replace(tiles=[blocks[1].tiles[0]._replace(dead=True)])
    figures.overview(blocks, "", "", "", tile=64)
    drawn = {one.colour: one for one in canvas.images}
    assert set(drawn) == {(200, 3, 0), (0, 3, 200), (200, 8, 0), (0, 8, 200)}
    for number in (3, 8):
        projection, patch, label = (
            drawn[200, number, 0],
            drawn[0, number, 200],
            canvas.text(str(number)),
        )
        assert (patch.x, patch.y) == (
            projection.x,
            projection.y + 66,
        ) and label.x == projection.x + 32
        assert label.y > patch.y + 64
    assert drawn[200, 8, 0].x == drawn[200, 3, 0].x + 2 * 74
    assert canvas.text("dead").x == canvas.text("5").x == drawn[200, 3, 0].x + 74 + 32


def test_a_large_overview_fills_rows_first(canvas):
    figures.overview(
        [Block(str(k), "", [Tile(flat(200, k, 0))]) for k in range(20)],
        "",
        "",
        "",
        patches=False,
        tile=64,
    )
    drawn, columns = {one.colour[1]: one for one in canvas.images}, 8
    for k in range(20):
        down, across = divmod(k, columns)
        assert (drawn[k].x, drawn[k].y) == (drawn[0].x + 74 * across, drawn[0].y + 88 * down)
        assert (
            canvas.text(str(k)).x == drawn[k].x + 32
            and 64 < canvas.text(str(k)).y - drawn[k].y < 88
        )


def test_a_single_image_is_numbered_where_its_units_look(canvas):
    """The second box lies low on the left, the first high on the right; the first alone is framed."""
    units = [
        (Tile(flat(201, 0, 0), flat(0, 0, 201)), (10, 60, 30, 90), "map 17", "at 1, 6: 9.5"),
        (Tile(flat(202, 0, 0), flat(0, 0, 202)), (70, 20, 90, 40), "map 3", "at 7, 2: 4"),
        (Tile(flat(*GREY), flat(0, 0, 203), dead=True), (0, 0, 10, 10), "map 5", "dead"),
    ]
    figures.one_image(flat(0, 90, 0, size=(100, 100)), units, "t", "s", "legend")
    shown, side = canvas.images[0], canvas.images[0].width
    assert shown.colour == (0, 90, 0) and shown.height == side > 2 * 176
    (frame,) = (shape for shape in canvas.rectangles if shape.outline == RED)
    corners = [
        (x - origin) / side * 100
        for x, origin in zip(frame.at, (shown.x, shown.y) * 2, strict=True)
    ]
    assert corners == pytest.approx([60, 10, 90, 30], abs=0.3) and frame.fill is None, (
        "left, top, right, bottom"
    )
    middles = {}
    for text in canvas.texts:
        if text.text in "123" and text.x < shown.x + side:
            middles[text.text] = ((text.x - shown.x) / side * 100, (text.y - shown.y) / side * 100)
    assert middles["1"] == pytest.approx((75, 20)) and middles["2"] == pytest.approx((30, 80))
    drawn = {one.colour: one for one in canvas.images}
    for number, (colour, name, note) in enumerate([(201, *units[0][2:]), (202, *units[1][2:])], 1):
        projection, patch, title = drawn[colour, 0, 0], drawn[0, 0, colour], canvas.text(name)
        assert patch.x == projection.x + 178 and patch.y == projection.y and title.y < projection.y
        assert canvas.text(note).x > title.x == projection.x + 28 and canvas.text(note).y == title.y
        (disc,) = (
            text for text in canvas.texts if text.text == str(number) and text.x > shown.x + side
        )
        assert (disc.x, disc.colour) == (projection.x + 10, WHITE)
    assert (
        drawn[202, 0, 0].x > drawn[201, 0, 0].x
        and (128, 128, 128) not in drawn
        and (0, 0, 203) in drawn
    )
    assert canvas.words().count("dead") == 2, "in its tile and beside its name"


@pytest.mark.parametrize("shape", [(48, 80), (80, 48)], ids=["wide", "tall"])
def test_marks_lie_on_an_image_that_is_not_square(canvas, shape):
    """Frame and number are where the image is pasted; a field that leaves it is cut at its border."""
    units = [
        (Tile(flat(201, 0, 0), None), (10, 20, 30, 44), "map 1", ""),
        (Tile(flat(202, 0, 0), None), (0, 0, 8, 8), "map 2", ""),
    ]
    figures.one_image(flat(0, 90, 0, size=shape), units, "t", "s", "legend")
    shown = canvas.images[0]
    scale = max(shown.width, shown.height) / max(shape)
    (frame,) = (one for one in canvas.rectangles if one.outline == RED)
    corners = [
        (x - origin) / scale for x, origin in zip(frame.at, (shown.x, shown.y) * 2, strict=True)
    ]
    assert corners == pytest.approx([20, 10, 44, 30], abs=0.3), "left, top, right, bottom"
    middles = {
        text.text: ((text.x - shown.x) / scale, (text.y - shown.y) / scale)
        for text in canvas.texts
        if text.text in "12" and text.x < shown.x + shown.width
    }
    assert middles == {"1": pytest.approx((32, 20)), "2": pytest.approx((4, 4))}
    beyond = [(Tile(flat(201, 0, 0), None), (-99, -99, 199, 199), "map 1", "")]
    figures.one_image(flat(0, 91, 0, size=shape), beyond, "t", "s", "legend")
    (shown,) = (one for one in canvas.images if one.colour == (0, 91, 0))
    frame = [one for one in canvas.rectangles if one.outline == RED][-1]
    right, bottom = shown.x + shown.width - 1, shown.y + shown.height - 1
    assert frame.at == (shown.x, shown.y, right, bottom)


def test_filters_are_drawn_in_their_order(canvas):
    weight = np.zeros((3, 3, 3, 3), np.float32)
    for number, channel in enumerate((2, 0, 1)):
        weight[:, :, channel, number] = 1
    figures.filters(weight, "", "", "")
    assert [one.colour for one in canvas.images] == [
        (128, 128, 255),
        (255, 128, 128),
        (128, 255, 128),
    ]
    for number, one in enumerate(canvas.images):
        assert canvas.text(str(number)).x == one.x + one.width / 2
