"""The learning curves, read off their own axes as a person would, and the log beside them."""

import csv
import io

import numpy as np
import pytest
from PIL import Image

from rawconv.report.curves import FINE, SIZE, draw_curves
from rawconv.training import log

# training is blue, validation is orange, in every version
BLUE, ORANGE = (70, 120, 190), (215, 95, 50)


ROWS = [
    {"epoch": 1, "train_loss": 2.0, "val_loss": 3.0, "train_top1": 0.30, "val_top1": 0.25, "train_top5": 0.60,
     "val_top5": 0.5},
    {"epoch": 2, "train_loss": 1.0, "val_loss": 2.5, "train_top1": 0.55, "val_top1": 0.45, "train_top5": 0.80,
     "val_top5": 0.75},
    {"epoch": 4, "train_loss": 0.5, "val_loss": 2.75, "train_top1": 0.90, "val_top1": 0.40, "train_top5": 0.95,
     "val_top5": 0.70},
]  # fmt: skip


def read_off(canvas, panel):
    """[(colour, width, [(epoch, value)])] of the curves of a panel, read off its own axes as a
    person would.
    """
    top, bottom = (FINE * SIZE[1] // 2 * (panel + k) for k in (0, 1))
    inside = [text for text in canvas.texts if top <= text.y < bottom]
    down = {float(text.text): text.y for text in inside if text.anchor == "rm"}
    along = {
        int(text.text): text.x for text in inside if text.anchor == "mt" and text.text.isdigit()
    }
    (v0, y0), (v1, y1) = min(down.items()), max(down.items())
    (e0, x0), (e1, x1) = min(along.items()), max(along.items())
    assert y0 > y1 and x0 < x1, "0 is below and on the left"
    found = []
    for line in canvas.lines:
        if line.fill in (BLUE, ORANGE) and top <= line.at[0][1] < bottom:
            points = [
                (e0 + (x - x0) / (x1 - x0) * (e1 - e0), v0 + (y - y0) / (y1 - y0) * (v1 - v0))
                for x, y in line.at
            ]
            found.append((line.fill, line.width / FINE, points))
    return found


def test_curves_show_training_in_blue_and_validation_in_orange(canvas):
    draw_curves(ROWS, 6)
    wanted = {
        0: [(BLUE, 4, "train_loss", 1), (ORANGE, 4, "val_loss", 1)],
        1: [(BLUE, 4, "train_top1", 100), (ORANGE, 4, "val_top1", 100), (BLUE, 2, "train_top5", 100),
            (ORANGE, 2, "val_top5", 100)],
    }  # fmt: skip
    for panel, curves in wanted.items():
        drawn = read_off(canvas, panel)
        assert len(drawn) == len(curves)
        for (colour, width, points), (want_colour, want_width, name, factor) in zip(
            drawn, curves, strict=True
        ):
            assert (colour, width) == (want_colour, want_width), name
            values = [row[name] if factor == 1 else 100 * (1 - row[name]) for row in ROWS]
            assert [epoch for epoch, _ in points] == pytest.approx([1, 2, 4], abs=0.01)
            assert [value for _, value in points] == pytest.approx(values, rel=1e-6), name
    titles = sorted((text for text in canvas.texts if text.size == max(t.size for t in canvas.texts)),
                    key=lambda text: text.y)  # fmt: skip
    assert [text.text for text in titles] == [
        "cross-entropy loss",
        "error, %: top-1, and top-5 thin",
    ]
    assert canvas.words().count("epoch") == 2


def test_each_curve_is_named_at_its_end_and_no_name_lies_on_another(canvas):
    draw_curves(ROWS, 6)
    names = [text for text in canvas.texts if text.anchor == "lm" and text.x > 900]
    dark = {word: tuple(int(0.75 * part) for part in color) for word, color in
            (("training", BLUE), ("validation", ORANGE))}  # fmt: skip
    for name in names:
        assert name.colour == dark[name.text.partition(" ")[0]]
    lines = [line for line in canvas.lines if line.fill in (BLUE, ORANGE)]
    ends = sorted(line.at[-1][1] for line in lines)
    for name, end in zip(sorted(names, key=lambda text: text.y), ends, strict=True):
        assert 0 < name.x - lines[0].at[-1][0] < 60 and abs(name.y - end) < 3 * name.size
    told = [sorted(name.text for name in names if (name.y < FINE * SIZE[1] / 2) == above)
            for above in (True, False)]  # fmt: skip
    assert told == [["training", "validation"],
                    ["training", "training top-5", "validation", "validation top-5"]]  # fmt: skip
    heights = sorted(name.y for name in names)
    assert np.diff(heights).min() >= names[0].size


def test_top_5_of_five_classes_or_fewer_is_not_drawn(canvas):
    few = [row | {"train_top5": 1.0, "val_top5": 1.0} for row in ROWS]
    draw_curves(few, 6)
    assert len(read_off(canvas, 1)) == 2
    assert not [word for word in canvas.words() if "top-5" in word]


def test_letters_can_be_read_and_lines_have_no_steps_at_400_pixels(canvas):
    image = Image.open(io.BytesIO(draw_curves(ROWS, 6)))
    assert min(text.size for text in canvas.texts) / FINE * 400 / image.width >= 11
    pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = (np.abs(pixels - BLUE).max(axis=2) < 8).sum()
    between = pixels[..., 2] - pixels[..., 0] > 15  # bluish, and not the blue of the line
    assert between.sum() > blue + 400, "a slanted line fades into the paper"


def test_each_curve_ends_in_a_dot_of_its_colour(canvas):
    draw_curves(ROWS, 6)
    ends = [(line.fill, line.at[-1]) for line in canvas.lines if line.fill in (BLUE, ORANGE)]
    dots = [
        (dot.fill, ((dot.at[0] + dot.at[2]) / 2, (dot.at[1] + dot.at[3]) / 2))
        for dot in canvas.ellipses
    ]
    assert [colour for colour, _ in dots] == [colour for colour, _ in ends]
    for (_, dot), (_, end) in zip(dots, ends, strict=True):
        assert dot == pytest.approx(end)


def test_log_columns(tmp_path):
    rows = [
        {"epoch": 1, "lr": 0.01} | ROWS[0],
        {"epoch": 2, "lr": 0.01} | ROWS[1] | {"dead_conv1": 3},
    ]
    log.write_log(tmp_path, rows, 6)
    with open(tmp_path / "log.csv") as file:
        lines = list(csv.DictReader(file))
    names = [
        "epoch",
        "lr",
        "train_loss",
        "val_loss",
        "train_top1",
        "val_top1",
        "train_top5",
        "val_top5",
        "dead_conv1",
    ]
    assert (
        list(lines[0]) == names and lines[0]["dead_conv1"] == "" and lines[1]["dead_conv1"] == "3"
    )
    assert [float(lines[k]["val_top1"]) for k in (0, 1)] == [0.25, 0.45]
    assert log.read_log(tmp_path, 6) == rows and log.read_log(tmp_path, 1) == rows[:1]
    told = log.line(rows[0] | {"seconds": 61.4, "wait": 0.25}, 6)
    assert told == (
        "epoch   1/6  lr 0.01  train loss 2.000 top-1 30.0% top-5 60.0%  val loss 3.000 top-1 25.0% top-5 50.0%  "
        "61 s, 25% waiting for pictures"
    )
