"""Tables 4 to 6: a softmax on fixed layers and a net from scratch, on the same few pictures,
interrupted or not.
"""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from subjects import data_of, finished, interrupted_and_finished, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

import rawconv
from rawconv.cli.experiments import main
from rawconv.data import Split, open_data
from rawconv.data.preprocessing import preprocess
from rawconv.data.subset import few, take
from rawconv.errors import RawconvError
from rawconv.experiments import held_out, transfer_ways
from rawconv.experiments.classifiers import (
    chosen,
    compact,
    shares,
    softmax_classifier,
    standardised,
)
from rawconv.experiments.study import begin
from rawconv.experiments.transfer import BATCH, run
from rawconv.experiments.transfer_page import PUBLISHED
from rawconv.machine.arrays import Device, to_cpu
from rawconv.visualize.controls import untrained

ROOT = pathlib.Path(__file__).parent.parent
OPTIONS = {"per_class": [2, 4], "folds": 2, "test": 5, "steps": 2, "seed": 3}


def dark_and_light(count):
    """A data set that any net can learn."""
    data = data_of(count)
    pictures = (
        data.train.read(range(count)) // 2
        + (128 * (np.arange(count) % 2)).astype(np.uint8)[:, None, None, None]
    )
    split = Split(pictures.__getitem__, data.train.labels, data.train.names, data.train.shape)
    return data._replace(train=split, val=split)


def test_fixed_layers_are_a_softmax_on_the_last_layer_below_the_scores(xp, tmp_path):
    device = Device() if xp is np else Device(0)
    found = finished(run, subject_of(data=data_of(16), device=device), tmp_path, **OPTIONS)[
        "numbers"
    ]["table"]
    assert [(row["way"], row["per_class"]) for row in found] == [
        ("fixed", 2), ("fixed", 4), ("untrained", 2), ("untrained", 4), ("scratch", 2), ("scratch", 4)
    ]  # fmt: skip
    right = right_shares(lambda fold: small_net())
    assert found[1]["folds"] == pytest.approx(np.mean(right, axis=1))
    assert list(found[1]["by_class"].values()) == pytest.approx(np.mean(right, axis=0))
    assert found[1]["accuracy"] == pytest.approx(np.mean(right))
    by_fold = np.mean(right, axis=1)
    assert found[1]["standard_error"] == pytest.approx(abs(by_fold[0] - by_fold[1]) / 2)
    bare = right_shares(lambda fold: untrained(small_net(), 3 + fold))
    assert found[3]["folds"] == pytest.approx(np.mean(bare, axis=1))


def right_shares(net_of):
    """(2, 2): for each fold the share of each class that is right on the last layer of net_of(fold); 4 a class to
    learn from, the same 4 that remain to be tried on.
    """
    images, right = data_of(16).train, []
    for fold in range(2):
        learnt, parts = few(images.labels, 4, 2, 3, fold), []
        for ids in (learnt, np.setdiff1d(np.arange(16), learnt)):
            x = preprocess(net_of(fold), images.read(ids))
            parts += [to_cpu(net_of(fold).forward(x, "relu2")[0]), images.labels[ids]]
        near, others = compact(*standardised(parts[0], parts[2]))
        guess = softmax_classifier(near, parts[1], 2, chosen("softmax", near, parts[1], 2))(others)
        right.append(shares(guess, parts[3], 2))
    return right


def test_from_scratch_sees_the_few_images_alone_and_learns_them(tmp_path, monkeypatch):
    seen, real = [], transfer_ways.train_in

    def train_in(folder, begin, data, *rest, **more):
        net, how = begin()
        seen.append((net, how, data))
        return real(folder, lambda: (net, how), data, *rest, **more)

    monkeypatch.setattr(transfer_ways, "train_in", train_in)
    about = subject_of(data=dark_and_light(24))
    about.info["recipe"] = {
        "crop": "random",
        "lr": 0.004,
        "frozen": "conv1",
        "rates": {"conv2": 0.5},
        "stored": 26,
    }
    before = {key: value.copy() for key, value in about.net.params.items()}
    found = finished(run, about, tmp_path, per_class=[4], folds=2, test=12, steps=60, seed=0)[
        "numbers"
    ]
    assert found["table"][2]["way"] == "scratch" and found["table"][2]["accuracy"] > 0.9
    assert found["pictures_from_scratch"] == 60 * BATCH
    (net, how, data), (other, *_) = seen
    assert (how.crop, how.lr, how.frozen, how.lr_multipliers, how.epochs) == (
        "random",
        0.002,
        "",
        {},
        1,
    )
    assert len(data.train) == 60 * BATCH and len(set(data.train.names)) == 8 and len(data.val) == 16
    assert not np.array_equal(net["conv1"].weight, other["conv1"].weight)
    assert all(np.array_equal(value, before[key]) for key, value in about.net.params.items())
    assert not list(tmp_path.rglob("last.h5"))


