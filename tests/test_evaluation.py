"""Accuracies, views, confusion and mistakes against plain loops over single pictures, and the files
that show them.
"""

import csv
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from laws import assert_same
from PIL import Image

from rawconv import checkpoint, data, models
from rawconv.cli.train import main
from rawconv.data import Split, mean_image, open_data
from rawconv.machine.arrays import Device
from rawconv.training import evaluation
from rawconv.training.evaluation import evaluate


@pytest.fixture(scope="module")
def scenes():
    return open_data("scenes:40", 32, progress=False)


@pytest.fixture(scope="module")
def split(scenes):
    """The first 23 validation pictures."""
    val = scenes.val
    return Split(val.read, val.labels[:23], val.names[:23], val.shape)


@pytest.fixture(scope="module")
def net(scenes):
    net = models.build("zf32", scenes.classes, None, mean_image(scenes.train), 0)
    rng = np.random.default_rng(5)
    net["fc8"].weight = rng.standard_normal(net["fc8"].weight.shape).astype(np.float32)
    return net


def crops(x, size=32, pad=4):
    """The ten views of one padded picture minus mean, by hand."""
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    far = 2 * pad
    five = [
        x[t : t + size, u : u + size]
        for t, u in ((0, 0), (0, far), (far, 0), (far, far), (pad, pad))
    ]
    return five + [one[:, ::-1] for one in five]


def probabilities(net, pixels, views):
    x = pixels.astype(np.float32) - net.pixel_mean
    found = []
    for one in crops(x) if views == 10 else [x]:
        scores = net.forward(np.ascontiguousarray(one[None]))[0].astype(np.float64).ravel()
        e = np.exp(scores - scores.max())
        found.append(e / e.sum())
    return np.mean(found, axis=0)


@pytest.mark.parametrize("views", [1, 10])
def test_answers_are_those_of_single_images(net, split, views):
    found = evaluation.answer(net, split, Device(), views)
    for i, label in enumerate(split.labels):
        p = probabilities(net, split.read([i])[0], views)
        assert found.own[i] == pytest.approx(math.log(p[label]), rel=1e-4, abs=1e-4)
        assert found.best[i] == p.argmax() and found.sure[i] == pytest.approx(
            math.log(p.max()), rel=1e-4, abs=1e-4
        )
        assert found.above[i] == (p > p[label]).sum()
    measures = evaluation.measures(found)
    assert measures["top1"] == (found.best == split.labels).mean() <= measures["top5"]
    if views == 1:
        validated = evaluate(net, split, Device())
        assert measures == pytest.approx({name: validated[name] for name in measures}, rel=1e-5)


def test_ten_views_need_no_more_than_the_mean_of_probabilities(net, split):
    """Averaging scores or losses instead would give other numbers: the views differ."""
    one, ten = (
        evaluation.measures(evaluation.answer(net, split, Device(), views)) for views in (1, 10)
    )
    assert abs(one["loss"] - ten["loss"]) > 1e-3


def test_scores_without_bound_and_nan():
    labels = np.array([0, 1, 2])
    scores = np.array([[[900.0, -900.0, 0.0]], [[900.0, -900.0, 0.0]], [[np.nan] * 3]], np.float32)
    own, best, sure, above = evaluation._answers(scores, labels)
    assert own[:2].tolist() == [0.0, -1800.0] and best[0] == 0 and sure[0] == 0
    assert above.tolist() == [0, 2, 2]


def made_up():
    labels = np.array([0, 0, 1, 1, 1, 2, 2])
    best = np.array([0, 1, 1, 2, 2, 2, 0])
    own = np.log([0.9, 0.2, 0.5, 0.3, 0.1, 0.8, 0.4])
    return labels, evaluation.Answers(
        own, best, np.log(np.full(7, 0.5)), (best != labels).astype(np.int64)
    )


def test_confusion_and_mistakes():
    labels, answers = made_up()
    counts = evaluation.confusion(labels, answers, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 2], [1, 0, 1]]
    assert evaluation.confused(counts) == [(1, 2, 2), (0, 1, 1), (2, 0, 1)]
    assert evaluation.confused(np.diag([3, 4])) == []
    assert evaluation.mistakes(labels, answers).tolist() == [4, 1, 3, 6]
    assert evaluation.mistakes(labels, answers, 2).tolist() == [4, 1]
    metrics = pytest.importorskip(
        "sklearn.metrics", reason="scikit-learn is not installed: no witness of confusion"
    )
    assert_same(counts, metrics.confusion_matrix(labels, answers.best))


