"""Figures: where things lie on a page, down to the pixel, and that a page is the same every time."""

import io

import numpy as np
import pytest

from rawconv.report import figures
from rawconv.report.figures import GAP, GREY, LINE, MARGIN, SPLIT, Block, Tile

RED, BLUE = (200, 30, 20), (10, 40, 220)
TOP = 62 + 22 + 8  # of the contents, below the heading


def flat(color, height=9, width=9):
    return np.full((height, width, 3), color, np.uint8)


def blocks(count, tiles=9):
    return [
        Block(f"map {k}", "2 to 1", [Tile(flat(RED), flat(BLUE))] * tiles) for k in range(count)
    ]


def grid(count, tiles=9, **more):
    return figures.grid(blocks(count, tiles), tiles, "title", "subtitle", "legend", **more)


def png(page):
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("shape", [(7, 7), (59, 59), (300, 300), (20, 10), (3, 30), (1, 1)])
def test_enlarge_keeps_the_aspect(shape):
    image = figures.enlarge(flat(RED, *shape), 84)
    assert max(image.size) == 84
    assert image.width / image.height == pytest.approx(shape[1] / shape[0], rel=0.05)
    assert set(
        image.getdata() if not hasattr(image, "get_flattened_data") else image.get_flattened_data()
    ) == {RED}


@pytest.mark.parametrize(
    ("count", "side", "rows"), [(1, 1, 1), (2, 2, 1), (4, 2, 2), (5, 3, 2), (9, 3, 3), (10, 4, 3)]
)
def test_block_size(count, side, rows):
    width, height = figures.block_size(count, tile=50)
    assert width == 2 * (side * 50 + (side - 1) * LINE) + SPLIT
    assert height == 26 + rows * 50 + (rows - 1) * LINE
    assert figures.block_size(count, patches=False, tile=50)[0] == side * 50 + (side - 1) * LINE


def test_projections_left_patches_right():
    page, tile = grid(1, tile=40), 40
    square = 3 * tile + 2 * LINE
    for row in range(3):
        for column in range(3):
            x, y = MARGIN + column * (tile + LINE), TOP + 26 + row * (tile + LINE)
            for dx, color in ((0, RED), (square + SPLIT, BLUE)):
                corners = [(x + dx, y), (x + dx + tile - 1, y + tile - 1)]
                assert [page.getpixel(corner) for corner in corners] == [color, color]
    assert page.getpixel((MARGIN + square + SPLIT // 2, TOP + 26 + 20)) == figures.PAPER


def test_without_patches():
    page, tile = grid(1, tile=40, patches=False), 40
    assert BLUE not in {page.getpixel((x, TOP + 40)) for x in range(page.width)}
    assert page.getpixel((MARGIN, TOP + 26)) == RED
    tiles = [Block("map 1", "", [Tile(flat(RED))] * 9)]
    assert (
        figures.grid(tiles, 9, "", "", "", patches=False, tile=tile).getpixel((MARGIN, TOP + 26))
        == RED
    )


def test_columns_and_rows():
    width, height = figures.block_size(9)
    page = grid(7)
    assert page.width == 3 * width + 2 * GAP + 2 * MARGIN
    for place in range(7):
        x, y = MARGIN + place % 3 * (width + GAP), TOP + place // 3 * (height + GAP)
        assert page.getpixel((x, y + 26)) == RED
    # no eighth block
    assert page.getpixel((MARGIN + width + GAP, TOP + 2 * (height + GAP) + 26)) == figures.PAPER
    assert grid(2).width == 2 * width + GAP + 2 * MARGIN


def test_fewer_units_than_places():
    page = figures.grid(
        [Block("map 0", "", [Tile(flat(RED), flat(BLUE))] * 2)], 9, "", "", "", tile=40
    )
    assert page.getpixel((MARGIN + 42, TOP + 26)) == RED
    assert page.getpixel((MARGIN + 84 + 3, TOP + 26 + 3)) == figures.RULE


def test_dead_maps_are_labelled_and_empty():
    page = figures.grid(
        [Block("map 0", "never above 0", [Tile(flat(RED), flat(BLUE), True)] * 9)],
        9,
        "",
        "",
        "",
        tile=40,
    )
    box = page.crop((MARGIN, TOP + 26, MARGIN + 124, TOP + 26 + 124))
    colors = {color for _, color in box.getcolors(1 << 16)}
    assert RED not in colors and {GREY, figures.PAPER} <= colors
    page = figures.overview([Block("0", "", [Tile(flat(RED), flat(BLUE), True)])], "", "", "")
    assert RED not in {color for _, color in page.getcolors(1 << 16)}


def test_overview_shows_every_map():
    colors = [(k, 255 - k, 7) for k in range(30)]
    page = figures.overview(
        [Block(str(k), "", [Tile(flat(c), flat(BLUE))]) for k, c in enumerate(colors)], "", "", ""
    )
    found = {color for _, color in page.getcolors(1 << 16)}
    assert set(colors) <= found and BLUE in found
    page = figures.overview(
        [Block(str(k), "", [Tile(flat(c), flat(BLUE))]) for k, c in enumerate(colors)],
        "",
        "",
        "",
        False,
    )
    assert BLUE not in {color for _, color in page.getcolors(1 << 16)}


def test_filters_are_scaled_each_by_itself():
    weight = np.zeros((3, 5, 3, 4), np.float32)
    weight[..., 1], weight[..., 2], weight[..., 3] = 0.001, -4, 0
    page = figures.filters(weight, "", "", "")
    colors = {color for _, color in page.getcolors(1 << 16)}
    assert {(255, 255, 255), (0, 0, 0), GREY} <= colors


def test_one_image_marks_its_units():
    units = [
        (Tile(flat(RED), flat(BLUE)), (10, 10, 30, 30), f"map {k}", "at 1, 2: 3") for k in range(4)
    ]
    page = figures.one_image(flat((0, 90, 0), 64, 64), units, "t", "s", "legend", tile=100)
    colors = dict(map(reversed, page.getcolors(1 << 16)))
    assert colors[RED] == colors[BLUE] == 4 * 100 * 100
    assert colors[(0, 90, 0)] > 200 * 200 and figures.ACCENT in colors
    bare = [(Tile(flat(RED)), (-9, -9, 90, 90), "map 1", "")]
    assert BLUE not in {
        color for _, color in figures.one_image(flat(GREY), bare, "", "", "").getcolors(1 << 16)
    }
    figures.one_image(flat(GREY), [], "nothing fires here", "", "legend")


def test_long_texts_stay_on_the_page():
    legend = "many words " * 80
    for words in (
        ("title", "subtitle", legend),
        ("title", legend, "x"),
        (legend, "x", "x"),
        ("x", "x", 400 * "x"),
    ):
        page = figures.grid(blocks(1), 9, *words)
        margin = page.crop((page.width - MARGIN + 3, 0, page.width, page.height))
        assert margin.getcolors() == [(margin.width * margin.height, figures.PAPER)]
        assert page.height > grid(1).height or len(words[1]) + len(words[2]) < 600
    assert figures.fitted("a class with a very long name", 60, 13).endswith("…")
    assert figures.length(figures.fitted("a class with a very long name", 60, 13), 13) <= 60
    assert figures.fitted("short", 60, 13) == "short"


def test_same_bytes_every_time():
    assert png(grid(5)) == png(grid(5))
