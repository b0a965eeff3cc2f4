"""What a run that goes on keeps, takes and refuses; and a run that diverges leaves the last sound
checkpoint.
"""

import math
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import rawconv
from rawconv import checkpoint, models
from rawconv.cli.train import main as train_command
from rawconv.data import open_data
from rawconv.data.identity import SOME, fingerprint
from rawconv.data.scenes import CLASSES
from rawconv.data.sources import absolute
from rawconv.errors import RawconvError, UsageError
from rawconv.layers.cpu import AUTO_VERSION
from rawconv.machine.arrays import Device
from rawconv.training import diagnostics, runs
from rawconv.training.optimizer import Schedule

DATA, CHANGES = "scenes:96", {"epochs": 3, "batch": 32}
CPU = ("--device", "cpu")


def call(*words):
    return CliRunner().invoke(train_command, list(map(str, words)))


def go(run, folder, **how):
    return runs.train_run(run, folder, Device(), progress=False, say=lambda line: None, **how)


def interrupt(monkeypatch, after):
    """Ctrl-C after some steps."""
    import signal

    from rawconv.training import loop

    steps, step = [], loop.train_step

    def interrupting(*arguments):
        steps.append(step(*arguments))
        if len(steps) == after:
            signal.raise_signal(signal.SIGINT)
        return steps[-1]

    monkeypatch.setattr(loop, "train_step", interrupting)


@pytest.fixture(scope="module", autouse=True)
def few_validation_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rawconv.data.VALIDATION_SCENES", 48)
        yield


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of a run of lenet that was interrupted in its second epoch; not to be changed."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            go(runs.start("lenet", DATA, changes=CHANGES), folder)
    return folder


@pytest.fixture
def begun(interrupted, tmp_path):
    """A copy of it."""
    return shutil.copytree(interrupted, tmp_path / "run")


def params(folder):
    return checkpoint.load(folder / "last.h5").net.params


def same(one, other):
    return all(np.array_equal(one[key], other[key]) for key in one)


# Options


def test_the_way_to_convolve_is_that_of_the_run(tmp_path, monkeypatch):
    """By gemm the bits are others than by default; a resumed run has those of the undisturbed one."""
    changes = {"epochs": 1, "batch": 24}
    folders = {name: tmp_path / name for name in ("gemm", "auto", "resumed")}
    for name, folder in folders.items():
        folder.mkdir()
        run = runs.start("zf32", "scenes:48", changes=changes)
        runs.choose_conv(run.net, "auto" if name == "auto" else "gemm")
        with monkeypatch.context() as patch:
            if name == "resumed":
                interrupt(patch, 1)
            try:
                go(run, folder)
            except KeyboardInterrupt:
                assert call("--resume", folder, *CPU).exit_code == 0
    assert not same(params(folders["auto"]), params(folders["gemm"]))
    assert same(params(folders["resumed"]), params(folders["gemm"]))
    info = checkpoint.load(folders["resumed"] / "last.h5").info
    assert info["options"] == {"conv": "gemm", "workspace": 256}


def test_a_way_that_the_device_lacks_is_refused_with_the_device_that_has_it(interrupted):
    run = runs.resume(interrupted, {})
    runs.choose_conv(run.net, "winograd")
    with pytest.raises(UsageError, match="go on with --device cpu"):
        runs.choose_conv(run.net, None, Device(0))


@pytest.mark.parametrize(
    "words",
    [
        ("--seed", 0), ("--seed", 3), ("--conv", "auto"), ("--model", "lenet"), ("--batch", 32), ("--epochs", 9),
        ("--dropout", 0.1), ("--rate", "conv1=1"), ("--weights", "w.h5"), ("--out", "o"), ("--fine-tune",),
        ("--freeze", "conv1"), ("--momentum", 0.9), ("--schedule", "step"), ("--colour", 0), ("--crop", "pad4"),
    ],
)  # fmt: skip
def test_every_option_that_decides_the_result_is_refused_even_at_its_default(interrupted, words):
    done = call("--resume", interrupted, *words)
    assert done.exit_code == 2 and f"leave {words[0]} out" in done.output


def test_resume_and_test_only_are_not_both_taken(interrupted):
    done = call("--resume", interrupted, "--test-only")
    assert done.exit_code == 2 and "--weights" in done.output


# The release


def of_release(folder, release):
    """The run, as another release would have left it: None, one that named none."""
    found = checkpoint.load(folder / "last.h5")
    assert found.info["release"] == {"rawconv": rawconv.__version__, "auto": AUTO_VERSION}
    info = {key: value for key, value in found.info.items() if key != "release"}
    info |= {"release": release} if release else {}
    checkpoint.save(folder / "last.h5", found.net, info, found.state)


