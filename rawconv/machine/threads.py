"""The one scheduler of the CPU: blocks of work on a few Python threads, each with one BLAS thread.

NumPy's products and Numba's loops (nogil) both run outside the interpreter lock, so plain threads are enough.  Blocks
are cut by shape alone, never by thread count, and each writes its own part of the result: the same bits on any number
of threads.
"""

import atexit
import functools
import math
import os
import queue
import threading

import numpy as np

from . import environment, limits
from .buffers import aligned


def thread_count():
    """RAWCONV_NUM_THREADS, or the number of processors this process may keep busy.  UsageError: no sensible number."""
    return environment.threads("RAWCONV_NUM_THREADS") or limits.cpus()


def once_a_process(function):
    """functools.cache, whose results a forked process does not inherit: threads that they hold are not there."""
    cached = functools.cache(function)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=cached.cache_clear)
    return cached


ALONE = 330_000  # nanoseconds: waking threads and sharing the interpreter lock with them costs half as much


@once_a_process
def _helpers():
    """How many helper threads there are (the caller is one more), and where they look for work.

    Each has one BLAS thread: multi-threaded BLAS beside them was up to 40 times slower.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    count, inbox = thread_count() - 1, queue.SimpleQueue()
    names = [f"rawconv_{number}" for number in range(count)]
    threads = [threading.Thread(target=_help, args=(inbox,), name=name, daemon=True) for name in names]
    for thread in threads:
        thread.start()
    atexit.register(_end, threads, inbox)
    return count, inbox


def _help(inbox):
    while work := inbox.get():
        errors, *work = work
        with np.errstate(**errors):
            _do(*work)


def _end(threads, inbox):
    """Let the helpers come to their end before the interpreter does: one that still compiles then, crashes."""
    for _ in threads:
        inbox.put(None)
    for thread in threads:
        thread.join()


def _do(tasks, outcomes):
    """The tasks that nobody has taken yet: a list iterator's next() is atomic under the interpreter lock."""
    for outcome in map(_outcome, tasks):  # a loop's variable would hold on to a task that is done
        outcomes.put(outcome)


def _outcome(task):
    """None, or what it raised."""
    try:
        task()
    except BaseException as error:
        return error


def run_blocks(function, blocks, nanoseconds=math.inf):
    """Call function(block) for every block, on all threads; returns when all are done, raises what one raised.

    nanoseconds: about what all blocks take a single thread, by their shapes.  Below ALONE the caller does them itself.
    The caller's np.errstate, which belongs to a thread, is everybody's.
    """
    tasks = [functools.partial(function, block) for block in blocks]
    helpers, inbox = _helpers()
    count, todo, outcomes = len(tasks), iter(tasks), queue.SimpleQueue()
    del tasks  # a list's iterator lets go of it at the end, so that a helper which wakes then holds no arrays
    for _ in range(min(helpers, count - 1) if nanoseconds >= ALONE else 0):
        inbox.put((np.geterr(), todo, outcomes))
    try:
        _do(todo, outcomes)
        errors = [outcomes.get() for _ in range(count)]
    except BaseException:  # Ctrl-C, outside of a task
        for _ in todo:
            pass  # nobody else takes one
        raise
    for error in errors:
        if error:
            raise error


def cut(total, size):
    """Slices of `size` that cover range(total); the last may be shorter."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


_local = threading.local()


def scratch(name, shape, dtype):
    """An uninitialised array that this thread uses again under this name: fresh memory costs its page faults each time.

    Valid until the thread asks for the same name again; never return it to a caller.
    """
    count = math.prod(shape)
    buffers = _local.__dict__.setdefault("buffers", {})
    key = (name, np.dtype(dtype))
    if key not in buffers or buffers[key].size < count:
        buffers[key] = aligned(count * np.dtype(dtype).itemsize).view(dtype)
    return buffers[key][:count].reshape(shape)
