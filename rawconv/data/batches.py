"""The batches of a split, read ahead by a background thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ..machine import philox

if TYPE_CHECKING:
    from ..machine.communicator import Ranks
    from .dataset import Split

STREAM = 1_000_001  # of the random numbers; layers use small numbers


def permutation(count: int, seed: int, epoch: int, stream: int = STREAM) -> np.ndarray:
    """Return 0 .. count-1 in an order that depends on (count, seed, epoch, stream) alone: int64 (count,).

    It is the order of random 64-bit keys, one for each number: the same on every machine and with
    every NumPy.
    """
    words = philox.words((seed, epoch, np.arange(count)), stream, 2).astype(np.uint64)
    return np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")


def batches(
    split: Split,
    batch: int,
    order: tuple[int, int] | None = None,
    start: int = 0,
    prefetch: int = 2,
    shard: Callable[[np.ndarray], np.ndarray] = lambda ids: ids,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (ids int64 (n,), images uint8 (n, H, W, 3), labels int64 (n,)), n = batch; the last
    batch may be smaller.

    order: None for 0 .. N-1, or (seed, epoch) for `Split.order`.
    start: the position in that order at which to begin, for resuming in the middle of an epoch.
    shard: takes this process's part of a batch's ids, perhaps none (n = 0).
    prefetch: how many batches are read ahead; an error in reading is raised at the batch it belongs
    to. Leaving the loop early ends the thread.
    """
    ids = np.arange(len(split)) if order is None else split.order(*order)

    def read(part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        part = shard(part)
        images = split.read(part) if len(part) else np.empty((0, *split.shape), np.uint8)
        return part, images, split.labels[part]

    waiting: deque[Future[tuple[np.ndarray, np.ndarray, np.ndarray]]] = deque()
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


def in_turn(ranks: Ranks, batch: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return the `shard` by which processes take whole batches of the order 0 .. N-1 in turn.

    A batch holds what it holds in one process, so what a net says of its images has the same bits.
    """
    return lambda ids: ids if ranks.has_turn(int(ids[0]) // batch) else ids[:0]
