"""Several processes train as one: the same weights, one writer, and no process left waiting for a
dead one.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import mpi_steps
import numpy as np
import pytest

from rawconv import checkpoint, models
from rawconv.errors import RawconvError, UsageError
from rawconv.layers.add import Add
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.relu import ReLU
from rawconv.machine import arrays, distributed
from rawconv.net import Net
from rawconv.training.log import LISTS
from rawconv.training.loop import TIMES
from rawconv.training.step import zero_gradients

STEPS = pathlib.Path(__file__).with_name("mpi_steps.py")
MPIRUN = shutil.which(
    "mpirun", path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
)


@pytest.fixture(scope="module")
def mpirun():
    """mpirun -n N ...: a function (N, words, folder) -> the finished process."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: no test of several processes")
    if MPIRUN is None:
        pytest.skip("there is no mpirun: no test of several processes")

    def run(count, words, folder, **more):
        command = [MPIRUN, "-n", str(count), sys.executable, *map(str, words)]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=300, **more
        )

    return run


def results(name):
    paths = sorted(name.parent.glob(f"{name.name}.*.npz"))
    return [dict(np.load(path)) for path in paths]


LIMITS = {"float32": 1e-6, "float64": 1e-9}
# 4: too few pictures for five processes
CASES = ("1,float32,13", "20,float64,13", "20,float64,4", "20,float64,1")


