"""Several processes train as one: the same weights, one writer, and no process left waiting for a dead one."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from rawconv import checkpoint, parallel
from rawconv.errors import RawconvError
from rawconv.training import TIMES

STEPS = pathlib.Path(__file__).with_name("mpi_steps.py")
MPIRUN = shutil.which("mpirun", path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]))


@pytest.fixture(scope="module")
def mpirun():
    """mpirun -n N ...: a function (N, words, folder) -> the finished process."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: no test of several processes")
    if MPIRUN is None:
        pytest.skip("there is no mpirun: no test of several processes")

    def run(count, words, folder, **more):
        command = [MPIRUN, "-n", str(count), sys.executable, *map(str, words)]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, **more)

    return run


def results(name):
    paths = sorted(name.parent.glob(f"{name.name}.*.npz"))
    return [dict(np.load(path)) for path in paths]


@pytest.mark.parametrize("steps, dtype, limit", [(1, "float32", 1e-6), (20, "float64", 1e-9)])
def test_the_weights_of_two_and_three_processes_are_those_of_one(mpirun, tmp_path, steps, dtype, limit):
    subprocess.run([sys.executable, STEPS, "one", str(steps), dtype], cwd=tmp_path, check=True)
    (one,) = results(tmp_path / "one")
    for count in (2, 3):
        done = mpirun(count, [STEPS, f"of{count}", steps, dtype], tmp_path)
        assert done.returncode == 0, done.stderr
        found = results(tmp_path / f"of{count}")
        assert len(found) == count
        for weights in found:
            assert all(np.array_equal(weights[key], found[0][key]) for key in one)
            assert max(np.abs(weights[key] - one[key]).max() for key in one) < limit


def test_gpu_processes_sum_by_nccl(xp, mpirun, tmp_path):
    """Two processes on the (software) GPU, against one on the CPU."""
    if xp is np:
        pytest.skip("NCCL is for GPUs: pytest --device gpu")
    subprocess.run([sys.executable, STEPS, "cpu", "2", "float64"], cwd=tmp_path, check=True)
    done = mpirun(2, [STEPS, "gpu", 2, "float64", "gpu"], tmp_path)
    assert done.returncode == 0, done.stderr
    (cpu,) = results(tmp_path / "cpu")
    for weights in results(tmp_path / "gpu"):
        assert max(np.abs(weights[key] - cpu[key]).max() for key in cpu) < 1e-12


TRAIN = ["-m", "rawconv.cli.train", "--model", "lenet", "--data", "scenes:300", "--batch", "64"]


def test_the_command_trains_evaluates_and_resumes_on_other_numbers_of_processes(mpirun, tmp_path):
    alone = subprocess.run([sys.executable, *TRAIN, "--epochs", "2", "--out", "one"], cwd=tmp_path, capture_output=True)
    assert alone.returncode == 0
    done = mpirun(2, [*TRAIN, "--epochs", "2", "--out", "two"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["two"], "only the first process speaks"
    rows = [json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1]) for name in ("one", "two")]
    for key in set(rows[0]) - set(TIMES):
        # The losses differ by rounding.  A hit is all or nothing, and the scores of a net so young are nearly equal.
        assert rows[1][key] == pytest.approx(rows[0][key], rel=1e-4, abs=0.01 if "top" in key else 0)
    last = checkpoint.load(tmp_path / "two/last.h5")
    last.info["recipe"]["epochs"] = 3
    checkpoint.save(tmp_path / "two/last.h5", *last)
    done = mpirun(3, ["-m", "rawconv.cli.train", "--resume", "two"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert checkpoint.load(tmp_path / "two/last.h5").state["progress"]["epoch"] == 3


def _started(folder, count=2):
    """A training of very many epochs, after its first one is saved; with the process ids of its members."""
    command = [MPIRUN, "-n", str(count), sys.executable, *TRAIN, "--epochs", "500", "--out", "run"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    last = folder / "run/last.h5"  # best.h5 comes before it
    while not (last.exists() and checkpoint.load(last).state["progress"]["epoch"]):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    members = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        words = path.read_bytes().split(b"\0") if path.exists() else [b""]
        ours = words[0] == sys.executable.encode() and b"rawconv.cli.train" in words
        if ours and os.readlink(path.with_name("cwd")) == str(folder):
            members.append(int(path.parent.name))
    return process, members


@pytest.mark.skipif(not pathlib.Path("/proc/self/cmdline").exists(), reason="needs /proc to find the processes")
def test_a_killed_process_ends_all_and_the_run_resumes(mpirun, tmp_path):
    process, members = _started(tmp_path.resolve())
    assert len(members) == 2
    os.kill(members[1], signal.SIGKILL)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert time.monotonic() - began < 20 and process.returncode != 0
    assert checkpoint.load(tmp_path / "run/last.h5").state["progress"]["epoch"] >= 1


@pytest.mark.skipif(not pathlib.Path("/proc/self/cmdline").exists(), reason="needs /proc to find the processes")
def test_a_signal_to_one_process_stops_all_at_the_same_step(mpirun, tmp_path):
    process, members = _started(tmp_path.resolve())
    os.kill(members[1], signal.SIGTERM)
    message = process.communicate(timeout=60)[1]
    assert process.returncode != 0 and "rawconv-train --resume run" in message and "Traceback" not in message
    assert checkpoint.load(tmp_path / "run/last.h5").state is not None


def test_an_error_of_all_is_said_once_and_ends_all(mpirun, tmp_path):
    done = mpirun(2, ["-m", "rawconv.cli.train", "--data", "nowhere"], tmp_path)
    assert done.returncode != 0
    assert len(re.findall("nowhere does not exist", done.stderr)) == 1 and "Traceback" not in done.stderr


def test_launchers_without_mpi4py_or_with_another_mpi_are_told(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(RawconvError, match=r"4 processes .* pip install 'rawconv\[mpi\]'"), parallel.joined():
        pass


def test_alone_nothing_changes():
    with parallel.joined() as ranks:
        assert (ranks.rank, ranks.size) == (0, 1)
        assert ranks.share([1, 2, 3]) == [1, 2, 3] and ranks.any([True, False]) == [True, False]


def test_several_processes_find_what_one_finds_when_testing(mpirun, tmp_path):
    words = ["-m", "rawconv.cli.train", "--test-only", "--device", "cpu", "--out"]
    subprocess.run([sys.executable, *words, "one"], cwd=tmp_path, check=True, capture_output=True)
    done = mpirun(2, [*words, "two"], tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / name / "test.json").read_text()) for name in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6) and two["top1"] == one["top1"]
    assert (tmp_path / "one/confusion.csv").read_text() == (tmp_path / "two/confusion.csv").read_text()