@pytest.mark.parametrize(
    "release, named",
    [
        ({"rawconv": "0.0.1", "auto": AUTO_VERSION}, f"rawconv 0.0.1 (auto {AUTO_VERSION})"),
        ({"rawconv": rawconv.__version__, "auto": AUTO_VERSION + 1}, f"(auto {AUTO_VERSION + 1})"),
        (None, "was written by an earlier release"),
    ],
)  # fmt: skip
def test_a_run_of_another_release_goes_on_after_one_line(begun, release, named):
    of_release(begun, release)
    done = call("--resume", begun, *CPU)
    assert done.exit_code == 0, done.output
    (said,) = (line for line in done.output.splitlines() if "was written by" in line)
    assert named in said and "the run goes on, but its weights will not be, bit for bit" in said
    assert f"this is rawconv {rawconv.__version__} (auto {AUTO_VERSION})" in said
    written = checkpoint.load(begun / "last.h5")
    assert written.state["progress"]["epoch"] == CHANGES["epochs"]
    assert written.info["release"] == {"rawconv": rawconv.__version__, "auto": AUTO_VERSION}


def test_a_run_of_this_release_goes_on_without_a_word(begun):
    said = []
    runs.resume(begun, {}, said.append)
    assert said == []


# The learning rate


def test_a_rate_given_by_hand_holds_from_the_next_step_and_is_kept(begun, monkeypatch):
    """lenet's cosine: from the interruption in epoch 2 on it falls from the given rate to 0, as by
    the formula.
    """
    from rawconv.training import loop

    rates, step = [], loop.train_step
    monkeypatch.setattr(loop, "train_step", lambda *a: rates.append(a[6]) or step(*a))
    done = call("--resume", begun, "--lr", 0.002, *CPU)
    assert done.exit_code == 0, done.output
    assert "learning rate is 0.002 from epoch 2, picture 33 on; it was " in done.output
    times = np.array([4, 5, 6, 7, 8]) / 3
    shape = [(1 + math.cos(math.pi * t / 3)) / 2 for t in times]
    np.testing.assert_allclose(rates, [0.002 * value / shape[0] for value in shape], rtol=1e-12)
    assert rates[0] == pytest.approx(0.002, rel=1e-15)
    found = checkpoint.load(begun / "last.h5").info
    assert found["recipe"]["lr"] == 0.002
    assert [row.get("lr_set_to") for row in found["history"]] == [None, 0.002, None]
    again = call("--resume", begun, "--lr", 0.01)
    assert again.exit_code == 2 and "has done all its 3 epochs" in again.output


def test_a_rate_given_by_hand_survives_another_interruption(begun, tmp_path, monkeypatch):
    shutil.copytree(begun, tmp_path / "at once")
    assert call("--resume", tmp_path / "at once", "--lr", 0.002, *CPU).exit_code == 0
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            go(runs.resume(begun, {"lr": 0.002}), begun)
    go(runs.resume(begun, {}), begun)
    assert same(params(begun), params(tmp_path / "at once"))


def test_what_the_schedules_make_of_a_rate_given_by_hand():
    step = Schedule("step", 0.5, 30, since=12)
    assert [step.rate(t) for t in (12, 19.9, 20, 29)] == [0.5, 0.5, 0.05, 0.05]
    assert Schedule("constant", 0.5, 30, since=12).rate(20) == 0.5
    cosine = Schedule("cosine", 0.5, 30, since=15)
    assert cosine.rate(15) == pytest.approx(0.5) and cosine.rate(30) == 0
    assert cosine.rate(20) == pytest.approx(0.5 * (1 + math.cos(math.pi * 2 / 3)))


def test_plateau_counts_anew_from_a_rate_given_by_hand_and_a_stopped_run_stays_stopped(begun):
    """A run that its plateau ended has nothing left to do; a rate given by hand is a reason to go on."""
    found = checkpoint.load(begun / "last.h5")
    found.info["recipe"] |= {"schedule": "plateau", "warmup": 0.0}
    found.state["progress"]["schedule"] = {"best": 0.9, "waited": 0, "cuts": 3}
    checkpoint.save(begun / "last.h5", found.net, found.info, found.state)
    run = runs.resume(begun, {})
    go(run, begun)
    assert checkpoint.load(begun / "last.h5").state["progress"]["epoch"] == 1
    run = runs.resume(begun, {"lr": 0.003}, say=lambda line: None)
    schedule = run.state["progress"]["schedule"]
    assert (schedule["best"], schedule["waited"], schedule["cuts"]) == (-1, 0, 0)
    go(run, begun)
    rows = checkpoint.load(begun / "last.h5").info["history"]
    assert [row["epoch"] for row in rows] == [1, 2, 3] and rows[1]["lr"] == 0.003


