"""Accuracy per class, and class weights: in the log, in tables, in the recipe, in the checkpoint,
over processes.
"""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rawconv import checkpoint
from rawconv.cli.train import main
from rawconv.errors import RawconvError, UsageError
from rawconv.machine.arrays import Device
from rawconv.training import evaluation, runs
from rawconv.training.evaluation import evaluate
from rawconv.training.gradient_check import check_gradients
from rawconv.training.optimizer import SGD
from rawconv.training.step import train_step
from rawconv.training.trained_on import data_of


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_accuracy_per_class_by_hand():
    labels, right = np.array([0, 0, 3, 0, 3, 1]), np.array([1, 0, 1, 1, 1, 0], bool)
    found = evaluation.per_class(labels, right, 4)
    assert found == [2 / 3, 0.0, None, 1.0]
    assert evaluation.balanced_top1(found) == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert (
        evaluation.lowest(["cat", "dog", "owl", "pig"], found, 2)
        == "lowest top-1 of a class: dog 0.0%, cat 66.7%"
    )
    metrics = pytest.importorskip(
        "sklearn.metrics", reason="scikit-learn is not installed: no witness of accuracies"
    )
    assert evaluation.balanced_top1(found) == pytest.approx(
        metrics.balanced_accuracy_score(labels, np.where(right, labels, 3))
    )


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat([0, 1, 2, 3], [7, 1, 20, 12])
    found = runs.balanced(labels, 4)
    assert found == pytest.approx([40 / 28, 10, 0.5, 40 / 48])
    assert np.mean(np.array(found)[labels]) == pytest.approx(1)
    assert runs.balanced(np.array([0, 2, 2]), 3) == [1.5, 0.0, 0.75], (
        "a class without pictures is not counted"
    )
    classes = pytest.importorskip(
        "sklearn.utils.class_weight", reason="scikit-learn is not installed: no witness"
    )
    assert found == pytest.approx(
        classes.compute_class_weight("balanced", classes=np.arange(4), y=labels)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """40 cats, 8 dogs and 8 owls to learn from, and 6, 5 and 4 to be tested on."""
    root, rng = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    for split, counts in (("train", (40, 8, 8)), ("val", (6, 5, 4))):
        for name, count in zip(("cat", "dog", "owl"), counts, strict=True):
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 255, (28, 28, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def trained(folder):
    """The folder of a run by the command with balanced weights, and what it printed."""
    words = [
        "--data",
        str(folder),
        "--model",
        "lenet",
        "--epochs",
        "2",
        "--batch",
        "10",
        "--device",
        "cpu",
        "--json",
    ]
    done = CliRunner().invoke(
        main, [*words, "--class-weights", "balanced", "--out", str(folder / "run")]
    )
    assert done.exit_code == 0, done.output
    return folder / "run", done


def test_training_writes_the_accuracy_of_each_class(trained, folder):
    run, done = trained
    last = checkpoint.load(run / "last.h5")
    data = data_of(last.net, run, last.info)
    want = evaluate(last.net, data.val, Device())
    table = rows(run / "classes.csv")
    assert [list(row.values())[:3] for row in table] == [
        ["cat", "40", "6"],
        ["dog", "8", "5"],
        ["owl", "8", "4"],
    ]
    assert list(table[0]) == ["class", "train_pictures", "val_pictures", "top1"]
    assert [float(row["top1"]) for row in table] == pytest.approx(want["per_class"], abs=1e-4)
    hits = sum(share * count for share, count in zip(want["per_class"], (6, 5, 4), strict=True))
    assert hits / 15 == pytest.approx(want["top1"])
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert log[-1]["val_per_class"] == pytest.approx(want["per_class"], abs=1e-4)
    assert log[-1]["val_balanced_top1"] == pytest.approx(np.mean(want["per_class"]))
    result = json.loads(done.stdout)
    assert result["val_per_class"] == log[-1]["val_per_class"] and result["classes"] == str(
        run / "classes.csv"
    )
    assert (
        "val_per_class" not in (run / "log.csv").read_text()
        and "val_balanced_top1" in (run / "log.csv").read_text()
    )
    assert "val_per_class" not in last.info["history"][0], (
        "a list for a thousand classes is the log's alone"
    )
    assert "Validation, epoch 2: lowest top-1 of a class: " in done.stderr


def test_test_only_writes_the_accuracy_of_each_class(trained, tmp_path):
    run, _ = trained
    words = [
        "--test-only",
        "--weights",
        str(run / "last.h5"),
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "found"),
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0 and "lowest top-1 of a class: " in done.stdout
    found, table = (
        json.loads((tmp_path / "found/test.json").read_text()),
        rows(tmp_path / "found/classes.csv"),
    )
    with open(tmp_path / "found/confusion.csv") as file:
        counts = np.array([row[1:] for row in list(csv.reader(file))[1:]], int)
    want = np.diag(counts) / counts.sum(axis=1)
    assert list(found["per_class"]) == ["cat", "dog", "owl"] and list(
        found["per_class"].values()
    ) == pytest.approx(want)
    assert found["balanced_top1"] == pytest.approx(want.mean()) and found["classes"].endswith(
        "classes.csv"
    )
    assert [(row["class"], int(row["test_pictures"])) for row in table] == [
        ("cat", 6),
        ("dog", 5),
        ("owl", 4),
    ]
    assert [float(row["top1"]) for row in table] == pytest.approx(want, abs=1e-4)


def test_weights_are_kept_and_said(trained, folder, tmp_path):
    run, done = trained
    kept = checkpoint.load(run / "last.h5").info["recipe"]["class_weights"]
    assert kept == pytest.approx([56 / 120, 56 / 24, 56 / 24])
    assert list(runs.resume(run, {}).recipe.class_weights) == kept
    assert "unbalanced" not in done.stderr
    said = []
    unweighted = runs.start("lenet", str(folder), changes={"epochs": 1, "batch": 56})
    runs.train_run(unweighted, tmp_path, Device(), say=said.append, progress=False)
    assert any(
        "cat has 40 training pictures, dog 8" in line and "--class-weights balanced" in line
        for line in said
    )


def test_weights_of_other_classes_are_refused(folder, tmp_path):
    run = runs.start("lenet", str(folder))
    with pytest.raises(RawconvError, match="2 class weights for 3 classes"):
        runs.train_run(
            run._replace(recipe=run.recipe._replace(class_weights=[1, 2])),
            tmp_path,
            Device(),
            progress=False,
        )


def test_other_words_for_weights_are_refused():
    assert CliRunner().invoke(main, ["--class-weights", "0.5,0.5"]).exit_code == 2
    with pytest.raises(UsageError, match="class_weights 'equal'"):
        runs.start("lenet", "scenes:24", changes={"class_weights": "equal"})


def test_a_weighted_step_is_the_step_over_repeated_images(folder):
    """A weight of w is a picture w times over; the sum is divided by the pictures, not by the weights."""
    run = runs.start("lenet", str(folder), dtype="float64")
    weights, ids = np.array([1.0, 2, 3]), np.array([0, 39, 40, 41, 50])
    labels = run.data.train.labels[ids]
    many = np.repeat(np.arange(5), weights.astype(int)[labels])
    found = []
    for chosen, given, count in ((np.arange(5), weights, 5), (many, None, 5)):
        net = runs.start("lenet", str(folder), dtype="float64").net
        runs.choose_conv(net, "gemm")
        rng_key = (0, 0, ids[chosen])
        images = run.data.train.read(ids[chosen])
        train_step(
            net,
            images,
            labels[chosen],
            rng_key,
            "pad4",
            SGD(net),
            0.001,
            count=count,
            weights=given,
        )
        found.append(net.params)
    for key, value in found[0].items():
        np.testing.assert_allclose(value, found[1][key], rtol=1e-9, atol=1e-12)


def test_check_grads_takes_the_weights_in(folder):
    run = runs.start("lenet", str(folder), changes={"class_weights": "balanced"})
    assert max(check_gradients(run, say=lambda line: None).values()) < 1e-5
