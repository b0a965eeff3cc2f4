"""Scans and an occlusion by several processes: what tests/test_looking_in_parallel.py starts.

mpirun -n 4 python mpi_looking.py share FOLDER      by the first 1, 2, 3 and 4 of them, into FOLDER/<how many>
mpirun -n N python mpi_looking.py slow SECONDS WORD... rawconv-visualize, which waits in every batch
mpirun -n N python mpi_looking.py die FOLDER        a scan whose second process is killed in its third round
"""

import contextlib
import functools
import json
import os
import pathlib
import signal
import sys
import time

import numpy as np
from subjects import subject_of
from test_top_activations import integer_net, split_of

from rawconv.cli.visualize import main as visualize
from rawconv.data.dataset import DataSet
from rawconv.experiments import occlusion
from rawconv.experiments.study import begin
from rawconv.experiments.subject import Shown
from rawconv.files import signals
from rawconv.machine.communicator import Communicator, SingleProcess
from rawconv.machine.distributed import init_distributed
from rawconv.report import figure2
from rawconv.visualize import top_activations
from rawconv.visualize.earlier_scans import scan_once

LAYERS = ["conv1", "pool1", "conv2", "scores"]
# images, how many of each map, batch: a short last batch, fewer images than k, fewer than processes
CASES = {"many": (53, 9, 8), "few": (5, 9, 2), "two": (2, 1, 1)}


def net_of():
    """The net of the scan's tests with weights that are no whole numbers: sums are rounded."""
    net, rng = integer_net(), np.random.default_rng(5)
    for name in ("conv1", "conv2", "fc3"):
        net[name].weight = rng.standard_normal(net[name].weight.shape).astype(np.float32)
    return net


def scans(folder, ranks):
    """topk.hdf5 of each case, of a net whose values tie, and of one whose values are rounded, whose
    record is kept after every round.
    """
    for name, (count, k, batch) in CASES.items():
        for kind, net, seconds in (("ties", integer_net(), 30), ("rounded", net_of(), 0)):
            top_activations.KEEP_SECONDS = seconds
            scan_into(folder / f"{name} {kind}" / "out", net, count, k, batch, ranks)


def scan_into(folder, net, count, k, batch, ranks, say=lambda sentence: None):
    """What scan_once returns."""
    folder.mkdir(parents=True, exist_ok=True)
    return scan_once(net, "data", split_of(count), LAYERS, k, folder, False, batch, say, ranks)


def covered(folder, ranks):
    """occlusion.json, .csv and .png of a small net and two pictures."""
    subject = subject_of(data=some_pictures())
    shown = [Shown(f"picture {k}", subject.data.val.read([k])[0], k) for k in (0, 1)]
    study = begin("occlusion", {"square": 9}, folder, "it", ranks=ranks)
    result = occlusion.run(subject, study, shown, "conv2", 9, 2)
    if ranks.rank == 0:
        study.finish(result)


def some_pictures():
    """A DataSet of twelve."""
    data = subject_of().data
    return DataSet(*data[:2], data.classes, data.train, data.val)


@contextlib.contextmanager
def signalled(module, name, rank, call, number):
    """In process `rank`, the function sends its process a signal at its call of this number."""
    function, calls = getattr(module, name), []

    def signalling(*arguments):
        calls.append(1)
        if len(calls) == call and rank:
            os.kill(os.getpid(), number)
        return function(*arguments)

    setattr(module, name, signalling)
    try:
        yield
    finally:
        setattr(module, name, function)


def interrupted(work, ranks, *where):
    """Whether `work` ended by the exception of SIGTERM, which one process had."""
    ranks.interrupted = False
    try:
        with signals.raised(), signalled(*where, signal.SIGTERM):
            work()
    except signals.Terminated:
        return ranks.interrupted
    return False


def stop_and_go(folder, many, two):
    """A scan and an occlusion that a signal to one of `many` processes stops; `two` go on."""
    count, k, batch = CASES["many"]
    said, stopped = [], []
    second = many.rank == 1
    out = folder / "stopped" / "out"
    stopped.append(
        interrupted(
            lambda: scan_into(out, net_of(), count, k, batch, many),
            many, top_activations, "scan_batch", second, 2,
        )
    )  # fmt: skip
    stopped.append(
        interrupted(
            lambda: covered(folder / "stopped", many), many, occlusion, "respond", second, 1
        )
    )
    many.wait()
    left = sorted(
        path.name for path in (folder / "stopped").rglob("*") if path.suffix in (".npz", ".hdf5")
    )
    many.wait()
    if two:
        scan_into(out, net_of(), count, k, batch, two, said.append)
        covered(folder / "stopped", two)
    if many.rank == 0:
        (folder / "said.json").write_text(json.dumps([said, left]))
    assert all(stopped), (many.rank, stopped)


def share(folder):
    from mpi4py import MPI

    world, parts = MPI.COMM_WORLD, {}
    for size in range(1, world.size + 1):
        part = world.Split(0 if world.rank < size else 1, world.rank)
        here = part.Split_type(MPI.COMM_TYPE_SHARED)
        if world.rank >= size:
            continue
        ranks = parts[size] = SingleProcess() if size == 1 else Communicator(part, here)
        scans(folder / str(size), ranks)
        if size in (1, 3):
            covered(folder / str(size), ranks)
    if world.rank < 3:
        stop_and_go(folder, parts[3], parts.get(2))


def slow(seconds, words):
    """rawconv-visualize WORD..., in batches of two images, each of which takes so many seconds more."""
    scan_batch = top_activations.scan_batch

    def waiting(*arguments):
        time.sleep(seconds)
        return scan_batch(*arguments)

    figure2.scan_once = functools.partial(scan_once, batch=2)
    top_activations.scan_batch, top_activations.KEEP_SECONDS = waiting, 0
    visualize(words)


def die(folder):
    """Records are kept after every round; process 1 is killed in the third round."""
    top_activations.KEEP_SECONDS = 0
    count, k, batch = CASES["many"]
    with (
        init_distributed() as ranks,
        signalled(top_activations, "scan_batch", ranks.rank == 1, 6, signal.SIGKILL),
    ):
        scan_into(folder / "out", net_of(), count, k, batch, ranks)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "share":
        with init_distributed():
            share(pathlib.Path(*words))
    elif what == "die":
        die(pathlib.Path(*words))
    else:
        slow(float(words[0]), words[1:])