# The pictures


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The same folder of two classes in two places, and one whose pictures are others."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (root / "here" / kind).mkdir(parents=True)
        for k in range(20):
            Image.fromarray(rng.integers(0, 256, (28, 28, 3), np.uint8)).save(
                root / "here" / kind / f"{k:02d}.png"
            )
    shutil.copytree(root / "here", root / "elsewhere" / "moved")
    shutil.copytree(root / "here", root / "others")
    for path in (root / "others").rglob("*.png"):
        Image.fromarray(rng.integers(0, 256, (28, 28, 3), np.uint8)).save(path)
    shutil.copytree(root / "here", root / "fewer")
    (root / "fewer" / "cat" / "00.png").unlink()
    return root


def test_data_that_moved_are_named_anew_and_others_are_refused(photos, tmp_path, monkeypatch):
    shutil.copytree(photos / "here", tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    words = ("--model", "lenet", "--epochs", 2, "--batch", 16, *CPU)
    assert call("--data", "pictures", *words, "--out", "whole").exit_code == 0
    assert checkpoint.load("whole/last.h5").info["data"] == str(tmp_path / "pictures")
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        assert call("--data", "pictures", *words, "--out", "run").exit_code == 130
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    run = tmp_path / "run"
    state = run.joinpath("last.h5").read_bytes()
    shutil.move(tmp_path / "pictures", tmp_path / "renamed")
    gone = call("--resume", run, *CPU)
    assert (
        gone.exit_code == 2
        and f"{tmp_path / 'pictures'}, which is not here" in gone.output
        and "--data" in gone.output
    )
    for other, sentence in (("others", "other pictures"), ("fewer", "pictures, not 36 and 4")):
        done = call("--resume", run, "--data", photos / other, *CPU)
        assert done.exit_code == 1 and sentence in done.output, done.output
    assert run.joinpath("last.h5").read_bytes() == state
    done = call("--resume", run, "--data", "../renamed", *CPU)
    assert done.exit_code == 0, done.output
    assert same(params(run), params(tmp_path / "whole"))
    assert checkpoint.load(run / "last.h5").info["data"] == str(tmp_path / "renamed")


def test_images_that_changed_in_their_place_are_spoken_of(photos, tmp_path):
    """Not refused: another machine's decoder may differ in the last bit.  Other numbers of them are
    refused.
    """
    shutil.copytree(photos / "here", tmp_path / "data")
    run = runs.start("lenet", tmp_path / "data", changes={"epochs": 1, "batch": 16})
    go(run, tmp_path)
    shutil.copytree(photos / "others", tmp_path / "data", dirs_exist_ok=True)
    said = []
    runs.resume(tmp_path, {}, said.append)
    assert len(said) == 1 and "no longer holds the same pictures" in said[0]
    (tmp_path / "data" / "dog" / "03.png").unlink()
    with pytest.raises(RawconvError, match="validation pictures, not 36 and 4"):
        runs.resume(tmp_path, {})


def test_a_checkpoint_without_a_fingerprint_is_resumed_with_the_same_classes(begun):
    found = checkpoint.load(begun / "last.h5")
    del found.info["pictures"], found.info["options"]
    checkpoint.save(begun / "last.h5", found.net, found.info, found.state)
    assert len(runs.resume(begun, {"data": "scenes:97"}).data.train) == 97
    with pytest.raises(RawconvError, match="has? 20 training|holds 20 training"):
        runs.resume(begun, {"data": "scenes:20"})


def test_what_names_a_data_set_everywhere(photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert absolute("here") == str(photos / "here") == absolute("./elsewhere/../here/")
    assert absolute("here@cat,dog") == f"{photos / 'here'}@cat,dog"
    assert [absolute(name) for name in ("scenes", "framed:30@cat")] == ["scenes", "framed:30@cat"]


def test_the_fingerprint_is_of_labels_images_and_order():
    data = open_data("scenes:40", 32)
    kept = fingerprint(data)
    assert kept == fingerprint(open_data("scenes:40", 32)) and (kept["train"], kept["val"]) == (
        40,
        48,
    )
    train = data.train
    for change in (
        lambda: setattr(train, "labels", np.roll(train.labels, 1)),
        lambda: setattr(train, "_order", lambda seed, epoch: np.arange(40)),
        lambda: setattr(train, "_read", lambda ids: np.zeros((len(ids), 32, 32, 3), np.uint8)),
    ):
        now = fingerprint(data)
        change()
        assert fingerprint(data)["sha256"] != now["sha256"]
    assert SOME < 40


# Divergence


def test_a_run_that_diverges_keeps_its_last_sound_checkpoint_and_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(
        "--data", "scenes:18", "--model", "zf32", "--epochs", 60, "--lr", 0.08, "--out", "run", *CPU
    )
    assert done.exit_code == 1 and "the run diverges" in done.output
    assert "rawconv-train --weights run/best.h5 with the same --data --lr " in done.output, (
        "last.h5 is on its way up"
    )
    for name in ("last", "best"):
        found = checkpoint.load(f"run/{name}.h5")
        x = (
            open_data("scenes:18", 32).val.read(np.arange(48)).astype("float32")
            - found.net.pixel_mean
        )
        assert np.isfinite(found.net.forward(x, keep=False)[0]).all()
        assert all(row["train_loss"] <= 10 * math.log(12) for row in found.info["history"])
    on = call(
        "--weights",
        "run/best.h5",
        "--lr",
        0.001,
        "--data",
        "scenes:18",
        "--epochs",
        3,
        "--out",
        "on",
        *CPU,
    )
    assert on.exit_code == 0, on.output


def test_a_net_that_begins_with_a_large_loss_trains_at_a_small_rate_and_not_at_a_large_one(
    tmp_path, monkeypatch
):
    """As nets that are built by hand do, whose mean is 0: no rate would be low enough for the bound
    of other nets.
    """
    monkeypatch.chdir(tmp_path)
    net = models.build("zf32", list(CLASSES), None, np.full((32, 32, 3), 128, np.float32), 0)
    last = net["fc8"]
    last.weight = 300 * np.random.default_rng(0).standard_normal(last.weight.shape).astype(
        np.float32
    )
    checkpoint.save("a.h5", net, {"data": "scenes:18"})
    words = ["--data", "scenes:18", "--weights", "a.h5", "--epochs", 2, *CPU]
    done = call(*words, "--lr", 1e-7, "--out", "small")
    assert done.exit_code == 0, done.output
    rows = checkpoint.load("small/last.h5").info["history"]
    assert len(rows) == 2 and min(row["train_loss"] for row in rows) > diagnostics.bound(12), (
        "or nothing is tested"
    )
    done = call(*words, "--lr", 10, "--out", "large")
    assert done.exit_code == 1 and "diverges" in done.output


@pytest.mark.parametrize("broken", ["val_loss", "train_loss"])
def test_the_epoch_that_diverges_is_not_kept(tmp_path, monkeypatch, broken):
    """Neither last.h5, best.h5, the snapshot nor the log: all are of the epoch before."""
    from rawconv.training import loop

    evaluate, calls = loop.evaluate, []

    def second_breaks(*arguments, **how):
        calls.append(1)
        found = evaluate(*arguments, **how) | {"top1": 0.1 * len(calls)}
        return found | {"loss": math.nan} if broken == "val_loss" and len(calls) == 2 else found

    def loss_of(self, *arguments):
        row = finish(self, *arguments)
        return (
            row | {"train_loss": 10.01 * math.log(12)}
            if broken == "train_loss" and row["epoch"] == 2
            else row
        )

    finish = loop._Run.finish_epoch
    monkeypatch.setattr(loop, "evaluate", second_breaks)
    monkeypatch.setattr(loop._Run, "finish_epoch", loss_of)
    with pytest.raises(RawconvError, match=r"Epoch 2 ended.*last\.h5 was written before"):
        go(runs.start("lenet", DATA, changes=CHANGES), tmp_path)
    assert checkpoint.load(tmp_path / "last.h5").state["progress"]["epoch"] == 1
    assert len(checkpoint.load(tmp_path / "best.h5").info["history"]) == 1
    assert not (tmp_path / "snapshots" / "epoch-002.h5").exists()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 1


def test_a_save_within_an_epoch_does_not_replace_a_sound_checkpoint_by_one_that_diverges(
    tmp_path, monkeypatch
):
    from rawconv.training import loop

    step, grown = loop.train_step, iter([1, *[1e4] * 99])
    monkeypatch.setattr(loop, "train_step", lambda *a: step(*a) * np.array([next(grown), 1, 1]))
    interrupt(monkeypatch, 2)
    said = []
    with pytest.raises(KeyboardInterrupt):
        runs.train_run(
            runs.start("lenet", DATA, changes=CHANGES),
            tmp_path,
            Device(),
            said.append,
            False,
            minutes=0,
        )
    at = checkpoint.load(tmp_path / "last.h5").state["progress"]["position"]
    assert at == 32, "after the first step, whose loss is yet sound"
    assert "not saved" in said[-1]
