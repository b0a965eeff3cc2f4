"""The one scheduler of the CPU: blocks of work on a few Python threads, each with one BLAS thread.

NumPy's products and Numba's loops (nogil) both run outside the interpreter lock, so plain threads are enough.  Blocks
are cut by shape alone, never by thread count, and each writes its own part of the result: the same bits on any number
of threads.
"""

import functools
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .buffers import aligned


def thread_count():
    """RAWCONV_NUM_THREADS, or the number of cores this process may use."""
    asked = os.environ.get("RAWCONV_NUM_THREADS", "")
    if asked:
        if not asked.isdigit() or int(asked) < 1:
            raise ValueError(f"RAWCONV_NUM_THREADS={asked!r} is not a positive whole number; unset it or give one.")
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _helpers():
    """The helper threads (the caller is one more).  Multi-threaded BLAS beside them was up to 40 times slower."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")
    count = thread_count() - 1
    return count, ThreadPoolExecutor(count, "rawconv") if count else None


def run_blocks(function, blocks):
    """Call function(block) for every block, on all threads; returns when all are done, raises what one raised.

    The caller's np.errstate, which belongs to a thread, is everybody's.
    """
    count, pool = _helpers()
    blocks = list(blocks)
    queue = iter(blocks)  # a list iterator's next() is atomic under the interpreter lock

    def work():
        for block in queue:
            function(block)

    def help_with(errors):
        with np.errstate(**errors):
            work()

    helpers = [pool.submit(help_with, np.geterr()) for _ in range(min(count, len(blocks) - 1))]
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()


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
