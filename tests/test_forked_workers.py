"""Splits in forked processes, as a PyTorch DataLoader makes them: threads and places in files are
not inherited.
"""

import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest
from test_data_sources import image, png, tree, write, write_zip

from rawconv.data import decode, open_data, packing
from rawconv.machine import buffers, threads

WORKERS = 3
pytestmark = [
    pytest.mark.skipif(
        not sys.platform.startswith("linux"),
        reason="Windows cannot fork, and macOS starts its workers anew: its own libraries do not outlive a fork",
    ),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def in_children(function):
    """[what `function`(k) returns] of WORKERS children that run at the same time; none may take 20
    seconds.
    """
    with multiprocessing.get_context("fork").Pool(WORKERS) as pool:
        return pool.map_async(call, [(function, k) for k in range(WORKERS)], chunksize=1).get(20)


def call(task):
    function, k = task
    return globals()[function](k)


def reads(k):
    """What child k reads of SPLIT, many times over, so that the children get in each other's way: {bytes}."""
    ids = np.arange(len(SPLIT))[:: -1 if k % 2 else 1]
    return {SPLIT.read(ids).tobytes() for _ in range(50)}


def sums(k):
    found = np.zeros(1000)
    threads.run_blocks(lambda part: found[part].fill(k), threads.cut(1000, 10))
    return found.sum()


@pytest.mark.parametrize("kind", ["in memory", "folder", "zip", "packed", "scenes"])
def test_children_read_what_the_parent_reads(kind, tmp_path, monkeypatch):
    global SPLIT
    monkeypatch.setattr(decode, "BUDGET", 0 if kind in ("folder", "zip") else decode.BUDGET)
    files = {name: png(image(k, 120, 120)) for k, name in enumerate(tree())}
    source = write_zip(tmp_path / "a.zip", files) if kind == "zip" else write(tmp_path / "a", files)
    if kind == "packed":
        packing.pack(source, tmp_path / "a.h5", 120, progress=False)
        source = tmp_path / "a.h5"
    source = "scenes:40" if kind == "scenes" else source
    SPLIT = open_data(source, 40 if kind == "scenes" else 120, progress=False).train
    want = SPLIT.read(np.arange(len(SPLIT)))  # the parent's threads are there before the children
    for k, found in enumerate(in_children("reads")):
        assert found == {want[:: -1 if k % 2 else 1].tobytes()}


def test_children_share_their_work_among_threads_of_their_own():
    sums(1)
    assert in_children("sums") == [0, 1000, 2000]


def test_a_lock_that_a_thread_held_while_the_process_forked_is_free():
    with buffers._pool.lock:
        child = os.fork()
        if not child:  # the alarm's signal ends a child that waits for ever
            signal.alarm(20)
            buffers.empty(np.zeros(1), (1 << 20,))
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
