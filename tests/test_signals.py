"""Ctrl-C and SIGTERM at any moment: raised once, where nobody swallows them."""

import concurrent.futures
import ctypes
import gc
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import weakref

import pytest

from rawconv.files import signals
from rawconv.machine import numba_cache

ROOT = pathlib.Path(__file__).parent.parent
SIGNALS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, signals.Terminated)]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """module(text): its name, to be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text):
        name = f"interrupted_{random.getrandbits(64):x}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


@pytest.mark.parametrize(("number", "error"), SIGNALS)
def test_raised_at_once_in_plain_code(number, error):
    before = signal.getsignal(number)
    after = []
    with pytest.raises(error), signals.raised():
        signal.raise_signal(number)
        after.append(1)
    assert after == [] and signal.getsignal(number) == before and sys.getprofile() is None


@pytest.mark.parametrize(("number", "error"), SIGNALS)
def test_an_import_comes_to_its_end_first(number, error, module):
    name, after = (
        module(
            f"import signal\nsignal.raise_signal({int(number)})\nfor i in range(9): str(i)\ndone = True"
        ),
        [],
    )
    with pytest.raises(error), signals.raised():
        __import__(name)
        after.append(len(str(1)))
        after.append(2)
    assert sys.modules[name].done and 2 not in after and sys.getprofile() is None


def test_a_second_ctrl_c_does_not_wait(module):
    name = module("import signal\nfor i in range(2): signal.raise_signal(signal.SIGINT)\n")
    with pytest.raises(KeyboardInterrupt), signals.raised():
        __import__(name)
    assert name not in sys.modules and sys.getprofile() is None


def test_a_second_sigterm_is_ignored(module):
    name = module(
        "import signal\nfor i in range(2): signal.raise_signal(signal.SIGTERM)\ndone = True"
    )
    with signals.raised():
        with pytest.raises(signals.Terminated):
            __import__(name)
            len("1")
        signal.raise_signal(signal.SIGTERM)  # while the first saves
    assert sys.modules[name].done


def test_a_compilation_comes_to_its_end_first(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # where no earlier run has kept this loop

    @numba_cache.loop
    def twice(n):
        return 2 * n

    save, done = type(twice._cache).save_overload, []

    def interrupted(self, signature, result):
        signal.raise_signal(signal.SIGINT)
        save(self, signature, result)
        done.append(signature)

    monkeypatch.setattr(type(twice._cache), "save_overload", interrupted)
    with pytest.raises(KeyboardInterrupt), signals.raised():
        twice(21)
        len("1")
        done.append("went on")
    assert len(done) == 1 and twice(21) == 42 and len(twice.overloads) == 1


def swallowed_in_a_ctypes_callback():
    callback = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))
    callback()


def swallowed_in_del():
    class Dying:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    Dying()


def swallowed_in_a_weakref_callback():
    class Dying:
        pass

    one = Dying()
    weakref.finalize(one, signal.raise_signal, signal.SIGINT)
    del one
    gc.collect()


@pytest.mark.parametrize(
    "swallow", [swallowed_in_a_ctypes_callback, swallowed_in_del, swallowed_in_a_weakref_callback]
)
def test_what_a_callback_swallows_is_raised_after_it(swallow, capsys):
    after = []
    with pytest.raises(KeyboardInterrupt), signals.raised():
        swallow()
        after.append(len(str(1)))
        after.append(2)
    assert 2 not in after and capsys.readouterr().err == ""


def test_other_errors_in_callbacks_are_still_printed(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    with signals.raised():
        ctypes.CFUNCTYPE(None)(lambda: 1 / 0)()
    assert seen[0].exc_type is ZeroDivisionError


def test_what_is_ignored_stays_ignored():
    """As after nohup, or in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.raised():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


# ------------------------------------------------------------------------------- a command in its first seconds

COMMAND = """
import os, sys
os.write(1, b"!")
from rawconv.cli.train import main
main()
"""
WORDS = ["--model", "lenet", "--data", "scenes:240", "--batch", "16"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
ENDS = {signal.SIGINT: "Interrupted.\n", signal.SIGTERM: "Terminated.\n"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A rawconv-train that says when it begins, and whose loops are compiled."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "rawconv-train").write_text(COMMAND)
    command = [sys.executable, str(folder / "rawconv-train"), *WORDS]
    subprocess.run([*command, "--epochs", "1", "--out", folder / "run"], env=ENVIRONMENT, check=True, timeout=300,
                   capture_output=True)  # fmt: skip
    return command


def interrupt(program, folder, seed):
    """What is wrong with how the command ends at a signal at a moment of its first three seconds; or None."""
    dice = random.Random(seed)
    number, moment = dice.choice(list(ENDS)), dice.uniform(0, 3)
    process = subprocess.Popen([*program, "--epochs", "1000", "--out", folder / f"run{seed}"], env=ENVIRONMENT,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    process.stdout.read(1)
    time.sleep(moment)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"{seed}: {number.name} after {moment:.2f} s is lost: {process.communicate()[1]}"
    started = process.returncode == 128 + number and err.endswith(ENDS[number])
    # not begun yet
    loading = process.returncode == -number and "rawconv-train" not in err.partition("Traceback")[0]
    if not (started or loading) or ("Traceback" in err and "importlib" not in err):
        return f"{seed}: {number.name} after {moment:.2f} s ends with {process.returncode}: {err}"
    return None


@pytest.mark.posix
@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.long)])
def test_a_signal_in_the_first_three_seconds_ends_the_command_every_time(count, program, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda seed: interrupt(program, tmp_path, seed), range(count))
        assert list(filter(None, found)) == []
