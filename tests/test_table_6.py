"""Pictures of several classes, as PASCAL VOC lists them: how they are read, learnt and ranked."""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from panels import bars, figures, ticks  # noqa: F401
from PIL import Image
from subjects import finished, interrupted_and_finished, subject_of
from test_visualize_cli import small_net

from rawconv import checkpoint
from rawconv.cli.experiments import main
from rawconv.data import voc
from rawconv.errors import RawconvError
from rawconv.experiments import transfer, transfer_page
from rawconv.experiments.average_precision import average_precision, chance, row
from rawconv.experiments.table_6 import PUBLISHED

CLASSES = ["bird", "cat", "dog"]
MARKS = {  # of picture k
    "train": [(1, -1, -1), (1, 1, -1), (-1, 1, -1), (-1, 0, 1), (-1, -1, 1), (-1, 0, -1)],
    "val": [(1, -1, 1), (-1, 1, -1), (-1, 0, 1), (1, 1, -1)],
}


def voc_folder(path):
    """Pictures as bright as their number in the lists, 20 to 29, in a folder like VOC2012."""
    (path / "ImageSets/Main").mkdir(parents=True)
    (path / "JPEGImages").mkdir()
    first = 20
    for part, marks in MARKS.items():
        names = [f"2008_{first + k:06d}" for k in range(len(marks))]
        for k, name in enumerate(names):
            level = first + k
            Image.new("RGB", (30, 30), (level,) * 3).save(
                path / f"JPEGImages/{name}.jpg", quality=100
            )
        for column, own in enumerate(CLASSES):
            lines = [f"{name} {each[column]:2d}\n" for name, each in zip(names, marks, strict=True)]
            (path / f"ImageSets/Main/{own}_{part}.txt").write_text("".join(lines))
        first += len(marks)
    (path / "ImageSets/Main/trainval.txt").write_text("2008_000020\n")
    return path


def test_the_lists_say_of_which_classes_a_picture_is(tmp_path):
    folder = voc_folder(tmp_path / "VOC2012")
    assert voc.accepts(folder) and not voc.accepts(tmp_path)
    data = voc.open_marked(folder, 26, progress=False)
    assert data.classes == CLASSES and data.name == "VOC2012"
    assert data.train.marks.tolist() == [list(marks) for marks in MARKS["train"]]
    assert data.val.marks.tolist() == [list(marks) for marks in MARKS["val"]]
    assert data.val.read([2, 0])[:, 0, 0, 0].tolist() == pytest.approx([28, 26], abs=1)
    once = data.train.one_class_each()
    assert once.labels.tolist() == [0, 0, 1, 1, 2, 2]  # the last picture is of none
    levels = once.read(range(6))[:, 3, 3, 1].tolist()
    assert levels == pytest.approx([20, 21, 21, 22, 23, 24], abs=1)


def spoiled(what):
    def spoil(folder):
        lists = folder / "ImageSets/Main"
        if what == "line":
            (lists / "cat_val.txt").write_text("2008_000026 yes\n")
        elif what == "list":
            (lists / "cat_val.txt").unlink()
        elif what == "others":
            (lists / "dog_train.txt").write_text("2008_000020 1\n")
        elif what == "picture":
            (folder / "JPEGImages/2008_000021.jpg").unlink()
        else:
            for name in ("cat", "dog"):
                (lists / f"{name}_train.txt").unlink()

    return spoil


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("line", "line 1 of .*cat_val.txt is not a picture and 1, -1 or 0"),
        ("list", "cat_val.txt cannot be read; every class has"),
        ("others", "dog_train.txt .* names other pictures than bird_train.txt"),
        ("picture", "There is no .*2008_000021.jpg; unpack"),
        ("classes", "the list of one class"),
    ],
)
def test_what_the_lists_lack_is_told(tmp_path, what, says):
    folder = voc_folder(tmp_path / "v")
    spoiled(what)(folder)
    with pytest.raises(RawconvError, match=says):
        voc.open_marked(folder, 26, progress=False)


def naive_average_precision(scores, marks):
    """VOC's: for each recall that is reached, the best precision at that recall or a larger one."""
    ranked = [mark for _, mark in sorted(zip(-scores, marks, strict=True)) if mark]
    points = []
    for n in range(1, len(ranked) + 1):
        hits = ranked[:n].count(1)
        points.append((hits / ranked.count(1), hits / n))
    total, before = 0, 0
    for recall, _ in points:
        total += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return total


