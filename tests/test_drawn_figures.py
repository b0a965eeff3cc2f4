"""What a person sees in figures, by position, colour and words, against results made by hand."""

import csv
import json

import numpy as np
import pytest
from canvas import Canvas

from rawconv import evaluation, runlog
from rawconv.experiments import charts
from rawconv.report import figures, gallery, strips
from rawconv.report.confusion import draw_confusion
from rawconv.report.curves import draw_curves
from rawconv.report.figures import Block, Tile

BLUE, ORANGE = (70, 120, 190), (215, 95, 50)  # training is blue, validation is orange, in every version
RED, GREY, FRAME = (222, 84, 44), (128, 128, 128), (206, 209, 215)
DARK, SOFT, WHITE = (28, 30, 36), (104, 108, 118), (255, 255, 255)


@pytest.fixture
def canvas(monkeypatch):
    return Canvas(monkeypatch)


def flat(*colour, size=(9, 9)):
    return np.full((*size, 3), colour, np.uint8)


# ---------------------------------------------------------------------------------------------- learning curves

ROWS = [
    {"epoch": 1, "train_loss": 2.0, "val_loss": 3.0, "train_top1": 0.30, "val_top1": 0.25, "train_top5": 0.60,
     "val_top5": 0.5},
    {"epoch": 2, "train_loss": 1.0, "val_loss": 2.5, "train_top1": 0.55, "val_top1": 0.45, "train_top5": 0.80,
     "val_top5": 0.75},
    {"epoch": 4, "train_loss": 0.5, "val_loss": 2.75, "train_top1": 0.90, "val_top1": 0.40, "train_top5": 0.95,
     "val_top5": 0.70},
]  # fmt: skip


def read_off(canvas, panel):
    """[(colour, width, [(epoch, value)])] of the curves of a panel, read off its own axes as a person would."""
    left, right = 480 * panel, 480 * (panel + 1)
    inside = [text for text in canvas.texts if left <= text.x < right]
    down = {float(text.text): text.y for text in inside if text.anchor == "rm"}
    along = {int(text.text): text.x for text in inside if text.anchor == "mt" and text.text.isdigit()}
    (v0, y0), (v1, y1) = min(down.items()), max(down.items())
    (e0, x0), (e1, x1) = min(along.items()), max(along.items())
    assert y0 > y1 and x0 < x1, "0 is below and on the left"
    found = []
    for line in canvas.lines:
        if line.fill in (BLUE, ORANGE) and left <= line.at[0][0] < right:
            points = [
                (e0 + (x - x0) / (x1 - x0) * (e1 - e0), v0 + (y - y0) / (y1 - y0) * (v1 - v0)) for x, y in line.at
            ]
            found.append((line.fill, line.width, points))
    return found


def test_curves_show_training_in_blue_and_validation_in_orange(canvas):
    draw_curves(ROWS, 6)
    wanted = {
        0: [(BLUE, 3, "train_loss", 1), (ORANGE, 3, "val_loss", 1)],
        1: [(BLUE, 3, "train_top1", 100), (ORANGE, 3, "val_top1", 100), (BLUE, 1, "train_top5", 100),
            (ORANGE, 1, "val_top5", 100)],
    }  # fmt: skip
    for panel, curves in wanted.items():
        drawn = read_off(canvas, panel)
        assert len(drawn) == len(curves)
        for (colour, width, points), (want_colour, want_width, name, factor) in zip(drawn, curves, strict=True):
            assert (colour, width) == (want_colour, want_width), name
            values = [row[name] if factor == 1 else 100 * (1 - row[name]) for row in ROWS]
            assert [epoch for epoch, _ in points] == pytest.approx([1, 2, 4], abs=0.01)
            assert [value for _, value in points] == pytest.approx(values, rel=1e-6), name
    assert {(text.text, text.colour) for text in canvas.texts if text.text in ("training", "validation")} == {
        ("training", BLUE), ("validation", ORANGE),
    }  # fmt: skip
    titles = [text for text in canvas.texts if text.size == 15]
    assert [(text.text, text.x < 480) for text in titles] == [
        ("cross-entropy loss", True), ("top-1 (solid) and top-5 (thin) error, %", False),
    ]  # fmt: skip
    assert canvas.words().count("epoch") == 2


