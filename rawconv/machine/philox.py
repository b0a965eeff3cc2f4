"""Counter-based random numbers: the same bits on every device, in any order, on any number of threads.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a key
and a counter into four 32-bit words.  A dropout mask or a crop is a pure function of (seed, stream;
element, sample, epoch): it depends neither on the batch that a picture is in nor on the device.
Only the low 32 bits of each of these numbers count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .numba_cache import loop

RngKey = tuple[int, int, npt.ArrayLike]  # (seed, epoch, sample ids)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)


@loop(inline="always")
def philox4x32(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Ten rounds over the counter (c0..c3) with the key (k0, k1): four words below 2**32, all held
    as uint64.
    """
    c0, c1, c2, c3, k0, k1 = c0 & _LOW, c1 & _LOW, c2 & _LOW, c3 & _LOW, k0 & _LOW, k1 & _LOW
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@loop
def _words(out: Any, seed: Any, stream: Any, epoch: Any, samples: Any) -> None:
    for row in range(out.shape[0]):
        for block in range((out.shape[1] + 3) // 4):
            words = philox4x32(
                np.uint64(block),
                np.uint64(samples[row]),
                np.uint64(epoch),
                np.uint64(0),
                np.uint64(seed),
                stream,
            )
            for k in range(min(4, out.shape[1] - 4 * block)):
                out[row, 4 * block + k] = words[k]


def low(number: int) -> int:
    """Return the low 32 bits of a whole number: a seed, a stream or an epoch as the kernels take it."""
    return int(number) & 0xFFFFFFFF


def words(rng_key: RngKey, stream: int, count: int) -> np.ndarray:
    """Return `count` random words for each sample of rng_key = (seed, epoch, sample ids): uint32
    (samples, count).
    """
    seed, epoch, ids = rng_key
    samples = np.asarray(ids, np.uint64)
    out = np.empty((len(samples), count), np.uint32)
    _words(out, *(np.uint64(low(number)) for number in (seed, stream, epoch)), samples)
    return out
