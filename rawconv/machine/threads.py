"""The one scheduler of the CPU: blocks of work on a few Python threads, each with one BLAS thread.

NumPy's products and Numba's loops (nogil) both release the interpreter lock, so plain threads are
enough.  Work is cut into blocks by shape alone, never by the number of threads, and each block
writes its own part of the result: the same bits on any number of threads.

    run_blocks(function, blocks)                    Python functions, 10 to 50 microseconds to hand over
    run_ranges(loop, total, size, arguments)        compiled loops, under one microsecond
"""

from __future__ import annotations

import atexit
import functools
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from . import environment, limits
from .buffers import aligned
from .handover import AWAKE, BOX, CALLS, TAKEN, ranges, watch

Block = TypeVar("Block")
Function = TypeVar("Function", bound=Callable[..., Any])
Task = Callable[[], object]


def thread_count() -> int:
    """Return RAWCONV_NUM_THREADS, or else how many processors this process may keep busy.

    UsageError: RAWCONV_NUM_THREADS is not a sensible number.
    """
    return environment.threads("RAWCONV_NUM_THREADS") or limits.cpus()


def workers() -> int:
    """Return how many threads share work: the thread_count() of when they were started, without asking anew."""
    return _helpers().number + 1


def once_a_process(function: Function) -> Function:
    """Cache results as functools.cache does, but not across a fork: the threads in a result do not
    exist there.
    """
    cached = functools.cache(function)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=cached.cache_clear)
    return cached  # type: ignore[return-value]


# nanoseconds; for less work, waking the other threads costs more than they save
WORTH_SHARING = 330_000
# the same for a compiled loop, where a helper is awake, and where all sleep
WORTH_RANGES, WORTH_WAKING = 6_000, 60_000
# nanoseconds that a helper watches for work before it sleeps: longer than what one thread does
# alone within a step of a small net, so that a step wakes nobody
AWAKE_FOR = 1_000_000
NOTHING = np.zeros(0, np.int64)


class Helpers(NamedTuple):
    """number: of the helper threads (the caller is one more).  inbox: their queue of functions to
    call, None to end.  box: see handover.py.
    """

    number: int
    inbox: queue.SimpleQueue[Any]
    box: np.ndarray

    def call(self, count: int, function: Callable[[], object] | None) -> None:
        """Wake so many helpers to call the function."""
        for _ in range(count):
            self.inbox.put(function)
        self.box[CALLS] += 1


