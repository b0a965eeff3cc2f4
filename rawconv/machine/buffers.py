"""A pool of memory blocks for the CPU.  Fresh pages cost more time than what is computed into them:
70 ms for 150 MB.

When the last array that uses a block is garbage-collected, the block returns to the pool and serves
the next request of about its size, so that a training step reuses the memory of the one before.  A
block in use is never handed out again: a cache keeps its values for as long as it is referenced.
On a GPU, CuPy's own pool does the same.
"""

from __future__ import annotations

import bisect
import collections
import itertools
import math
import os
import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from .arrays import Array, array_module, on_cpu

SMALL = 1 << 18  # bytes; smaller requests go to malloc, which reuses its memory anyway
SLACK = 1.5  # the pool holds at most this multiple of the most that was ever in use at once
# bytes of a cache line; blocks start at a multiple, so that an aligned vector lies within one line
LINE = 64


def empty(x: Array, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
    """Return an uninitialised array on the device of x; dtype: that of x by default."""
    if not on_cpu(x):
        return array_module(x).empty(shape, dtype or x.dtype)
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    block = _pool.take(size)
    loan = _Loan()
    loan.block, loan.__array_interface__ = block, block.interface
    return np.ndarray(shape, dtype, np.asarray(loan))


def zeros(x: Array, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
    """Return an array of zeros on the device of x; dtype: that of x by default."""
    out = empty(x, shape, dtype)
    out.fill(0)
    return out


def aligned(size: int) -> np.ndarray:
    """Allocate `size` bytes, uint8, that start at a multiple of LINE."""
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size]


class _Block(NamedTuple):
    """interface: that of the memory, which NumPy takes long to describe."""

    memory: np.ndarray
    interface: dict[str, Any]


class _Loan:
    """The owner of a block in use.  Every view of the array references it; when the last is gone,
    the block returns.
    """

    block: _Block
    __array_interface__: dict[str, Any]

    def __del__(self) -> None:
        _pool.returned.append(self.block)


class _Pool:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        # __del__ may run anywhere, so it takes no lock: appending to a deque is atomic.
        self.returned: collections.deque[_Block] = collections.deque()
        # (bytes, when it came back, block), sorted
        self.free: list[tuple[int, int, _Block]] = []
        self.order = itertools.count()
        # bytes in use, bytes in self.free, the most ever in use at once
        self.used = self.waiting = self.most = 0

    def take(self, size: int) -> _Block:
        """Return the smallest free block of at least `size` bytes, if it is not twice as large;
        else a fresh one.
        """
        with self.lock:
            while self.returned:
                block = self.returned.popleft()
                length = len(block.memory)
                self.used, self.waiting = self.used - length, self.waiting + length
                bisect.insort(self.free, (length, next(self.order), block))
            index, reused, length = bisect.bisect_left(self.free, (size,)), None, size
            if index < len(self.free) and self.free[index][0] <= 2 * size:
                length, _, reused = self.free.pop(index)
                self.waiting -= length
            self.used += length
            self.most = max(self.most, self.used)
            while self.free and self.used + self.waiting > SLACK * self.most:
                oldest = min(range(len(self.free)), key=lambda i: self.free[i][1])
                self.waiting -= self.free.pop(oldest)[0]
        if reused is None:
            memory = aligned(size)
            reused = _Block(memory, memory.__array_interface__)
        return reused


_pool = _Pool()
# a thread that held the lock at that moment does not exist in the new process
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: setattr(_pool, "lock", threading.Lock()))