def test_the_command_writes_what_it_found(tmp_path, net, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "VALIDATION_SCENES", 80)
    checkpoint.save("net.h5", net, {"data": "scenes:40"})
    words = ["--test-only", "--weights", "net.h5", "--views", "10", "--device", "cpu"]
    done = CliRunner().invoke(main, [*words, "--out", "found"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "found" and "taken for" in done.stdout
    results = json.loads((tmp_path / "found/test.json").read_text())
    with open("found/confusion.csv") as file:
        head, *rows = list(csv.reader(file))
    assert head[1:] == net.classes == [row[0] for row in rows]
    counts = np.array([row[1:] for row in rows], int)
    assert counts.sum() == results["pictures"] == 80
    assert np.trace(counts) / 80 == pytest.approx(results["top1"])
    for name in ("confusion", "mistakes"):
        with Image.open(f"found/{name}.png") as image:
            assert len(image.getcolors(1 << 24)) > 20
    again = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert again["folder"].startswith("runs/zf32-scenes-test-") and again["loss"] == results["loss"]
    for words in (["--views", "10"], ["--test-only", "--views", "3"]):
        assert CliRunner().invoke(main, words).exit_code == 2


def test_a_net_that_makes_no_mistake_has_no_image_of_them(tmp_path, split):
    right = evaluation.Answers(np.zeros(23), split.labels, np.zeros(23), np.zeros(23, np.int64))
    results = {"views": 1} | evaluation.measures(right)
    paths = evaluation.write(tmp_path, split, [str(k) for k in range(70)], right, results)
    assert "mistakes" not in paths and sorted(path.name for path in tmp_path.iterdir()) == [
        "classes.csv",
        "confusion.csv",
        "confusion.png",
        "test.json",
    ]


def test_measures_by_hand():
    """Of 8 pictures 3 have no class above their own, 6 fewer than five."""
    above = np.array([0, 0, 0, 1, 3, 4, 5, 9])
    answers = evaluation.Answers(-np.arange(8.0), np.zeros(8, int), np.zeros(8), above)
    assert evaluation.measures(answers) == {"loss": 3.5, "top1": 3 / 8, "top5": 6 / 8}


def test_the_files_hold_what_was_found(tmp_path):
    """Rows of the table are true classes, columns answers; the worst mistakes first, with both names."""
    labels, answers = made_up()
    images = np.full((7, 4, 4, 3), 30, np.uint8)
    split = Split(images.__getitem__, labels, [f"picture {k}" for k in range(7)], (4, 4, 3))
    results = {"views": 1, "pictures": 7} | evaluation.measures(answers)
    paths = evaluation.write(tmp_path, split, ["cat", "dog, small", "été"], answers, results)
    assert (tmp_path / "confusion.csv").read_text("utf-8").splitlines() == [
        'true class \\ answer,cat,"dog, small",été', "cat,1,1,0", '"dog, small",0,1,2', "été,1,0,1",
    ]  # fmt: skip
    assert (tmp_path / "classes.csv").read_text("utf-8").splitlines() == [
        "class,test_pictures,top1", "cat,2,0.5000", '"dog, small",3,0.3333', "été,2,0.5000",
    ]  # fmt: skip
    files = {
        "confusion": "confusion.csv",
        "confusion_picture": "confusion.png",
        "classes": "classes.csv",
    }
    files["mistakes"] = "mistakes.png"
    assert paths == {name: str(tmp_path / file) for name, file in files.items()}
    assert json.loads((tmp_path / "test.json").read_text()) == results | paths


def test_the_worst_mistakes_are_drawn_with_what_was_said_of_them(tmp_path, monkeypatch):
    import io

    from rawconv.report import gallery

    labels, answers = made_up()
    answers = answers._replace(sure=np.log([0.9, 0.71, 0.5, 0.52, 0.83, 0.8, 0.6]))
    images = np.arange(7, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 4, 4, 3), np.uint8)
    split, seen = Split(images.__getitem__, labels, [""] * 7, (4, 4, 3)), []

    def kept(tiles, *words):
        seen.append(([(int(tile[0][0, 0, 0]), *tile[1:]) for tile in tiles], words))
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(gallery, "gallery", kept)
    evaluation.write(
        tmp_path, split, ["cat", "dog", "ant"], answers, evaluation.measures(answers) | {"views": 1}
    )
    ((tiles, (title, subtitle, _)),) = seen
    want = [
        (4, "ant 83%", "is dog"),
        (1, "dog 71%", "is cat"),
        (3, "ant 52%", "is dog"),
        (6, "cat 60%", "is ant"),
    ]
    assert [tile[:3] for tile in tiles] == want
    assert (
        title == "Worst mistakes"
        and subtitle == "The 4 worst of 4 mistakes on 7 pictures; top-1 42.9%"
    )
    assert Image.open(io.BytesIO((tmp_path / "mistakes.png").read_bytes())).size == (1, 1)