@once_a_process
def _helpers() -> Helpers:
    """Start the helper threads.

    Each has one BLAS thread: multi-threaded BLAS beside them was up to 40 times slower.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    helpers = Helpers(thread_count() - 1, queue.SimpleQueue[Any](), aligned(8 * BOX).view(np.int64))
    helpers.box[:] = 0
    looks = _looks(helpers.box) if helpers.number else 0
    threads = [
        threading.Thread(
            target=_help, args=(helpers, number + 1, looks), name=f"rawconv_{number}", daemon=True
        )
        for number in range(helpers.number)
    ]
    for thread in threads:
        thread.start()
    atexit.register(_end, threads, helpers)
    return helpers


def _looks(box: np.ndarray) -> int:
    """Return how often a helper looks into its box in AWAKE_FOR."""
    watch(box, 1, 0, 1)  # compiles
    begin = time.perf_counter_ns()
    watch(box, 1, 0, looks := 1000)
    return max(1, looks * AWAKE_FOR // max(1, time.perf_counter_ns() - begin))


def _help(helpers: Helpers, thread: int, looks: int) -> None:
    while work := helpers.inbox.get():
        work()
        calls = helpers.box[CALLS]
        if helpers.inbox.empty():
            watch(helpers.box, thread, calls, looks)


def _end(threads: list[threading.Thread], helpers: Helpers) -> None:
    """End the helpers before the interpreter ends: one that still compiles at that moment crashes."""
    helpers.call(len(threads), None)
    for thread in threads:
        thread.join()


def _do_under(
    errors: Any, tasks: Iterator[Task], outcomes: queue.SimpleQueue[BaseException | None]
) -> None:
    with np.errstate(**errors):
        _do(tasks, outcomes)


def _do(tasks: Iterator[Task], outcomes: queue.SimpleQueue[BaseException | None]) -> None:
    """Do the tasks that no other thread has taken: a list iterator's next() is atomic under the
    interpreter lock.
    """
    task: Task | None
    for task in tasks:
        outcome = None
        try:
            task()
        except BaseException as error:
            outcome = error
        # or a finished task would keep its arrays alive until this thread gets to the next
        task = None
        outcomes.put(outcome)


def run_blocks(
    function: Callable[[Block], object], blocks: Sequence[Block], nanoseconds: float = math.inf
) -> None:
    """Call function(block) for every block, on all threads; return when all are done, raise what
    one of them raised.

    nanoseconds: estimate, from the shapes, of what all blocks take on one thread.  Below
    WORTH_SHARING the caller does them itself.  The caller's np.errstate, which belongs to one
    thread, holds for all of them.
    """
    helpers = _helpers()
    if helpers.number and len(blocks) > 1 and nanoseconds >= WORTH_SHARING:
        errors = _share(function, blocks, helpers)
    else:
        errors = []
        for block in blocks:
            try:
                function(block)
            except BaseException as error:
                errors.append(error)
    for raised in errors:
        if raised:
            raise raised


def _share(
    function: Callable[[Block], object],
    blocks: Sequence[Block],
    helpers: Helpers,
) -> list[BaseException | None]:
    """Call function(block) for every block, on all threads; return what each raised, or None."""
    tasks = [functools.partial(function, block) for block in blocks]
    count, todo, outcomes = len(tasks), iter(tasks), queue.SimpleQueue[BaseException | None]()
    # the iterator drops the list at its end, so that a helper that wakes later keeps no arrays
    # alive
    del tasks
    helpers.call(
        min(helpers.number, count - 1), functools.partial(_do_under, np.geterr(), todo, outcomes)
    )
    try:
        _do(todo, outcomes)
        return [outcomes.get() for _ in range(count)]
    except BaseException:  # Ctrl-C, outside of a task
        for _ in todo:
            pass  # use them up, so that no helper takes another
        raise


def run_ranges(
    function: Any,
    total: int,
    size: int,
    arguments: tuple[Any, ...],
    nanoseconds: float = math.inf,
    after: np.ndarray = NOTHING,
) -> None:
    """Call function(first, last, thread, *arguments) for every piece first..last-1 of range(total),
    `size` long, on all threads; return when all are done.

    function: a @loop or @part, whose pieces do not depend on each other.  thread: a number below
    workers(), by which a piece finds room of its own in an argument.
    nanoseconds: estimate, from the shapes, of what all pieces take on one thread.
    after: where pieces, then of size 1, need what others computed: for each how many, from the first
    on, must be done before it begins; no fewer than for the one before.
    """
    helpers, run = _helpers(), _ranges(function)
    shared = False
    if helpers.number and total > size and nanoseconds >= WORTH_RANGES:
        shared = helpers.box[AWAKE] > 0
        if not shared and nanoseconds >= WORTH_WAKING:
            shared = True
            if helpers.inbox.empty():  # else they were called, and had no processor yet
                helpers.call(helpers.number, _nothing)
    failed = run(helpers.box, total, size, arguments, shared, after)
    if failed == TAKEN:
        failed = run(helpers.box, total, size, arguments, False, after)
    if failed:
        first = failed - 1
        _for_python(function)(first, min(first + size, total), 0, *arguments)  # raises it again
        raise RuntimeError(f"{function.__name__} failed for {first} of {total}.")


_ranges = functools.cache(ranges)


@functools.cache
def _for_python(function: Any) -> Any:
    """Return the same function with code that Python may call: a @part has none."""
    import numba

    return numba.njit(function.py_func)


def _nothing() -> None:
    """Wake a helper, which then watches its box."""


def pieces(total: int, most: int) -> int:
    """Return how long the pieces of range(total) are that threads share: an eighth, `most` at most."""
    return max(1, min(most, -(-total // 8)))


def cut(total: int, size: int) -> list[slice]:
    """Return slices of `size` that cover range(total); the last may be shorter."""
    if 0 < total <= size:
        return [slice(0, total)]
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


class _Own(threading.local):
    """What each thread has of its own.  buffers: {(name, dtype): memory}."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, np.dtype[Any]], np.ndarray] = {}


_own = _Own()


def scratch(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an uninitialised array in memory that this thread reuses under this name: fresh memory is slow.

    It is valid until the thread asks for the same name again; never return it to a caller.
    """
    dtype = np.dtype(dtype)
    size, buffers, key = math.prod(shape) * dtype.itemsize, _own.buffers, (name, dtype)
    if key not in buffers or buffers[key].size < size:
        buffers[key] = aligned(size)
    return np.ndarray(shape, dtype, buffers[key])
