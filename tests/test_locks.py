"""Two at once: the second says who is at work, and what a killed process left behind stops nobody."""

import errno
import json
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rawconv.errors import RawconvError
from rawconv.files import locks, processes, storage
from rawconv.files.locks import holder, locked
from rawconv.files.processes import Process, this


@pytest.fixture
def other():
    """A process that runs until the test ends, as a Process."""
    process = subprocess.Popen(["sleep", "60"])
    yield this()._replace(pid=process.pid, started=processes.started(process.pid))
    process.kill()
    process.wait()


def leave(path, process):
    """The lock of another process on a folder or file."""
    file = locks._file(path)
    with open(file, "w") as out:
        json.dump(process._asdict(), out)
    return file


def ended():
    """A process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_lock_is_there_while_it_is_held_and_gone_afterwards(tmp_path):
    with locked(tmp_path), locked(tmp_path):
        assert Process(**json.loads((tmp_path / ".lock").read_text())) == this()
        assert holder(tmp_path) is None, "this process is no other one"
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), locked(tmp_path / "new.h5"):
        assert [path.name for path in tmp_path.iterdir()] == [".new.h5.lock"]
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_who_holds_it_is_said(tmp_path, other):
    file = leave(tmp_path, other)
    with pytest.raises(RawconvError) as refusal, locked(tmp_path):
        pass
    assert f"Process {other.pid} on {other.host} is at work on {tmp_path} since 20" in str(
        refusal.value
    )
    assert "remove" not in str(refusal.value) and os.path.exists(file)
    assert holder(tmp_path) == other


@pytest.mark.parametrize("change", ["host", "machine", "space"])
def test_of_a_process_elsewhere_nobody_knows_so_the_lock_to_remove_is_named(tmp_path, change):
    file = leave(tmp_path, this()._replace(pid=ended(), **{change: "another"}))
    with (
        pytest.raises(RawconvError, match="if it is no longer running, remove ") as refusal,
        locked(tmp_path),
    ):
        pass
    assert file in str(refusal.value) and os.path.exists(file)


def test_what_a_process_left_that_is_gone_is_taken_over(tmp_path, other):
    for process in (
        this()._replace(pid=ended()),
        this()._replace(pid=10**9),
        other._replace(started="1"),  # the number was given to another process since
        other._replace(boot="before the machine was restarted"),
    ):
        leave(tmp_path, process)
        assert holder(tmp_path) is None
        with locked(tmp_path):
            assert Process(**json.loads((tmp_path / ".lock").read_text())) == this()
        assert not list(tmp_path.iterdir())


def test_a_process_that_ended_and_that_nobody_asked_how_is_gone(tmp_path):
    process = subprocess.Popen(["true"])
    deadline = time.monotonic() + 10
    while processes.started(process.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert os.path.exists(f"/proc/{process.pid}") or sys.platform != "linux"
    leave(tmp_path, this()._replace(pid=process.pid))
    with locked(tmp_path):
        process.wait()


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"host": 1}', b"\xff\xfe", b'{"pid": []}'])
def test_a_lock_that_names_nobody_is_waited_for_and_then_taken_over(tmp_path, text):
    file = tmp_path / ".lock"
    file.write_bytes(text)
    writer = threading.Timer(0.1, lambda: leave(tmp_path, this()._replace(host="elsewhere")))
    writer.start()
    with pytest.raises(RawconvError, match="on elsewhere is at work"), locked(tmp_path):
        pass
    writer.join()
    file.write_bytes(text)
    os.utime(file, (time.time() - 60,) * 2)
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_locked_is_refused_in_a_sentence(tmp_path):
    with (
        pytest.raises(RawconvError, match="could not be written .No such file"),
        locked(tmp_path / "no" / "folder.h5"),
    ):
        pass


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, r"Make {0} writable \(chmod u\+w {0}\), or name a folder"),
        (errno.EPERM, r"Make {0} writable \(chmod u\+w {0}\), or name a folder"),
        (errno.EROFS, "Nothing can be written to that file system"),
        (errno.ENOSPC, "Free some space, or name a folder on another disk"),
    ],
)
def test_a_folder_that_cannot_be_written_into_is_refused_with_what_is_wrong(
    tmp_path, monkeypatch, number, remedy
):
    """The lock is the first that is written, as by --resume; root is refused nothing by a file system."""

    def refused(name, *how):
        raise OSError(number, os.strerror(number), name)

    monkeypatch.setattr("os.open", refused)
    with pytest.raises(RawconvError) as caught, locked(tmp_path):
        pass
    begin = re.escape(f"{tmp_path} could not be written ({os.strerror(number)}). ")
    assert re.match(begin + remedy.format(re.escape(str(tmp_path))), str(caught.value))


def _rush(folder, start, inside, failures):
    start.wait()
    for _ in range(15):
        try:
            with locked(folder):
                with inside.get_lock():
                    inside.value += 1
                if inside.value > 1:
                    failures.value += 1
                with inside.get_lock():
                    inside.value -= 1
        except RawconvError:
            time.sleep(0.001)


def test_of_many_that_find_an_abandoned_lock_one_alone_gets_in(tmp_path):
    """Again and again a lock of a process that is gone lies there, and four processes break it at
    the same moment.
    """
    context = multiprocessing.get_context("spawn")
    start, inside, failures = context.Event(), context.Value("i", 0), context.Value("i", 0)
    processes = [
        context.Process(target=_rush, args=(str(tmp_path), start, inside, failures))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    start.set()
    dead = this()._replace(pid=ended())
    while any(process.is_alive() for process in processes):
        if not (tmp_path / ".lock").exists():
            leave_if_free(tmp_path / ".lock", dead)
        time.sleep(0.001)
    assert failures.value == 0 and all(process.exitcode == 0 for process in processes)


def leave_if_free(file, process):
    try:
        with open(file, "x") as out:
            json.dump(process._asdict(), out)
    except FileExistsError:
        pass


# Temporary files


def test_temporary_files_of_processes_at_work_are_not_swept(tmp_path, other):
    """As two that resume the same run did: the slower one's file was gone before it could be renamed."""
    marks = {
        "other": f"{processes.machine_mark(other)}.{other.pid}.{other.started}",
        "gone": f"{processes.machine_mark(other)}.{ended()}.17",
        "reused": f"{processes.machine_mark(other)}.{other.pid}.1",
        "far": f"01234567.{ended()}.17",
        "far and old": f"89abcdef.{ended()}.17",
        "old version": f"{other.pid}",
        "old version at work": "1",
    }
    files = {name: tmp_path / f".last.h5.{mark}.tmp" for name, mark in marks.items()}
    for file in files.values():
        file.write_text("half")
    for name in ("far and old", "old version"):
        os.utime(files[name], (time.time() - 2 * 24 * 3600,) * 2)
    storage.replace_file(tmp_path / "last.h5", b"whole")
    assert {name for name, file in files.items() if file.exists()} == {
        "other",
        "far",
        "old version at work",
    }
    assert (tmp_path / "last.h5").read_bytes() == b"whole"


