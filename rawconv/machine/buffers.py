"""Memory that is used again.  On the CPU fresh pages cost more time than what is computed into them: 70 ms for 150 MB.

When the last array over a block has died, the block waits for the next request of about its size: what a training step
allocates, the next one finds.  A block that somebody can still see is never handed out, so a cache stays as it is for
as long as it is held.  On a GPU CuPy's own pool does the same.
"""

import bisect
import collections
import itertools
import math
import os
import threading

import numpy as np

from .arrays import Array, array_module, on_cpu

SMALL = 1 << 18  # bytes; below, malloc has memory that is used again
SLACK = 1.5  # of the most that was ever in use at once, all blocks together are at most this much
LINE = 64  # bytes: a vector that starts at a multiple lies in one line of the cache


def empty(x: Array, shape: tuple, dtype=None) -> Array:
    """An uninitialised array on the device of x, of its dtype if none is given."""
    dtype = np.dtype(dtype or x.dtype)
    size = math.prod(shape) * dtype.itemsize
    if not on_cpu(x) or size < SMALL:
        return array_module(x).empty(shape, dtype)
    return np.asarray(_Loan(_pool.take(size)))[:size].view(dtype).reshape(shape)


def zeros(x: Array, shape: tuple, dtype=None) -> Array:
    """The same, filled with zeros."""
    out = empty(x, shape, dtype)
    out.fill(0)
    return out


def aligned(size):
    """`size` fresh bytes that start at a multiple of LINE."""
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]


class _Loan:
    """What all views of one array hold on to; when the last has gone, its block goes back."""

    def __init__(self, block):
        self.block, self.__array_interface__ = block, block.__array_interface__

    def __del__(self):
        _pool.returned.append(self.block)


class _Pool:
    def __init__(self):
        self.lock = threading.Lock()
        self.returned = collections.deque()  # __del__ may run anywhere, so it takes no lock: appending is atomic
        self.free, self.order = [], itertools.count()  # [(bytes, when it came back, block)], sorted
        self.used = self.waiting = self.most = 0  # bytes lent, bytes in self.free, the most ever lent at once

    def take(self, size):
        """The smallest free block of at least `size` bytes, if it is not twice as large; else a fresh one."""
        with self.lock:
            while self.returned:
                block = self.returned.popleft()
                self.used, self.waiting = self.used - len(block), self.waiting + len(block)
                bisect.insort(self.free, (len(block), next(self.order), block))
            place = bisect.bisect_left(self.free, (size,))
            if place < len(self.free) and self.free[place][0] <= 2 * size:
                block = self.free.pop(place)[2]
                self.waiting -= len(block)
            else:
                block = None
            self.used += size if block is None else len(block)
            self.most = max(self.most, self.used)
            while self.free and self.used + self.waiting > SLACK * self.most:
                oldest = min(range(len(self.free)), key=lambda i: self.free[i][1])
                self.waiting -= self.free.pop(oldest)[0]
        return aligned(size) if block is None else block


_pool = _Pool()
if hasattr(os, "register_at_fork"):  # another thread may hold the lock at that moment, and is gone in the new process
    os.register_at_fork(after_in_child=lambda: setattr(_pool, "lock", threading.Lock()))
