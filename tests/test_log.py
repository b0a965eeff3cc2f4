"""What a run says of itself: every number of its log against the steps it made and the nets it left."""

import csv
import json

import numpy as np
import pytest

from rawconv import checkpoint, data
from rawconv.machine.arrays import Device
from rawconv.training import evaluation, log, loop, runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder, rows, the sums of every step) of three epochs of three steps, of 40, 40 and 16 pictures."""
    folder, steps, step = tmp_path_factory.mktemp("run"), [], loop.train_step

    def counted(*arguments):
        steps.append((np.array(sums := step(*arguments)), len(arguments[2])))
        return sums

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "VALIDATION_SCENES", 50)
        changes = {"epochs": 3, "batch": 40, "schedule": "cosine", "warmup": 0.0}
        about = runs.start("lenet", "scenes:96", changes=changes)
        patch.setattr(loop, "train_step", counted)
        runs.train_run(about, folder, Device(), say=lambda line: None, progress=False)
    return (
        folder,
        [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()],
        steps,
        about,
    )


def test_training_numbers_are_means_over_the_epoch_s_images(run):
    _, rows, steps, about = run
    assert [count for _, count in steps] == [40, 40, 16] * 3 and [row["epoch"] for row in rows] == [
        1,
        2,
        3,
    ]
    for epoch, row in enumerate(rows):
        loss, top1, top5 = sum(sums for sums, _ in steps[3 * epoch : 3 * epoch + 3]) / 96
        assert (row["train_loss"], row["train_top1"], row["train_top5"]) == pytest.approx(
            (loss, top1, top5)
        )
        assert row["train_top1"] <= row["train_top5"] <= 1
        t = (epoch + 80 / 96) / 3  # the last step's rate
        assert row["lr"] == pytest.approx(about.recipe.lr * (1 + np.cos(np.pi * t)) / 2)
        assert row["seconds"] > 0 and 0 <= row["wait"] <= 1


def test_validation_numbers_are_those_of_the_nets_that_were_kept(run):
    folder, rows, _, about = run
    labels = about.data.val.labels
    for path, row in (
        ("snapshots/epoch-001.h5", rows[0]),
        ("snapshots/epoch-002.h5", rows[1]),
        ("last.h5", rows[2]),
    ):
        answers = evaluation.answer(checkpoint.load(folder / path).net, about.data.val, Device())
        for name, value in evaluation.measures(answers).items():
            assert row[f"val_{name}"] == pytest.approx(value, rel=1e-5)
        right = [(answers.best == labels)[labels == k].mean() for k in range(12)]
        assert row["val_per_class"] == pytest.approx(right, abs=1e-4)
        assert row["val_balanced_top1"] == pytest.approx(np.mean(right), abs=1e-4)


def test_the_best_net_is_the_first_of_the_best_epoch(run):
    folder, rows, *_ = run
    best = int(np.argmax([row["val_top1"] for row in rows]))
    kept = ("snapshots/epoch-001.h5", "snapshots/epoch-002.h5", "last.h5")[best]
    one, two = (checkpoint.load(folder / name) for name in ("best.h5", kept))
    assert all(np.array_equal(value, two.net.params[key]) for key, value in one.net.params.items())
    assert [row["epoch"] for row in one.info["history"]] == list(range(1, best + 2))
    last = checkpoint.load(folder / "last.h5").state["progress"]
    assert last["best"] == rows[best]["val_top1"] and (last["epoch"], last["position"]) == (3, 0)


def test_the_table_has_the_rows_of_the_log(run):
    folder, rows, *_ = run
    with open(folder / "log.csv") as file:
        table = list(csv.DictReader(file))
    plain = [
        {name: value for name, value in row.items() if name != "val_per_class"} for row in rows
    ]
    assert [{name: float(value) for name, value in row.items()} for row in table] == plain
    assert log.read_log(folder, 2) == rows[:2]


def test_the_line_of_an_epoch():
    row = {"epoch": 7, "lr": 0.00125, "train_loss": 1.23456, "train_top1": 0.5012, "train_top5": 0.9,
           "val_loss": 2.5, "val_top1": 0.25, "val_top5": 0.751, "seconds": 61.5, "wait": 0.034}  # fmt: skip
    assert log.line(row, 30) == (
        "epoch   7/30  lr 0.0013  train loss 1.235 top-1 50.1% top-5 90.0%  val loss 2.500 top-1 25.0% top-5 75.1%  "
        "62 s, 3% waiting for pictures"
    )