def test_more_classes_than_the_net_has(tmp_path):
    data = data_of(18)
    split = Split(data.train._read, np.arange(18) % 3, data.train.names, data.train.shape)
    about = subject_of(data=data._replace(classes=["a", "cat", "c"], train=split, val=split))
    found = finished(run, about, tmp_path, per_class=[5], folds=1, steps=1)
    for row in found["numbers"]["table"]:
        assert list(row["by_class"]) == ["a", "cat", "c"]
        assert set(row["by_class"].values()) <= {0, 1}  # of the one picture that is left
        assert row["accuracy"] == pytest.approx(np.mean(list(row["by_class"].values())))
    assert found["numbers"]["known_classes"] == ["cat"]
    assert found["sentences"][-1].startswith(
        "The net was trained on 1 of these 3 classes (cat), and"
    )


def test_interrupted_between_nets_it_ends_the_same(tmp_path, monkeypatch):
    whole = finished(run, subject_of(), tmp_path / "a", **OPTIONS)
    assert (
        interrupted_and_finished(run, subject_of(), tmp_path / "b", monkeypatch, 5, **OPTIONS)
        == whole
    )
    assert whole["published"] == PUBLISHED and whole["sentences"][0].startswith(
        "2 a class: layers fixed "
    )


def test_interrupted_within_a_net_it_ends_the_same(tmp_path, monkeypatch):
    options = {"per_class": [3], "folds": 1, "test": 5, "steps": 6, "seed": 0}
    whole, real, steps = (
        finished(run, subject_of(), tmp_path / "a", **options),
        rawconv.training.loop.train_step,
        [],
    )

    def stops(*arguments):
        steps.append(1)
        if len(steps) == 4:
            import signal

            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr("rawconv.training.loop.train_step", stops)
    with pytest.raises(KeyboardInterrupt):
        run(subject_of(), begin("it", options, tmp_path / "b", "it"), **options)
    assert len(steps) == 4
    again = begin("it", options, tmp_path / "b", "it")
    again.finish(run(subject_of(), again, **options))
    assert len(steps) == 6  # it went on
    assert json.loads((again.folder / "it.json").read_text()) == whole


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(
        RawconvError,
        match="Class cat of nowhere has 6 pictures, and 6 to learn .* choose --per-class 5 at most",
    ):
        run(subject_of(), begin("it", {}, tmp_path, "it"), per_class=[2, 6])


def test_a_trained_net_needs_fewer_images(tmp_path, monkeypatch):
    """The shipped net, on scenes that it has not seen of classes that it has: two of each are enough."""
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 240)
    data = open_data("scenes:12", 64)
    data = data._replace(train=take(data.val, range(60)), val=take(data.val, range(60, 240)))
    about = subject_of(rawconv.load(ROOT / "rawconv/scenes.h5"), data)
    fixed, bare, scratch = finished(run, about, tmp_path, per_class=[2], folds=1, test=10, steps=8)[
        "numbers"
    ]["table"]
    assert fixed["accuracy"] > scratch["accuracy"] + 0.3
    assert fixed["accuracy"] > bare["accuracy"] + 0.3


@pytest.mark.long
def test_pretrained_beats_scratch_at_few_shots_and_less_with_more(tmp_path, monkeypatch):
    """Classes that the net has not seen, by the command's own pretraining: mean of three nets and draws."""
    monkeypatch.chdir(tmp_path)
    gains = []
    for seed in range(3):
        about, options = held_out.load(seed=seed), {"per_class": [5, 30], "folds": 2, "seed": seed}
        table = finished(run, about, tmp_path / str(seed), **options)["numbers"]["table"]
        gains.append([table[k]["accuracy"] - table[4 + k]["accuracy"] for k in range(2)])
    few_shots, more = np.mean(gains, axis=0)
    assert few_shots > 0.05 and few_shots > more, gains


def command(*words, code=0):
    result = CliRunner().invoke(main, ["transfer", *map(str, words), "--device", "cpu"])
    told = result.stdout + result.stderr
    assert result.exit_code == code and "Traceback" not in told, told
    return result


def test_the_command(place):  # noqa: F811
    weights = ["--weights", "runs/tiny-pictures-1/last.h5", "--data", "pictures"]
    done = command(
        *weights, "--all-classes", "--per-class", 4, "--per-class", 2, "--folds", 1, "--steps", 1
    )
    folder = pathlib.Path(done.stdout.splitlines()[-1])
    about = json.loads((folder / "transfer.json").read_text())
    assert about["options"]["per_class"] == [2, 4] and len(about["numbers"]["table"]) == 6
    header = "way,per_class,accuracy,std,standard_error,cat,sea dog"
    assert (folder / "transfer.csv").read_text().startswith(header)
    assert (folder / "transfer.png").read_bytes().startswith(b"\x89PNG")
    assert "add --all-classes" in command(*weights, code=1).stderr
    assert "choose --per-class 9" in command(*weights, "--all-classes", code=1).stderr


def test_quick_has_the_tables_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(held_out, "MODEL", "lenet")
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 48)
    assert (
        "leave --no-train out"
        in command("--quick", "--no-train", "--data", "scenes:144", code=2).stderr
    )
    about = json.loads(command("--quick", "--data", "scenes:144", "--json").stdout)
    assert [(row["way"], row["per_class"], len(row["folds"])) for row in about["numbers"]["table"]] == [
        (way, count, 2) for way in ("fixed", "untrained", "scratch") for count in (5, 10)
    ]  # fmt: skip
    assert all(
        0 <= row["accuracy"] <= 1 and len(row["by_class"]) == 6 for row in about["numbers"]["table"]
    )
