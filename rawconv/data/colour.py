"""PCA colour jitter (Krizhevsky 2012, section 4.1; Zeiler & Fergus do not use it).

    x + sum over k of a_k s_k e_k        a_k ~ N(0, strength), one draw for a whole image

e_k: the principal directions of the training pixels' (red, green, blue); s_k: the standard
deviation along each. (Krizhevsky multiplies by eigenvalues of pixels scaled to some range that he
does not give; standard deviations, as in general use since, do not depend on the range.)  The a_k
come from Philox by sample id, like crops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..machine import philox
from .batches import permutation

if TYPE_CHECKING:
    from ..machine.philox import RngKey
    from .dataset import Split

STREAM = 1_000_004  # of the random numbers
ENOUGH = 2000  # pictures to know the colours from


def principal(split: Split, seed: int = 0) -> np.ndarray:
    """Return the rows s_k e_k, the longest first: float64 (3, 3), in pixels, from at most ENOUGH
    images of a split.
    """
    total, squares, count = np.zeros(3), np.zeros((3, 3)), 0
    ids = permutation(len(split), seed, 0)[:ENOUGH]
    for start in range(0, len(ids), 100):
        pixels = split.read(ids[start : start + 100]).reshape(-1, 3).astype(np.float64)
        total += pixels.sum(axis=0)  # whole numbers below 2**53: exact
        squares += pixels.T @ pixels
        count += len(pixels)
    mean = total / count
    values, vectors = np.linalg.eigh(squares / count - np.outer(mean, mean))
    # a direction's sign means nothing; this one is always the same
    vectors *= np.sign(vectors.sum(axis=0))
    return (vectors * np.sqrt(values.clip(0))).T[::-1].copy()


def shifts(rng_key: RngKey, pca_jitter: npt.ArrayLike) -> np.ndarray:
    """Return what to add to all pixels of each image: float64 (n, 3).

    rng_key: (seed, epoch, sample ids).  pca_jitter: (3, 3), rows strength * s_k e_k.
    """
    words = philox.words(rng_key, STREAM, 6).astype(np.float64)
    radius = np.sqrt(-2 * np.log((words[:, :3] + 1) / 2**32))  # Box and Muller 1958
    return radius * np.cos(2 * np.pi * words[:, 3:] / 2**32) @ np.asarray(pca_jitter)