def test_each_curve_ends_in_a_dot_of_its_colour(canvas):
    draw_curves(ROWS, 6)
    ends = [(line.fill, line.at[-1]) for line in canvas.lines if line.fill in (BLUE, ORANGE)]
    dots = [(dot.fill, ((dot.at[0] + dot.at[2]) / 2, (dot.at[1] + dot.at[3]) / 2)) for dot in canvas.ellipses]
    assert [colour for colour, _ in dots] == [colour for colour, _ in ends]
    for (_, dot), (_, end) in zip(dots, ends, strict=True):
        assert dot == pytest.approx(end)


def test_log_columns(tmp_path):
    rows = [{"epoch": 1, "lr": 0.01} | ROWS[0], {"epoch": 2, "lr": 0.01} | ROWS[1] | {"dead_conv1": 3}]
    runlog.write_log(tmp_path, rows, 6)
    with open(tmp_path / "log.csv") as file:
        lines = list(csv.DictReader(file))
    names = ["epoch", "lr", "train_loss", "val_loss", "train_top1", "val_top1", "train_top5", "val_top5", "dead_conv1"]
    assert list(lines[0]) == names and lines[0]["dead_conv1"] == "" and lines[1]["dead_conv1"] == "3"
    assert [float(lines[k]["val_top1"]) for k in (0, 1)] == [0.25, 0.45]
    assert runlog.read_log(tmp_path, 6) == rows and runlog.read_log(tmp_path, 1) == rows[:1]
    told = runlog.line(rows[0] | {"seconds": 61.4, "wait": 0.25}, 6)
    assert told == (
        "epoch   1/6  lr 0.01  train loss 2.000 top-1 30.0% top-5 60.0%  val loss 3.000 top-1 25.0% top-5 50.0%  "
        "61 s, 25% waiting for pictures"
    )


# ---------------------------------------------------------------------------------------------- confusion

COUNTS = np.array([[6, 3, 1], [0, 4, 0], [2, 0, 0]])  # true class first: a cat was taken for a dog three times
NAMES = ["cat", "dog", "a hat with a very long name"]


@pytest.fixture
def figure(monkeypatch):
    """A list with the Matplotlib figures that were drawn."""
    made, png = [], charts.png
    monkeypatch.setattr(charts, "png", lambda one: made.append(one) or png(one))
    return made


def test_rows_of_the_confusion_matrix_are_true_classes(figure):
    draw_confusion(COUNTS, NAMES, {"views": 10, "top1": 0.625, "top5": 1.0})
    axes = figure[0].axes[0]
    shown, (bottom, top) = axes.images[0].get_array(), axes.get_ylim()
    np.testing.assert_allclose(shown, [[60, 30, 10], [0, 100, 0], [100, 0, 0]])
    assert bottom > top and axes.get_xlim()[0] < axes.get_xlim()[1], "the first class is above, and on the left"
    assert axes.images[0].get_clim() == (0, 100)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("answer", "true class")
    short = ["cat", "dog", "a hat with a very…"]
    assert [label.get_text() for label in axes.get_yticklabels()] == short
    assert [label.get_text() for label in axes.get_xticklabels()] == short
    assert list(axes.get_yticks()) == list(axes.get_xticks()) == [0, 1, 2]
    numbers = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert numbers == {  # (answer, true class): the share in black on light, in white on dark
        (0, 0): ("60", "white"), (1, 0): ("30", "white"), (2, 0): ("10", "white"), (1, 1): ("100", "black"),
        (0, 2): ("100", "black"),
    }  # fmt: skip
    words = [text.get_text() for text in figure[0].texts]
    assert words == ["Which class is taken for which", "16 pictures, 10 views each, top-1 62.5%, top-5 100.0%"]
    draw_confusion(COUNTS, NAMES, {"views": 1, "top1": 0.625, "top5": 1.0})
    assert "16 pictures, 1 view each," in figure[1].texts[1].get_text()


