"""The one scheduler of the CPU: blocks of work on a few Python threads, each with one BLAS thread.

NumPy's products and Numba's loops (nogil) both release the interpreter lock, so plain threads are
enough.  Work is cut into blocks by shape alone, never by the number of threads, and each block
writes its own part of the result: the same bits on any number of threads.
"""

from __future__ import annotations

import atexit
import functools
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from . import environment, limits
from .buffers import aligned

Block = TypeVar("Block")
Function = TypeVar("Function", bound=Callable[..., Any])
Task = Callable[[], object]


def thread_count() -> int:
    """Return RAWCONV_NUM_THREADS, or else how many processors this process may keep busy.

    UsageError: RAWCONV_NUM_THREADS is not a sensible number.
    """
    return environment.threads("RAWCONV_NUM_THREADS") or limits.cpus()


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


@once_a_process
def _helpers() -> tuple[int, queue.SimpleQueue[Any]]:
    """Start the helper threads; return how many there are (the caller is one more) and their queue of work.

    Each has one BLAS thread: multi-threaded BLAS beside them was up to 40 times slower.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    count, inbox = thread_count() - 1, queue.SimpleQueue[Any]()
    names = [f"rawconv_{number}" for number in range(count)]
    threads = [
        threading.Thread(target=_help, args=(inbox,), name=name, daemon=True) for name in names
    ]
    for thread in threads:
        thread.start()
    atexit.register(_end, threads, inbox)
    return count, inbox


def _help(inbox: queue.SimpleQueue[Any]) -> None:
    while work := inbox.get():
        errors, tasks, outcomes = work
        with np.errstate(**errors):
            _do(tasks, outcomes)


def _end(threads: list[threading.Thread], inbox: queue.SimpleQueue[Any]) -> None:
    """End the helpers before the interpreter ends: one that still compiles at that moment crashes."""
    for _ in threads:
        inbox.put(None)
    for thread in threads:
        thread.join()


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
    helpers, inbox = _helpers()
    if helpers and len(blocks) > 1 and nanoseconds >= WORTH_SHARING:
        errors = _share(function, blocks, helpers, inbox)
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
    helpers: int,
    inbox: queue.SimpleQueue[Any],
) -> list[BaseException | None]:
    """Call function(block) for every block, on all threads; return what each raised, or None."""
    tasks = [functools.partial(function, block) for block in blocks]
    count, todo, outcomes = len(tasks), iter(tasks), queue.SimpleQueue[BaseException | None]()
    # the iterator drops the list at its end, so that a helper that wakes later keeps no arrays
    # alive
    del tasks
    for _ in range(min(helpers, count - 1)):
        inbox.put((np.geterr(), todo, outcomes))
    try:
        _do(todo, outcomes)
        return [outcomes.get() for _ in range(count)]
    except BaseException:  # Ctrl-C, outside of a task
        for _ in todo:
            pass  # use them up, so that no helper takes another
        raise


def cut(total: int, size: int) -> list[slice]:
    """Return slices of `size` that cover range(total); the last may be shorter."""
    if 0 < total <= size:
        return [slice(0, total)]
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


_local = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an uninitialised array in memory that this thread reuses under this name: fresh memory is slow.

    It is valid until the thread asks for the same name again; never return it to a caller.
    """
    count = math.prod(shape)
    buffers = _local.__dict__.setdefault("buffers", {})
    key = (name, np.dtype(dtype))
    if key not in buffers or buffers[key].size < count:
        buffers[key] = aligned(count * np.dtype(dtype).itemsize).view(dtype)
    array: np.ndarray = buffers[key][:count].reshape(shape)
    return array