def assert_all_hold(found, one, limits):
    """All processes hold the same bits, and those of one process within the limit of each dtype."""
    for own in found:
        assert own.keys() == one.keys()
        for key, want in one.items():
            assert np.array_equal(own[key], found[0][key])
            assert np.abs(own[key] - want).max() < limits[key.split(",")[1]], key


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What one process finds on the CPU."""
    folder = tmp_path_factory.mktemp("one")
    mpi_steps.main(folder / "one", "cpu", *CASES)
    return results(folder / "one")[0]


def test_what_all_processes_find_is_said_once(mpirun, tmp_path):
    """As that a tenth of the pictures is held out, which each finds as it opens the data set."""
    (tmp_path / "say.py").write_text(
        "from rawconv.files.messages import warn\n"
        "from rawconv.machine.distributed import init_distributed\n"
        "with init_distributed():\n"
        "    warn('a tenth is held out')\n"
    )
    done = mpirun(3, ["say.py"], tmp_path)
    assert done.returncode == 0 and done.stderr.count("held out") == 1, done.stderr


@pytest.mark.parametrize("count", [2, 3, 5])
def test_several_processes_are_one(mpirun, one, tmp_path, count):
    """Batches that do not come out even, and whose last picture leaves all processes but one
    without any: the weights, validation, and what --test-only finds from 1 and from 10 views."""
    done = mpirun(count, [STEPS, "found", "cpu", *CASES], tmp_path)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "found")
    assert len(found) == count
    assert_all_hold(found, one, LIMITS)


def branching():
    """Two branches that meet, one of them without parameters, and a layer that nobody asks for."""
    return Net(
        (8, 8, 3),
        [
            ("conv1", Conv(4, 3, pad=1)), ("relu1", ReLU()),
            ("left", Conv(4, 1)), ("right", Conv(4, 3, pad=1), "relu1"), ("unasked", Conv(2, 1), "left"),
            ("sum", Add(), "left", "right", "relu1"), ("both", Concat(), "sum", "relu1"), ("fc", Conv(2, None)),
        ],
        ["cat", "dog"],
    )  # fmt: skip


@pytest.mark.parametrize("lowest", [None, 0, 1, 2])
@pytest.mark.parametrize(
    "make", [lambda: models.build("zf32", ["cat", "dog"]), branching], ids=["chain", "branches"]
)
def test_a_step_over_no_images_hands_on_the_same_layers_in_the_same_order(make, lowest):
    """Else the processes would sum different arrays: conv1's of one with fc8's of another."""
    net, some, none = make(), [], []
    learning = [name for name, layer in net.layers if layer.params]
    stop = None if lowest is None else learning[lowest]
    scores, caches = net.forward(np.zeros((2, *net.shape), np.float32))
    net.backward(scores, caches, lambda *found: some.append(found), stop)
    sums, grads = zero_gradients(net, lambda *found: none.append(found), stop)
    shapes = [
        [(name, key, grad.shape, grad.dtype) for name, part in found for key, grad in part.items()]
        for found in (some, none)
    ]
    assert shapes[0] == shapes[1] and not any(
        grad.any() for part in grads.values() for grad in part.values()
    )
    assert sums.tolist() == [0, 0, 0] and sums.dtype == np.float64


def test_gpu_processes_sum_by_nccl(xp, mpirun, tmp_path):
    """Two processes, each on a card of its own, against one on the CPU; the second has no picture
    of the last batch.
    """
    if xp is np:
        pytest.skip("NCCL is for GPUs: pytest --device gpu")
    if (cards := xp.cuda.runtime.getDeviceCount()) < 2:
        pytest.skip(f"NCCL wants a card for each process, and here is {cards}: not run")
    case = "2,float64,13"
    mpi_steps.main(tmp_path / "cpu", "cpu", case)
    done = mpirun(2, [STEPS, "gpu", "gpu", case], tmp_path)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "gpu")
    assert len(found) == 2
    assert_all_hold(found, results(tmp_path / "cpu")[0], {"float64": 1e-12})


TRAIN = [
    "-m",
    "rawconv.cli.train",
    "--model",
    "lenet",
    "--data",
    "scenes:257",
    "--batch",
    "64",
    "--lr",
    "0.0001",
]


def test_the_command_trains_evaluates_and_resumes_on_other_numbers_of_processes(mpirun, tmp_path):
    """The last batch has a single picture."""
    alone = subprocess.run(
        [sys.executable, *TRAIN, "--epochs", "2", "--out", "one"], cwd=tmp_path, capture_output=True
    )
    assert alone.returncode == 0
    done = mpirun(2, [*TRAIN, "--epochs", "2", "--out", "two"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["two"], "only the first process speaks"
    rows = [
        json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1])
        for name in ("one", "two")
    ]
    for key in set(rows[0]) - {*TIMES, *LISTS}:
        # The losses differ by rounding.  A hit is all or nothing, and the scores of a net so young
        # are nearly equal.
        assert rows[1][key] == pytest.approx(
            rows[0][key], rel=1e-4, abs=0.01 if "top" in key else 0
        )
    last = checkpoint.load(tmp_path / "two/last.h5")
    last.info["recipe"]["epochs"] = 3
    checkpoint.save(tmp_path / "two/last.h5", *last)
    done = mpirun(3, ["-m", "rawconv.cli.train", "--resume", "two"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert checkpoint.load(tmp_path / "two/last.h5").state["progress"]["epoch"] == 3


def _started(folder, count=2):
    """A training of very many epochs, after its first one is saved; with the process ids of its members."""
    command = [MPIRUN, "-n", str(count), sys.executable, *TRAIN, "--epochs", "500", "--out", "run"]
    process = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
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


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/cmdline").exists(), reason="needs /proc to find the processes"
)
def test_a_killed_process_ends_all_and_the_run_resumes(mpirun, tmp_path):
    process, members = _started(tmp_path.resolve())
    assert len(members) == 2
    os.kill(members[1], signal.SIGKILL)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert time.monotonic() - began < 20 and process.returncode != 0
    assert checkpoint.load(tmp_path / "run/last.h5").state["progress"]["epoch"] >= 1


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/cmdline").exists(), reason="needs /proc to find the processes"
)
def test_a_signal_to_one_process_stops_all_at_the_same_step(mpirun, tmp_path):
    process, members = _started(tmp_path.resolve())
    os.kill(members[1], signal.SIGTERM)
    message = process.communicate(timeout=60)[1]
    assert (
        process.returncode != 0
        and "rawconv-train --resume run" in message
        and "Traceback" not in message
    )
    assert checkpoint.load(tmp_path / "run/last.h5").state is not None


def test_an_error_of_all_is_said_once_and_ends_all(mpirun, tmp_path):
    done = mpirun(2, ["-m", "rawconv.cli.train", "--data", "nowhere"], tmp_path)
    assert done.returncode == 2
    assert (
        len(re.findall("nowhere does not exist", done.stderr)) == 1
        and "Traceback" not in done.stderr
    )


class Beside(NamedTuple):
    """One of `beside` processes on a machine."""

    local: int
    beside: int


@pytest.mark.parametrize(
    ("name", "beside", "cards", "words"),
    [
        (
            "gpu",
            3,
            2,
            "3 processes were started on this machine, and it has 2 GPUs; start at most one process for each",
        ),
        (
            "auto",
            2,
            1,
            "2 processes were started on this machine, and it has 1 GPU; start at most one process for each",
        ),
        (
            "gpu:1",
            2,
            2,
            "2 processes were started on this machine, and gpu:1 is one GPU; use --device gpu, start at",
        ),
    ],
)
def test_more_processes_than_gpus_are_refused_in_a_sentence(
    name, beside, cards, words, monkeypatch
):
    """By all of them: one alone would leave the others waiting."""
    monkeypatch.setattr(arrays, "_gpu_trouble", lambda index: None)
    monkeypatch.setattr(arrays, "gpu_count", lambda: cards)
    for local in range(beside):
        with pytest.raises(UsageError) as caught:
            distributed.choose_device(name, Beside(local, beside), print)
        assert str(caught.value).startswith(words) and str(caught.value).endswith(
            "or use --device cpu."
        )


def test_each_process_takes_the_gpu_of_its_own_number(monkeypatch):
    monkeypatch.setattr(arrays, "_gpu_trouble", lambda index: None)
    monkeypatch.setattr(arrays, "gpu_count", lambda: 2)
    assert [
        distributed.choose_device("gpu", Beside(local, 2), print).index for local in (0, 1)
    ] == [0, 1]
    assert distributed.choose_device("gpu:1", Beside(0, 1), print).index == 1, (
        "one process a machine may choose"
    )
    assert distributed.choose_device("cpu", Beside(1, 2), print).index is None


def test_launchers_without_mpi4py_or_with_another_mpi_are_told(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with (
        pytest.raises(RawconvError, match=r"4 processes .* pip install 'rawconv\[mpi\]'"),
        distributed.init_distributed(),
    ):
        pass


def test_alone_nothing_changes():
    with distributed.init_distributed() as ranks:
        assert (ranks.rank, ranks.size) == (0, 1)
        assert ranks.shard([1, 2, 3]) == [1, 2, 3] and ranks.any_rank([True, False]) == [
            True,
            False,
        ]


@pytest.mark.parametrize(("views", "data"), [("1", "scenes:320"), ("10", "scenes:60")])
def test_several_processes_find_what_one_finds_when_testing(mpirun, tmp_path, views, data):
    """Every byte of what is written: each batch is what it is in one process.  The last is short."""
    words = ["-m", "rawconv", "train", "--test-only", "--device", "cpu", "--split", "train"]
    words += ["--data", data, "--views", views, "--out", "it"]
    for name in ("one", "three"):
        (tmp_path / name).mkdir()
    alone = [sys.executable, *words]
    one = subprocess.run(alone, cwd=tmp_path / "one", check=True, capture_output=True, text=True)
    done = mpirun(3, words, tmp_path / "three")
    assert done.returncode == 0, done.stderr
    assert done.stdout == one.stdout and len(one.stdout.splitlines()) > 3
    told = done.stderr.splitlines()
    assert len(set(told)) == len(told), "the first process speaks"
    written = {
        name: {path.name: path.read_bytes() for path in (tmp_path / name / "it").iterdir()}
        for name in ("one", "three")
    }
    assert written["three"] == written["one"] and "test.json" in written["one"]
