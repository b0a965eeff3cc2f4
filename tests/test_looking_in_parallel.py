"""Several processes look into a net as one: the same bytes of every file, written and told once; what
is interrupted is gone on with, by any number of them.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import mpi_looking
import pytest
from test_parallel import MPIRUN, mpirun  # noqa: F401
from test_visualize_cli import place  # noqa: F401

from rawconv.cli import common
from rawconv.errors import RawconvError
from rawconv.files import messages
from rawconv.files.progress import progress_bar
from rawconv.machine.communicator import Communicator

PROGRAM = pathlib.Path(mpi_looking.__file__)


def bytes_of(folder):
    """{path in the folder: SHA-256} of its files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def shared(mpirun, tmp_path_factory):  # noqa: F811
    """The folder of mpi_looking.share: 1, 2, 3 and 4, and stopped."""
    folder = tmp_path_factory.mktemp("shared")
    done = mpirun(4, [PROGRAM, "share", folder], PROGRAM.parent)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_processes_write_the_bytes_of_one(shared, count):
    """Scans with ties and with rounded sums, with fewer images than k, and fewer than processes;
    Figure 7 with its table and its picture."""
    one, several = bytes_of(shared / "1"), bytes_of(shared / str(count))
    assert len(one) == 2 * len(mpi_looking.CASES) + 4
    if count != 3:  # an occlusion by 3
        one = {name: value for name, value in one.items() if not name.startswith("it-1")}
    assert several == one


def test_a_signal_to_one_process_stops_all_and_others_go_on_to_the_same_bytes(shared):
    """Three began; the second had SIGTERM in the first round, after which all kept what they had."""
    said, left = json.loads((shared / "said.json").read_text())
    assert said == ["Going on with the scan that was interrupted after 24 pictures."]
    assert "scan-24.hdf5" in left and sum(name.endswith(".npz") for name in left) == 2
    found, whole = bytes_of(shared / "stopped"), bytes_of(shared / "1")
    assert found.pop("out/topk.hdf5") == whole["many rounded/out/topk.hdf5"]
    assert found == {name: value for name, value in whole.items() if name.startswith("it-1")}


def test_a_killed_process_ends_all_and_one_goes_on_to_the_same_bytes(mpirun, shared, tmp_path):  # noqa: F811
    done = mpirun(2, [PROGRAM, "die", tmp_path], PROGRAM.parent)
    assert done.returncode != 0
    # the record of the first round was whole before the second was exchanged, that of the second may be
    kept = {path.name for path in (tmp_path / "out").glob("*.hdf5")}
    assert kept and kept <= {"scan-16.hdf5", "scan-32.hdf5"}
    said, (count, k, batch) = [], mpi_looking.CASES["many"]
    alone = mpi_looking.SingleProcess()
    mpi_looking.scan_into(
        tmp_path / "out", mpi_looking.net_of(), count, k, batch, alone, said.append
    )
    images = 32 if "scan-32.hdf5" in kept else 16
    assert said == [f"Going on with the scan that was interrupted after {images} pictures."]
    assert (
        bytes_of(tmp_path / "out")["topk.hdf5"]
        == bytes_of(shared / "1")["many rounded/out/topk.hdf5"]
    )


def test_the_command_stops_at_ctrl_c_goes_on_and_speaks_once(mpirun, place):  # noqa: F811
    """18 images in batches of two, by two processes and then by three: what is written is what one
    writes, and what is said is said once.
    """
    words = ["--layer", "2", "--data", "pictures", "--split", "train", "--device", "cpu", "--out"]
    begin = [MPIRUN, "-n", "2", sys.executable, PROGRAM, "slow", "0.5", *words, "several/one"]
    began = time.monotonic()
    with subprocess.Popen(
        begin, stdout=-1, stderr=-1, text=True, start_new_session=True
    ) as process:
        while not list(place.glob("several/one/scan-*.hdf5")):
            assert process.poll() is None and time.monotonic() - began < 100, process.stderr.read()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        out, told = process.communicate(timeout=100)
    assert process.returncode == 130 and "several/one" not in out.splitlines()
    assert told.count("Interrupted.") == 1 and "Traceback" not in told and "Error" not in told
    done = mpirun(3, [PROGRAM, "slow", "0", *words, "several/two"], place)
    assert done.returncode == 0 and done.stdout == "several/two\n", done
    alone = [sys.executable, PROGRAM, "slow", "0", *words, "alone/it"]
    one = subprocess.run(alone, cwd=place, check=True, capture_output=True, text=True)
    told, expected = done.stderr.splitlines(), one.stderr.splitlines()
    assert told.pop(1).startswith("Going on with the scan that was interrupted after ")
    assert told == expected and len(told) == 2
    assert bytes_of(place / "several/two") == bytes_of(place / "alone/it")
    assert not (place / "several/two/.lock").exists() and len(bytes_of(place / "alone/it")) == 4


@pytest.mark.parametrize(
    ("module", "words", "code", "sentence"),
    [
        ("visualize", ["--layer", "conv9"], 2, "conv9"),
        ("visualize", ["--weights", "a.png"], 1, "a.png"),
        ("experiment", ["occlusion", "nothing.png"], 2, "There is no picture nothing.png"),
        ("experiment", ["filters"], 2, "rawconv-experiment filters is the work of one"),
    ],
)
def test_an_error_of_all_is_said_once_and_is_the_exit_code(
    mpirun, place, module, words, code, sentence  # noqa: F811
):  # fmt: skip
    done = mpirun(2, ["-m", "rawconv", module, *words], place)
    assert (done.returncode, done.stdout) == (code, ""), done
    lines = [line for line in done.stderr.splitlines() if sentence in line]
    assert len(lines) == 1 and lines[0].startswith("Error: process 0: "), done.stderr
    assert "Traceback" not in done.stderr


def test_all_processes_but_the_first_are_silent(monkeypatch, capsys):
    """A bar is drawn on a terminal alone."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for speaks in (True, False):
        with contextlib.nullcontext() if speaks else messages.silenced():
            with progress_bar(3, "scan", stay=True) as bar:
                bar.update(3)
            common.say("a message")
            common.echo("a result")
            common.finish("folder", {}, as_json=False)
            messages.warn("a warning")
        out, told = capsys.readouterr()
        assert bool(out) == bool(told) == speaks
    assert messages.is_silent() is False


def test_processes_with_different_nets_are_refused():
    """Where a file differs between machines, no scan mixes them."""
    told = Communicator(OneOfTwo(b"other"), OneOfTwo(b""))
    with pytest.raises(RawconvError, match="give all the same"):
        told.check_same(b"mine", "give all the same")
    told.check_same(b"other", "give all the same")


class OneOfTwo:
    """What the second process sees, of mpi4py's communicator, where the first one has `fact`."""

    rank, size = 1, 2

    def __init__(self, fact):
        self.fact = fact

    def bcast(self, value):
        return self.fact

    def Allreduce(self, array, total):
        total[:] = array