@pytest.mark.parametrize(("classes", "named", "numbered"), [(20, 20, 20), (21, 21, 0), (60, 60, 0), (61, 0, 0)])
def test_many_classes_are_neither_numbered_nor_named(figure, classes, named, numbered):
    names = [f"class {k}" for k in range(classes)]
    draw_confusion(np.eye(classes, dtype=int), names, {"views": 1, "top1": 1.0, "top5": 1.0})
    axes = figure[0].axes[0]
    assert sum(label.get_text().startswith("class") for label in axes.get_yticklabels()) == named
    assert len(axes.texts) == numbered


def test_the_table_of_the_confusion_has_the_same_order(tmp_path):
    labels = np.array([0, 0, 0, 1, 2, 2])
    answers = evaluation.Answers(np.log([0.6, 0.2, 0.1, 0.9, 0.3, 0.2]), np.array([0, 1, 1, 1, 0, 2]),
                                 np.log([0.6, 0.7, 0.8, 0.9, 0.5, 0.4]), np.zeros(6, int))  # fmt: skip
    counts = evaluation.confusion(labels, answers, 3)
    assert counts.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]
    assert evaluation.confused(counts) == [(0, 1, 2), (2, 0, 1)], "true class, answer, how often"
    assert evaluation.mistakes(labels, answers).tolist() == [2, 1, 4], "the least probability of its own first"


# ---------------------------------------------------------------------------------------------- strips

TABLE = [[flat(10 * row + 1, 20 * column + 2, 7) for column in range(3)] for row in range(2)]


def place_of(canvas, row, column):
    """The picture that is TABLE[row][column]."""
    (found,) = (one for one in canvas.pictures if one.colour == (10 * row + 1, 20 * column + 2, 7))
    return found


def test_a_strip_is_a_table_of_rows_and_columns(canvas):
    strip = strips.Strip(
        "conv4", ["one", "two", "three"], ["first\ncat", "second"], TABLE, feet=[("p", ["a", "b", "c"])]
    )
    strips.draw([strip], "title", "subtitle", "legend", side=50)
    assert len(canvas.pictures) == 6
    corner = place_of(canvas, 0, 0)
    for row in range(2):
        for column in range(3):
            one = place_of(canvas, row, column)
            assert (one.x, one.y) == (corner.x + 58 * column, corner.y + 58 * row) and one.width == one.height == 50
    for column, head in enumerate(strip.heads):
        text = canvas.text(head)
        assert text.x == corner.x + 58 * column + 25 and corner.y - 20 < text.y < corner.y and text.colour == DARK
    first, second, kind = (canvas.text(words) for words in ("first", "second", "cat"))
    assert first.x == second.x == kind.x < corner.x and (first.colour, kind.colour) == (DARK, SOFT)
    assert (first.y + kind.y) / 2 == corner.y + 25 and second.y == corner.y + 58 + 25 and kind.y > first.y
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
    assert sum(shape.fill == FRAME for shape in canvas.rectangles) == 5, "the others have a thin grey one"


def test_an_empty_place_stays_empty_and_strips_stand_beside_each_other(canvas):
    one = strips.Strip("left", [], [], [[None, TABLE[0][1]]])
    two = strips.Strip("right", [], [], [[TABLE[1][0], TABLE[1][1]]])
    strips.draw([one, two], "", "", "", side=50, across=2)
    left, right, last = place_of(canvas, 0, 1), place_of(canvas, 1, 0), place_of(canvas, 1, 1)
    assert len(canvas.pictures) == 3 and left.y == right.y == last.y
    assert right.x - left.x == 50 + figures.GAP and last.x - right.x == 58
    assert canvas.text("left").x == left.x - 58 and canvas.text("right").x == right.x


