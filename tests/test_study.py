"""An experiment that is interrupted goes on where it stopped, and its results are files that are whole."""

import csv
import json

import matplotlib as mpl
import numpy as np
import pytest

from rawconv.errors import UsageError
from rawconv.experiments.study import UNFINISHED, Result, begin, table
from rawconv.report.charts import STYLE, heat, png, sheet, show, styled

OPTIONS = {"square": 12, "weights": "w.h5"}
KEYS = ["a", "b/..", "c"]


def steps(study, calls, stop_at=None):
    def compute(key):
        if key == stop_at:
            raise KeyboardInterrupt
        calls.append(key)
        return {"map": np.arange(4.0) * len(calls), "best": len(key)}

    return study.each(KEYS, compute)


def test_an_interrupted_study_is_found_again_and_computes_only_what_is_missing(tmp_path):
    calls, study = [], begin("toy", OPTIONS, tmp_path, "toy")
    with pytest.raises(KeyboardInterrupt):
        steps(study, calls, stop_at="c")
    begin("toy", {**OPTIONS, "square": 13}, tmp_path, "toy")  # another one, meanwhile
    again = begin("toy", OPTIONS, tmp_path, "toy")
    assert again.folder == study.folder and calls == ["a", "b/.."]
    found = steps(again, calls)
    assert calls == KEYS
    np.testing.assert_array_equal(found[1]["map"], np.arange(4.0) * 2)
    assert [int(step["best"]) for step in found] == [1, 4, 1]


def test_a_damaged_step_is_computed_again(tmp_path):
    calls, study = [], begin("toy", OPTIONS, tmp_path, "toy")
    steps(study, calls)
    for path in (study.folder / UNFINISHED).glob("*.npz"):
        path.write_bytes(path.read_bytes()[:40])
    steps(begin("toy", OPTIONS, tmp_path, "toy"), calls)
    assert calls == KEYS * 2


def test_results_are_written_and_the_steps_forgotten(tmp_path):
    study = begin("toy", OPTIONS, tmp_path, "toy")
    steps(study, [])
    rows = [{"y": 1, "p": 1 / 3}, {"y": 2, "best": "cat, grey"}]
    numbers = {"minimum": np.float32(0.25), "map": np.zeros(3), "nothing": float("nan")}
    about = study.finish(Result(numbers, rows, b"PNG", ["A sentence."], {"paper": 0.5}))
    written = json.loads((study.folder / "toy.json").read_text())
    assert written["numbers"] == {"minimum": 0.25, "map": [0, 0, 0], "nothing": None}
    assert written["options"] == OPTIONS and written["published"] == {"paper": 0.5}
    assert (study.folder / "toy.png").read_bytes() == b"PNG" and about["files"]["csv"] == "toy.csv"
    with open(study.folder / "toy.csv") as file:
        assert list(csv.DictReader(file)) == [
            {"y": "1", "p": "0.333333", "best": ""},
            {"y": "2", "p": "", "best": "cat, grey"},
        ]
    assert not (study.folder / UNFINISHED).exists()
    # it is complete: a new one
    assert begin("toy", OPTIONS, tmp_path, "toy").folder != study.folder


def test_out_is_used_if_it_is_empty_or_holds_this_study(tmp_path):
    out = tmp_path / "out"
    study = begin("toy", OPTIONS, tmp_path, "toy", out)
    assert study.folder == out == begin("toy", OPTIONS, tmp_path, "toy", out).folder
    with pytest.raises(UsageError, match="--force"):
        begin("toy", {"square": 1}, tmp_path, "toy", out)
    other = begin("toy", {"square": 1}, tmp_path, "toy", out, force=True)
    assert len(list(other.steps.iterdir())) == 1


def test_a_table_without_rows_has_no_lines():
    assert table([]).strip() == ""


def test_equal_charts_are_equal_bytes_in_the_charts_style_wherever_they_are_drawn():
    @styled
    def draw():
        figure, axes = sheet(1, 2, "Figure 5: a title", "and what it shows")
        show(axes[0, 0], np.zeros((8, 8, 3)), "nothing")
        heat(figure, axes[0, 1], np.arange(6.0).reshape(2, 3), "heat", label="p")
        assert axes[0, 0].title.get_size() == STYLE["axes.titlesize"]
        return png(figure)

    first = draw()
    with mpl.rc_context({"lines.linewidth": 9, "axes.titlesize": 30, "xtick.direction": "in"}):
        assert draw() == first
    assert first.startswith(b"\x89PNG")
