"""A split in batches, read ahead by a background thread."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..machine import philox

STREAM = 1_000_001  # of the random numbers; layers use small numbers


def permutation(count, seed, epoch, stream=STREAM):
    """0 .. count-1 in an order that depends on (count, seed, epoch, stream) alone: int64 (count,).

    The order of random 64-bit keys, one per position: the same on every machine and with every NumPy.
    """
    words = philox.words((seed, epoch, np.arange(count)), stream, 2).astype(np.uint64)
    return np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")


def batches(split, batch, order=None, start=0, prefetch=2, share=lambda ids: ids):
    """Yield (ids int64 (n,), pictures uint8 (n, H, W, 3), labels int64 (n,)), n = batch, the last one smaller.

    order: None for 0 .. N-1, or (seed, epoch) for `Split.order`.  start: the position in that order to begin at, for
    resuming in the middle of an epoch.  share: takes this process's part of a batch's ids, which may be none (n = 0).
    Up to `prefetch` batches are read ahead; an error of the reading is raised here, at the batch it belongs to.
    Leaving the loop early ends the thread.
    """
    ids = np.arange(len(split)) if order is None else split.order(*order)

    def read(part):
        part = share(part)
        pictures = split.read(part) if len(part) else np.empty((0, *split.shape), np.uint8)
        return part, pictures, split.labels[part]

    waiting = deque()
    with ThreadPoolExecutor(1, "rawconv-read") as thread:
        try:
            for position in range(start, len(ids), batch):
                waiting.append(thread.submit(read, ids[position : position + batch]))
                if len(waiting) > prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