def test_mosaic_fills_rows_first():
    tiles = np.stack([flat(k, k, k, size=(2, 3)) for k in range(5)])
    page = strips.mosaic(tiles, 3)
    assert page.shape == (5, 11, 3)
    assert [[int(page[y, x, 0]) for x in (0, 4, 8)] for y in (0, 3)] == [[0, 1, 2], [3, 4, 255]]
    assert (page[2] == 255).all() and (page[:2, 3] == 255).all()


# ---------------------------------------------------------------------------------------------- grids of maps


def test_a_grid_shows_projections_left_and_patches_right_strongest_first(canvas):
    tiles = [Tile(flat(200, k, 0), flat(0, k, 200)) for k in range(3)]
    blocks = [Block("map 4", "9 to 1", tiles), Block("map 7", "3 to 2", [Tile(flat(99, 0, 0), flat(0, 0, 99))] * 3)]
    figures.grid(blocks, 3, "the title", "below it", "the legend")
    first = {one.colour: one for one in canvas.pictures}
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
    assert [head.size for head in heads] == [28, 16, 15] and [head.colour for head in heads] == [DARK, SOFT, SOFT]
    assert heads[0].y < heads[1].y < title.y < max(one.y for one in canvas.pictures) < heads[2].y


def test_one_dead_unit_among_others_is_named_and_its_patch_shown(canvas):
    tiles = [Tile(flat(200, 0, 0), flat(0, 0, 1)), Tile(flat(*GREY), flat(0, 0, 2), dead=True)]
    figures.grid([Block("map 0", "", tiles)], 2, "", "", "")
    assert [one.colour for one in canvas.pictures] == [(200, 0, 0), (0, 0, 1), (0, 0, 2)]
    alive, word = canvas.pictures[0], canvas.text("dead")
    assert (word.x, word.y, word.colour, word.anchor) == (alive.x + 98 + 48, alive.y + 48, WHITE, "mm")


def test_the_overview_has_each_number_below_its_own_tiles(canvas):
    blocks = [Block(str(k), "", [Tile(flat(200, k, 0), flat(0, k, 200))]) for k in (3, 5, 8)]
    blocks[1] = blocks[1]._replace(tiles=[blocks[1].tiles[0]._replace(dead=True)])
    figures.overview(blocks, "", "", "", tile=64)
    drawn = {one.colour: one for one in canvas.pictures}
    assert set(drawn) == {(200, 3, 0), (0, 3, 200), (200, 8, 0), (0, 8, 200)}
    for number in (3, 8):
        projection, patch, label = drawn[200, number, 0], drawn[0, number, 200], canvas.text(str(number))
        assert (patch.x, patch.y) == (projection.x, projection.y + 66) and label.x == projection.x + 32
        assert label.y > patch.y + 64
    assert drawn[200, 8, 0].x == drawn[200, 3, 0].x + 2 * 74
    assert canvas.text("dead").x == canvas.text("5").x == drawn[200, 3, 0].x + 74 + 32


def test_a_large_overview_fills_rows_first(canvas):
    figures.overview(
        [Block(str(k), "", [Tile(flat(200, k, 0))]) for k in range(20)], "", "", "", patches=False, tile=64
    )
    drawn, columns = {one.colour[1]: one for one in canvas.pictures}, 8
    for k in range(20):
        down, across = divmod(k, columns)
        assert (drawn[k].x, drawn[k].y) == (drawn[0].x + 74 * across, drawn[0].y + 88 * down)
        assert canvas.text(str(k)).x == drawn[k].x + 32 and 64 < canvas.text(str(k)).y - drawn[k].y < 88


