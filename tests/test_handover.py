"""Compiled loops on several threads: all pieces once, whoever takes them, and nothing left behind."""

import cProfile
import itertools
import os
import pstats
import signal
import subprocess
import sys
import threading
import time

import numba
import numpy as np
import pytest

from rawconv.machine import threads
from rawconv.machine.atomics import add, look, pause
from rawconv.machine.handover import AWAKE, OWNED
from rawconv.machine.numba_cache import loop, part
from rawconv.machine.threads import run_blocks, run_ranges

helped = pytest.mark.skipif(threads.thread_count() == 1, reason="one thread: nobody helps")


@loop
def count_pieces(first, last, thread, counts, lengths):
    for i in range(first, last):
        add(counts, i, 1)
        lengths[i] = last - first


@loop
def meet(first, last, thread, begun, patience):
    """Each piece waits a while for the other to begin."""
    add(begun, 0, 1)
    for _ in range(patience):
        if look(begun, 0) == 2:
            add(begun, 1, 1)
            return
        pause()


@loop
def linger(first, last, thread, counts, by):
    """Take long where it is not the caller who does it."""
    if thread:
        for _ in range(100_000):
            pause()
        by[0] = thread
    add(counts, first, 1)


@loop
def fail_at_three(first, last, thread, done):
    if first == 3:
        raise ValueError("three")
    add(done, 0, 1)


@loop
def add_up(first, last, thread, numbers):
    """Each number becomes 1 + the sum of all before its ten, which must be there; who helps is slow."""
    for i in range(first, last):
        if thread:
            for _ in range(1000):
                pause()
        numbers[i] = numbers[: i // 10 * 10].sum() + 1


def let_helpers_sleep():
    """Wait until no helper is: each watches for a bounded time."""
    deadline = time.monotonic() + 60
    while threads._helpers().box[AWAKE]:
        assert time.monotonic() < deadline, "a helper never sleeps"
        time.sleep(0.001)


@pytest.mark.parametrize("nanoseconds", [0, 10_000, np.inf])
@pytest.mark.parametrize("total, size", [(0, 4), (1, 4), (4, 4), (9, 4), (1000, 1)])
def test_every_piece_is_done_once(total, size, nanoseconds):
    for _ in range(50):
        counts, lengths = np.zeros((2, total), np.int64)
        run_ranges(count_pieces, total, size, (counts, lengths), nanoseconds)
        assert (counts == 1).all()
        whole = total // size * size
        assert (lengths[:whole] == size).all() and (lengths[whole:] == total - whole).all()


@pytest.mark.parametrize("nanoseconds", [0, np.inf])
def test_pieces_wait_for_those_that_they_need(nanoseconds):
    after = np.arange(50) // 10 * 10
    for _ in range(200):
        numbers = np.zeros(50, np.int64)
        run_ranges(add_up, 50, 1, (numbers,), nanoseconds, after)
        assert (numbers == 11 ** (np.arange(50) // 10)).all()


@pytest.mark.parametrize("nanoseconds", [0, np.inf])
def test_a_piece_that_fails_leaves_nobody_waiting(nanoseconds):
    with pytest.raises(ValueError, match="three"):
        run_ranges(fail_at_three, 8, 1, (np.zeros(1, np.int64),), nanoseconds, np.arange(8))


@helped
@pytest.mark.parametrize("asleep", [True, False])
def test_a_helper_takes_part(asleep):
    """Whenever it gets a processor in time."""
    deadline = time.monotonic() + 100
    begun = np.zeros(2, np.int64)
    while begun[1] < 2:
        assert time.monotonic() < deadline
        if asleep:
            let_helpers_sleep()
        begun[:] = 0
        run_ranges(meet, 2, 1, (begun, 1 << 22))
        assert begun[0] == 2


@helped
def test_nobody_works_on_when_the_caller_is_done():
    deadline = time.monotonic() + 100
    counts, by = np.zeros((2, 100), np.int64)
    for number in itertools.count(1):
        run_ranges(linger, 100, 1, (counts, by))
        assert (counts == number).all()
        if by[0]:
            break
        assert time.monotonic() < deadline


@helped
def test_who_is_idle_uses_no_processor():
    counts, lengths = np.zeros((2, 100), np.int64)
    run_ranges(count_pieces, 100, 1, (counts, lengths))
    let_helpers_sleep()
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


@pytest.mark.parametrize("nanoseconds", [0, np.inf])
@pytest.mark.parametrize("kind", [loop, part])
def test_what_a_piece_raises_the_caller_raises(kind, nanoseconds):
    fails = fail_at_three if kind is loop else part(fail_at_three.py_func)
    for _ in range(20):
        with pytest.raises(ValueError, match="three"):
            run_ranges(fails, 8, 1, (np.zeros(1, np.int64),), nanoseconds)
        assert not threads._helpers().box[OWNED]
    done = np.zeros(1, np.int64)
    run_ranges(fails, 3, 1, (done,))
    assert done[0] == 3, "and goes on working"


def test_callers_at_once_and_one_inside_another():
    """The box is one caller's; the others do their work alone."""
    counts, lengths = np.zeros((2, 8, 500), np.int64)

    def caller(i):
        for _ in range(100):
            run_ranges(count_pieces, 500, 1, (counts[i], lengths[i]))

    callers = [threading.Thread(target=caller, args=(i,)) for i in range(4)]
    for one in callers:
        one.start()
    run_blocks(caller, range(4, 8))
    for one in callers:
        one.join()
    assert (counts == 100).all()


# in programs of their own

WORK = """
import os, signal, sys, threading, time
import numpy as np
from rawconv.machine.threads import run_ranges
from test_handover import count_pieces
counts, lengths = np.zeros((2, 1000), np.int64)
work = lambda: run_ranges(count_pieces, 1000, 1, (counts, lengths))
work()
"""


def program(text, threads=None):
    environment = os.environ | ({"RAWCONV_NUM_THREADS": str(threads)} if threads else {})
    environment["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    command = [sys.executable, "-c", WORK + text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_the_child_has_helpers_of_its_own():
    text = """
child = os.fork()
work(); work()
if not child:
    os._exit(0 if (counts == 3).all() else 1)
_, status = os.waitpid(child, 0)
sys.exit(status or not (counts == 3).all())
"""
    program(text, threads=3)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no timers that signal here")
def test_ctrl_c_at_any_moment_leaves_no_piece_undone_and_nobody_waiting():
    text = """
armed, caught, deadline = False, 0, time.monotonic() + 200
def interrupt(number, frame):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
while caught < 50 and time.monotonic() < deadline:
    try:
        armed = True
        while True:
            work()
    except KeyboardInterrupt:
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
before = counts.copy()
assert (before == before[0]).all(), "all pieces, or none"
work()
assert (counts == before + 1).all() and caught == 50
"""
    program(text, threads=2)


def test_a_program_ends_while_its_helpers_are_awake():
    for count in (1, 2, 3):
        program("work()", threads=count)


@numba.njit
def _nothing(arguments):
    return len(arguments)


@pytest.mark.parametrize("count", [1, 8, 12])
def test_numba_tells_arguments_of_any_length_apart_without_python(count):
    """Numba 0.60 does not where they are many, and now and then refuses an array of theirs."""
    arguments = (np.zeros((2, 2)),) * count
    _nothing(arguments)
    profile = cProfile.Profile()
    profile.runcall(_nothing, arguments)
    assert pstats.Stats(profile).total_calls < 5