def test_a_process_marks_its_own_temporary_files(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "replace", lambda old, new: seen.append(os.path.basename(old)))
    storage.replace_file(tmp_path / "a", b"")
    assert seen == [f".a.{processes.mark()}.tmp"] and not processes.is_left_behind(
        tmp_path / seen[0], processes.mark()
    )


# The commands


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (root / kind).mkdir()
        for k in range(12):
            Image.fromarray(rng.integers(0, 256, (28, 28, 3), np.uint8)).save(
                root / kind / f"{k:02d}.png"
            )
    return root


def commands(folder, photos):
    """{what: (command, its words, what it locks)} of all that goes on for long and may be started twice."""
    from rawconv.cli import data, train, visualize
    from rawconv.cli.experiments import main as experiment

    few = ("--data", f"{photos}", "--device", "cpu")
    return {
        "train": (train.main, ("--model", "lenet", *few, "--epochs", "1", "--out", "run"), "run"),
        "resume": (train.main, ("--resume", "run", "--device", "cpu"), "run"),
        "resume a file": (train.main, ("--resume", "run/last.h5", "--device", "cpu"), "run"),
        "pack": (data.main, ("pack", f"{photos}", "p.h5", "--size", "32"), "p.h5"),
        "pack over": (data.main, ("pack", f"{photos}", "p.h5", "--size", "32", "--force"), "p.h5"),
        "ablation": (experiment, ("ablation", "--quick", "--out", "a", *few), "a"),
        "filters": (experiment, ("filters", "--out", "a", "--force", *few), "a"),
        "evolution": (experiment, ("evolution", "--out", "a", "--force", *few), "a"),
        "ensemble": (experiment, ("ensemble", "--out", "a", "--force", *few), "a"),
        "features": (experiment, ("features", "--layer", "5", "--out", "f.h5", *few), "f.h5"),
        "visualize": (visualize.main, ("--layer", "1", "--out", "v", "--force", *few), "v"),
    }


@pytest.mark.parametrize(
    "what",
    [
        "train",
        "resume",
        "resume a file",
        "pack",
        "pack over",
        "ablation",
        "filters",
        "evolution",
        "ensemble",
        "features",
        "visualize",
    ],
)
def test_the_second_of_two_commands_says_who_is_at_work_and_changes_nothing(
    tmp_path, monkeypatch, photos, other, what
):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    command, words, place = commands(tmp_path, photos)[what]
    if not place.endswith(".h5"):
        (tmp_path / place).mkdir()
    leave(tmp_path / place, other)
    before = sorted(path.as_posix() for path in tmp_path.rglob("*"))
    done = CliRunner().invoke(command, words)
    assert (
        done.exit_code == 1 and f"Process {other.pid} on {other.host} is at work on" in done.output
    ), done.output
    assert sorted(path.as_posix() for path in tmp_path.rglob("*")) == before


def test_two_packings_into_one_file_at_once_leave_a_whole_one(tmp_path, photos):
    """Both begin before either has written anything; one may even be done before the other looks."""
    words = [sys.executable, "-m", "rawconv.cli.data", "pack", str(photos), "p.h5", "--size", "64"]
    both = [
        subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes and set(codes) <= {0, 1, 2} and codes.count(0) == 1, said
    refusal = said[1 - codes.index(0)]
    assert "is at work on p.h5" in refusal or "p.h5 exists" in refusal
    verified = subprocess.run(
        [*words[:3], "verify", "p.h5"], cwd=tmp_path, capture_output=True, text=True
    )
    assert verified.returncode == 0, verified.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["p.h5"]


def test_a_training_that_was_killed_leaves_a_lock_that_stops_nobody(tmp_path, photos):
    words = [sys.executable, "-m", "rawconv.cli.train"]
    begin = [*words, "--model", "lenet", "--data", photos, "--lr", "1e-6", "--epochs", "99999"]
    begin += ["--schedule", "constant", "--out", "run", "--device", "cpu"]
    process = subprocess.Popen(begin, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while not (tmp_path / "run/last.h5").exists():
        assert process.poll() is None
        time.sleep(0.02)
    second = subprocess.run(
        [*words, "--resume", "run"], cwd=tmp_path, capture_output=True, text=True
    )
    assert second.returncode == 1 and f"Process {process.pid} on" in second.stderr
    process.kill()
    process.wait()
    assert (tmp_path / "run/.lock").exists()
    with locked(tmp_path / "run"):
        pass
