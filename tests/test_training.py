"""Training runs: same seed same bits, interrupted and resumed, on any number of threads, and
refusals in words.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from commands import called

from rawconv import checkpoint
from rawconv.data import Split
from rawconv.errors import RawconvError, UsageError
from rawconv.machine.arrays import Device
from rawconv.training import runs, testing
from rawconv.training.evaluation import evaluate
from rawconv.training.gradient_check import check_gradients
from rawconv.training.log import LISTS
from rawconv.training.loop import TIMES, train
from rawconv.training.step import hits

CHANGES = {"epochs": 2, "batch": 64}
DATA = "scenes:300"
TIMELESS = dict.fromkeys(TIMES, 0)


def weights(path):
    return checkpoint.load(path).net.params


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def log(folder):
    """The rows of log.jsonl without their times."""
    return [json.loads(line) | TIMELESS for line in (folder / "log.jsonl").read_text().splitlines()]


def run_train(folder, *words, **environment):
    command = [sys.executable, "-m", "rawconv.cli.train", *words]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights and the folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    runs.train_run(runs.start("lenet", DATA, changes=CHANGES), folder, Device(), progress=False)
    return folder


def test_a_run_leaves_all_it_promises(undisturbed):
    found = {
        path.relative_to(undisturbed).as_posix()
        for path in undisturbed.rglob("*")
        if path.is_file()
    }
    assert found == {
        "last.h5", "best.h5", "log.jsonl", "log.csv", "curves.png", "snapshots/epoch-001.h5", "snapshots/epoch-002.h5",
        "classes.csv",
    }  # fmt: skip
    rows = [json.loads(line) for line in (undisturbed / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2] and all(
        np.isfinite(row["val_loss"]) for row in rows
    )
    assert (undisturbed / "log.csv").read_text().splitlines()[0].split(",") == [
        key for key in rows[0] if key not in LISTS
    ]
    last, best = checkpoint.load(undisturbed / "last.h5"), checkpoint.load(undisturbed / "best.h5")
    assert last.state and best.state is None and last.info["data"] == DATA


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_same_seed_same_bits_on_any_number_of_threads(undisturbed, tmp_path, threads):
    words = ["--model", "lenet", "--data", DATA, "--epochs", "2", "--batch", "64", "--out", "run"]
    result = run_train(tmp_path, *words, RAWCONV_NUM_THREADS=threads)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "run"
    assert same(weights(tmp_path / "run/last.h5"), weights(undisturbed / "last.h5"))


def test_a_run_that_is_done_may_be_resumed_without_its_log(undisturbed, tmp_path):
    shutil.copy(undisturbed / "last.h5", tmp_path)
    result = runs.train_run(runs.resume(tmp_path, {}), tmp_path, Device(), progress=False)
    assert result["epoch"] == 2 and not result["stopped_early"]


def test_another_seed_gives_other_weights(undisturbed, tmp_path):
    runs.train_run(
        runs.start("lenet", DATA, seed=1, changes=CHANGES), tmp_path, Device(), progress=False
    )
    assert not same(weights(tmp_path / "last.h5"), weights(undisturbed / "last.h5"))


@pytest.mark.parametrize("stop_after", [1, 3, 5, 7])
def test_interrupted_anywhere_and_resumed_gives_the_same_bits(
    undisturbed, tmp_path, monkeypatch, stop_after
):
    """Ctrl-C after some steps (five to an epoch), twice, then to the end."""
    from rawconv.training import loop

    steps, step = [], loop.train_step

    def interrupting(*arguments):
        steps.append(step(*arguments))
        if len(steps) == stop_after:
            signal.raise_signal(signal.SIGINT)
        return steps[-1]

    monkeypatch.setattr(loop, "train_step", interrupting)
    with pytest.raises(KeyboardInterrupt):
        runs.train_run(
            runs.start("lenet", DATA, changes=CHANGES), tmp_path, Device(), progress=False
        )
    steps.clear()
    try:
        runs.train_run(runs.resume(tmp_path, {}), tmp_path, Device(), progress=False)
    except KeyboardInterrupt:
        runs.train_run(runs.resume(tmp_path / "last.h5", {}), tmp_path, Device(), progress=False)
    assert same(weights(tmp_path / "last.h5"), weights(undisturbed / "last.h5"))
    assert log(tmp_path) == log(undisturbed)


def test_killed_between_an_epoch_s_last_step_and_its_end_the_log_is_the_same(
    undisturbed, tmp_path, monkeypatch
):
    """last.h5 is then of the epoch's last step, and the process that resumes it has no step to make
    in that epoch.
    """
    from rawconv.training import loop

    with monkeypatch.context() as patch:
        patch.setattr(loop, "evaluate", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runs.train_run(
                runs.start("lenet", DATA, changes=CHANGES),
                tmp_path,
                Device(),
                progress=False,
                minutes=0,
            )
    resumed = runs.resume(tmp_path, {})
    assert resumed.state["progress"]["position"] == len(resumed.data.train)
    runs.train_run(resumed, tmp_path, Device(), progress=False)
    assert same(weights(tmp_path / "last.h5"), weights(undisturbed / "last.h5"))
    assert log(tmp_path) == log(undisturbed)


@pytest.mark.posix
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_saves_when_stopped(tmp_path, number, code):
    words = ["--model", "lenet", "--data", DATA, "--epochs", "500", "--out", "run"]
    command = [sys.executable, "-m", "rawconv.cli.train", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run/best.h5").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    message = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "rawconv-train --resume run" in message and "Traceback" not in message
    assert checkpoint.load(tmp_path / "run/last.h5").state["progress"]["epoch"] >= 1


def test_training_learns(tmp_path):
    run = runs.start("lenet", "scenes:1500", changes={"epochs": 4, "batch": 32})
    before = evaluate(run.net, run.data.val, Device())
    rows = train(run.net, run.data, run.recipe, tmp_path, Device(), progress=False)
    assert rows[-1]["val_loss"] < 0.9 * before["loss"]
    assert rows[-1]["val_top1"] > 1.5 / len(run.data.classes)


def test_a_loss_that_is_no_number_is_said_in_words(tmp_path):
    run = runs.start("lenet", DATA, changes={"epochs": 1, "batch": 16, "lr": 1e9})
    with pytest.raises(
        RawconvError, match=r"The loss became (nan|inf).*diverges.*last\.h5.*--resume .*--lr "
    ):
        runs.train_run(run, tmp_path, Device(), progress=False)
    assert checkpoint.load(tmp_path / "last.h5").state["progress"]["epoch"] == 0


def test_check_gradients_passes_and_catches_a_wrong_layer(monkeypatch):
    from rawconv.layers.lrn import LRN

    run = runs.start("zf32", "scenes:60")
    errors = check_gradients(run, say=lambda line: None)
    assert set(errors) == {".".join(key) for key in run.net.params} and max(errors.values()) < 1e-5
    monkeypatch.setattr(LRN, "backward", lambda self, dy, x: (dy, {}))
    with pytest.raises(RawconvError, match="gradients are wrong"):
        check_gradients(run, say=lambda line: None)


def test_check_gradients_passes_a_trained_net_whose_loss_hardly_changes():
    """The shipped net is sure of its own pictures: their slopes are little more than rounding."""
    run = runs.start(None, "scenes:60", weights=checkpoint.shipped())
    assert max(check_gradients(run, say=lambda line: None).values()) < 1e-5


def test_a_run_that_stops_early_says_so_and_which_snapshots_there_are_not(tmp_path, monkeypatch):
    """The rate is cut after every epoch but the first; said again where such a run is resumed,
    which trains no more.
    """
    from rawconv.training.optimizer import Schedule

    monkeypatch.setattr(Schedule, "PATIENCE", 1)
    monkeypatch.setattr(Schedule, "BETTER", 1.0)
    changes = {"epochs": 30, "batch": 24, "schedule": "plateau"}
    for start in (
        lambda: runs.start("lenet", "scenes:24", changes=changes),
        lambda: runs.resume(tmp_path, {}),
    ):
        said = []
        result = runs.train_run(start(), tmp_path, Device(), say=said.append, progress=False)
        assert result["epoch"] == 4 and result["stopped_early"]
        (line,) = [line for line in said if "Stopped early" in line]
        assert line == (
            "Stopped early, after epoch 4 of 30: the learning rate was cut three times without a better validation "
            "accuracy. There will be no snapshots of epochs 5, 10, 20, 30; --schedule step goes on to the end."
        )
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == [
        "epoch-001.h5",
        "epoch-002.h5",
    ]


def test_a_run_whose_last_cut_is_in_its_last_epoch_does_not_stop_early(tmp_path, monkeypatch):
    from rawconv.training.optimizer import Schedule

    monkeypatch.setattr(Schedule, "PATIENCE", 1)
    monkeypatch.setattr(Schedule, "BETTER", 1.0)
    said, run = (
        [],
        runs.start("lenet", "scenes:24", changes={"epochs": 4, "batch": 24, "schedule": "plateau"}),
    )
    assert not runs.train_run(run, tmp_path, Device(), say=said.append, progress=False)[
        "stopped_early"
    ]
    assert not any("Stopped" in line for line in said)


def test_hits():
    scores = np.array([[9, 1, 2, 3, 4, 5, 6.0], [9, 1, 2, 3, 4, 5, 6], [np.nan] * 7, [1] * 7])
    top1, top5 = hits(scores, np.array([0, 2, 1, 1]))
    assert (top1, top5) == (1, 1)


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["--model", "zf63"], 2, "no model 'zf63'.*zf64"),
        (["--data", "nowhere"], 2, "nowhere does not exist"),
        (["--device", "tpu"], 2, "--device 'tpu'"),
        (["--resume", "nowhere"], 2, "nowhere"),
        (["--test-only", "--weights", "nowhere.h5"], 2, "nowhere.h5"),
        (["--epochs", "0"], 2, "--epochs"),
        (["--data", "scenes:many"], 2, "scenes:many"),
    ],
)
def test_bad_words_get_one_sentence(tmp_path, monkeypatch, words, code, message):
    found, text = called(monkeypatch, tmp_path, "train", *words)
    assert found == code and "Traceback" not in text
    assert re.search(message, text)
    assert not (tmp_path / "runs").exists()


def test_test_only_refuses_a_way_to_convolve_that_the_device_lacks(undisturbed):
    with pytest.raises(UsageError, match="--conv winograd is for the CPU, and this is gpu:0"):
        testing.test_checkpoint(undisturbed / "last.h5", None, Device(0), conv="winograd")


def test_resume_refuses_other_options_and_weights_without_state(undisturbed):
    with pytest.raises(UsageError, match="leave --batch out"):
        runs.resume(undisturbed, {"lr": 0.1, "batch": 3, "model": None})
    with pytest.raises(RawconvError, match="no training state"):
        runs.resume(undisturbed / "best.h5", {})


def test_dropout_is_what_was_asked_in_a_new_net_and_in_given_weights(tmp_path, monkeypatch):
    words = (
        "--data",
        "scenes:64",
        "--epochs",
        "1",
        "--batch",
        "32",
        "--device",
        "cpu",
        "--dropout",
    )
    for name, dropout, more in (
        ("a", "0.25", ("--model", "zf32")),
        ("b", "0", ("--weights", "a/last.h5")),
    ):
        code, text = called(monkeypatch, tmp_path, "train", *words, dropout, "--out", name, *more)
        assert code == 0, text
        found = checkpoint.load(tmp_path / name / "last.h5").net
        assert [layer.rate for at, layer in found.layers if at.startswith("drop")] == [
            float(dropout)
        ] * 2
    for more, sentence in (
        (("--model", "lenet", "--out", "c"), "A lenet has no dropout; leave --dropout out."),
        (("--resume", "a"), "leave --epochs, --batch, --dropout out."),
    ):
        code, text = called(monkeypatch, tmp_path, "train", *words, "0.5", *more)
        assert code == 2 and sentence in text and not (tmp_path / "c").exists()
    assert called(monkeypatch, tmp_path, "train", *words, "1")[0] == 2


def test_weights_of_other_classes_are_refused(undisturbed, tmp_path):
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for k in range(4):
            Image.new("RGB", (40, 40), (60 * k, 50, 50)).save(tmp_path / name / f"{k}.png")
    with pytest.raises(RawconvError, match="must be the same"):
        runs.start(data=str(tmp_path), weights=undisturbed / "last.h5")
    with pytest.raises(UsageError, match="leave --model out"):
        runs.start("zf64", DATA, weights=undisturbed / "last.h5")


def test_waiting_for_images_is_measured_and_said(tmp_path, capsys):
    """Reading that takes most of the time is most of the wait, and what is there already takes hardly any."""
    run = runs.start("lenet", "scenes:64", changes={"epochs": 1, "batch": 16})

    def slow(ids):
        time.sleep(0.2)
        return run.data.train.read(ids)

    data = run.data._replace(
        train=Split(slow, run.data.train.labels, run.data.train.names, run.data.train.shape)
    )
    (row,) = train(run.net, data, run.recipe, tmp_path, Device())
    assert row["seconds"] > 0.8 and 0.3 < row["wait"] <= 1
    assert f"{row['wait']:.0%} waiting for pictures" in capsys.readouterr().err
    assert "wait" not in checkpoint.load(tmp_path / "last.h5").info["history"][0], (
        "or equal runs would differ"
    )