def test_average_precision_is_the_area_under_precision_over_recall():
    rng = np.random.default_rng(0)
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is a witness")
    for _ in range(20):
        scores, marks = rng.standard_normal(30), rng.integers(-1, 2, 30)
        found = average_precision(scores, marks)
        assert found == pytest.approx(naive_average_precision(scores, marks))
        # scikit-learn's does not let precision rise again, so it is at most ours
        known = marks != 0
        theirs = metrics.average_precision_score(marks[known] == 1, scores[known])
        assert theirs <= found + 1e-12 and found - theirs < 0.2
    assert average_precision(np.array([3.0, 2, 1]), np.array([1, 1, -1])) == 1
    assert average_precision(np.array([3.0, 2, 1]), np.array([-1, -1, 1])) == pytest.approx(1 / 3)
    assert np.isnan(average_precision(np.array([1.0, 2]), np.array([-1, 0])))


def test_a_row_has_the_mean_of_the_classes_within_its_interval():
    rng = np.random.default_rng(0)
    marks = rng.choice([-1, 0, 1], (80, 3))
    scores = rng.standard_normal((80, 3)) + marks
    found = row("fixed", scores, marks, CLASSES)
    each = [average_precision(scores[:, k], marks[:, k]) for k in range(3)]
    assert (
        found["mean"] == pytest.approx(np.mean(each)) and list(found["by_class"].values()) == each
    )
    assert found["low"] < found["mean"] < found["high"] < found["low"] + 0.3
    by_chance = chance(marks, CLASSES)
    assert by_chance["cat"] == (marks[:, 1] == 1).sum() / (marks[:, 1] != 0).sum()
    assert by_chance["mean"] == pytest.approx(np.mean([by_chance[name] for name in CLASSES]))


def test_table_6_is_the_same_after_an_interruption(tmp_path, monkeypatch):
    data = voc.open_marked(voc_folder(tmp_path / "v"), 26, progress=False)
    options = {"steps": 2, "seed": 1}
    whole = finished(transfer.run, subject_of(data=data), tmp_path / "a", **options)
    again = interrupted_and_finished(
        transfer.run, subject_of(data=data), tmp_path / "b", monkeypatch, 2, **options
    )
    assert again == whole and whole["published"] == json.loads(json.dumps(PUBLISHED))
    numbers = whole["numbers"]
    assert [each["way"] for each in numbers["table"]] == ["fixed", "untrained", "scratch"]
    assert numbers["chance"]["cat"] == pytest.approx(2 / 3) and numbers["test_pictures"] == 4
    assert numbers["known_classes"] == ["cat"]
    assert whole["sentences"][0].startswith(
        "Mean average precision over 3 classes, interval over 4 pi"
    )


def test_the_figure_has_each_class_and_the_papers(figures):  # noqa: F811
    table = [
        {"way": way, "mean": 0.5, "by_class": {"cat": value, "yak": 0.2}}
        for way, value in (("fixed", 0.9), ("untrained", 0.3), ("scratch", 0.4))
    ]
    shares = {"cat": 0.1, "yak": 0.05, "mean": 0.075}
    transfer_page.draw_marked(subject_of(), table, shares, PUBLISHED)
    ours, paper = figures[0].axes
    found = bars(ours, lying=True)
    assert found[transfer_page.WAYS["fixed"]][2] == pytest.approx([90, 20, 50])
    assert ticks(ours) == ["cat", "yak", "mean"] == ticks(paper)
    assert bars(paper, lying=True)["the paper's net"][2] == [91.2, 79.0]
    assert ours.get_ylim() == paper.get_ylim()


def test_the_command_takes_the_lists_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    voc_folder(tmp_path / "v")
    checkpoint.save("net.h5", small_net(), {"data": "x"})
    words = ["--data", "v", "--device", "cpu"]

    def run(name, *more, code):
        result = CliRunner().invoke(main, [name, *words, *more])
        assert result.exit_code == code, result.output
        return result

    done = run("transfer", "--weights", "net.h5", "--steps", "1", code=0)
    about = json.loads((pathlib.Path(done.stdout.splitlines()[-1]) / "transfer.json").read_text())
    assert "per_class" not in about["options"] and len(about["numbers"]["table"]) == 3
    assert (
        "leave --folds out" in run("transfer", "--weights", "net.h5", "--folds", "2", code=2).stderr
    )
    assert "name a net with --weights" in run("transfer", code=2).stderr
    layers = run("layers", "--weights", "net.h5", "--classifier", "softmax", code=1)
    assert "table 7 takes those of one class each" in layers.stderr