def test_a_single_picture_is_numbered_where_its_units_look(canvas):
    """The second box lies low on the left, the first high on the right; the first alone is framed."""
    units = [
        (Tile(flat(201, 0, 0), flat(0, 0, 201)), (10, 60, 30, 90), "map 17", "at 1, 6: 9.5"),
        (Tile(flat(202, 0, 0), flat(0, 0, 202)), (70, 20, 90, 40), "map 3", "at 7, 2: 4"),
        (Tile(flat(*GREY), flat(0, 0, 203), dead=True), (0, 0, 10, 10), "map 5", "dead"),
    ]
    figures.one_picture(flat(0, 90, 0, size=(100, 100)), units, "t", "s", "legend")
    shown, side = canvas.pictures[0], canvas.pictures[0].width
    assert shown.colour == (0, 90, 0) and shown.height == side > 2 * 176
    (frame,) = (shape for shape in canvas.rectangles if shape.outline == RED)
    corners = [(x - origin) / side * 100 for x, origin in zip(frame.at, (shown.x, shown.y) * 2, strict=True)]
    assert corners == pytest.approx([60, 10, 90, 30], abs=0.3) and frame.fill is None, "left, top, right, bottom"
    middles = {}
    for text in canvas.texts:
        if text.text in "123" and text.x < shown.x + side:
            middles[text.text] = ((text.x - shown.x) / side * 100, (text.y - shown.y) / side * 100)
    assert middles["1"] == pytest.approx((75, 20)) and middles["2"] == pytest.approx((30, 80))
    drawn = {one.colour: one for one in canvas.pictures}
    for number, (colour, name, note) in enumerate([(201, *units[0][2:]), (202, *units[1][2:])], 1):
        projection, patch, title = drawn[colour, 0, 0], drawn[0, 0, colour], canvas.text(name)
        assert patch.x == projection.x + 178 and patch.y == projection.y and title.y < projection.y
        assert canvas.text(note).x > title.x == projection.x + 28 and canvas.text(note).y == title.y
        (disc,) = (text for text in canvas.texts if text.text == str(number) and text.x > shown.x + side)
        assert (disc.x, disc.colour) == (projection.x + 10, WHITE)
    assert drawn[202, 0, 0].x > drawn[201, 0, 0].x and (128, 128, 128) not in drawn and (0, 0, 203) in drawn
    assert canvas.words().count("dead") == 2, "in its tile and beside its name"


def test_filters_are_drawn_in_their_order(canvas):
    weight = np.zeros((3, 3, 3, 3), np.float32)
    for number, channel in enumerate((2, 0, 1)):
        weight[:, :, channel, number] = 1
    figures.filters(weight, "", "", "")
    assert [one.colour for one in canvas.pictures] == [(128, 128, 255), (255, 128, 128), (128, 255, 128)]
    for number, one in enumerate(canvas.pictures):
        assert canvas.text(str(number)).x == one.x + one.width / 2


def test_a_gallery_has_each_caption_below_its_picture(canvas):
    pictures = [gallery.Picture(flat(10 * k, 0, 50), f"caption {k}", f"note {k}") for k in range(5)]
    gallery.gallery(pictures, "", "", "", tile=112)
    for k, one in enumerate(canvas.pictures):
        caption, note = canvas.text(f"caption {k}"), canvas.text(f"note {k}")
        assert one.colour == (10 * k, 0, 50) and caption.x == note.x == one.x
        assert one.y + 112 < caption.y < note.y and (caption.colour, note.colour) == (DARK, SOFT)
    assert canvas.pictures[1].x - canvas.pictures[0].x == 126 and canvas.pictures[4].y > canvas.pictures[0].y


def test_json_of_numbers_stays_numbers(tmp_path):
    from rawconv.visualize import write_index

    path = write_index(tmp_path, {"box": [1, 2, 3, 4], "name": "caf\u00e9", "no": float("nan")})
    assert json.loads(path.read_text("utf-8")) == {"box": [1, 2, 3, 4], "name": "caf\u00e9", "no": None}
    assert "[1, 2, 3, 4]" in path.read_text("utf-8")
