"""What the threads share with the one that calls them."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from rawconv.machine import threads
from rawconv.machine.threads import run_blocks

helped = pytest.mark.skipif(threads.thread_count() == 1, reason="one thread: nobody helps")


@pytest.mark.parametrize("over", ["raise", "ignore"])
def test_the_callers_errstate_is_everybodys(over):
    """NumPy keeps it for each thread by itself, so that a run that diverges would fill stderr with
    warnings.
    """
    caught = []

    def overflow(block):
        time.sleep(0.01)  # long enough for the helpers to take their share
        try:
            np.float32([3e38]) * np.float32(block + 10)
        except FloatingPointError:
            caught.append(block)

    with np.errstate(over=over):
        run_blocks(overflow, range(16))
    assert sorted(caught) == (list(range(16)) if over == "raise" else [])


@helped
def test_large_work_is_shared_and_small_work_is_not():
    meet = threading.Barrier(2, timeout=60)
    run_blocks(lambda block: meet.wait(), range(2))  # neither block ends before the other begins
    names = []
    run_blocks(
        lambda block: names.append(threading.current_thread()),
        range(100),
        threads.WORTH_SHARING - 1,
    )
    assert set(names) == {threading.current_thread()} and len(names) == 100


@pytest.mark.parametrize("nanoseconds", [0, np.inf])
def test_what_one_block_raises_the_caller_raises_when_all_are_done(nanoseconds):
    done = []

    def fail(block):
        time.sleep(0.001)
        if block == 3:
            raise ValueError("3")
        done.append(block)

    for _ in range(5):  # whoever takes it
        done.clear()
        with pytest.raises(ValueError, match="3"):
            run_blocks(fail, range(8), nanoseconds)
        assert sorted(done) == [0, 1, 2, 4, 5, 6, 7]
    run_blocks(done.append, [8])
    assert done[-1] == 8, "and goes on working"


def test_no_blocks():
    run_blocks(lambda block: 1 / 0, [])


@helped
def test_blocks_may_hand_out_blocks():
    found = np.zeros((8, 8))

    def outer(i):
        run_blocks(
            lambda j: np.add(found[i], np.eye(8)[j], out=found[i]) if j == i else None, range(8)
        )

    run_blocks(outer, range(8))
    assert np.array_equal(found, np.eye(8))


def test_what_the_blocks_saw_is_free_when_they_are_done():
    """Also where a helper slept over all of them: buffers.py hands memory out again."""

    class Seen:
        pass

    gc.disable()
    try:
        for _ in range(200):
            seen = Seen()
            alive = weakref.ref(seen)
            run_blocks(lambda block, seen=seen: None, range(4))
            del seen
            assert alive() is None
    finally:
        gc.enable()


@helped
def test_helpers_end_with_the_program():
    """Else every command would wait for them for ever."""
    run_blocks(lambda block: time.sleep(0.01), range(8))
    helpers = [thread for thread in threading.enumerate() if thread.name.startswith("rawconv_")]
    assert len(helpers) == threads.thread_count() - 1 and all(thread.daemon for thread in helpers)
