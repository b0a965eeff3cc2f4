"""Softmax and its loss.  They stand beside the net, which ends in logits: no way down leads through them.

The layer that computes the logits is called `scores` by users.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..machine.arrays import Array, array_module, on_cpu
from ..machine.kernels import THREADS, launch
from ..machine.numba_cache import loop
from .gpu.sums import sum_of_rows


def softmax(logits: Array) -> Array:
    """p = exp(s) / sum of exp(s) over the last axis; the largest logit is subtracted first, so that
    none overflows.
    """
    xp = array_module(logits)
    e = xp.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(
    logits: Array, labels: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """loss = sum over images of -w[label] log p[label], and its gradient dlogits = w[label] (p -
    t), t one at the label, else zero.

    logits: (N, 1, 1, K) or (N, K).  labels: (N,) integers.  weights: w (K,) of the classes, all 1
    if None. Both results are sums over the images: divide by the batch once.  (PyTorch's mean
    divides by the sum of w[label] instead, so that the pull of an image depends on its company in
    the batch; its reduction="sum" is ours.) A label outside 0 .. K-1 makes the loss NaN: to raise
    an error, a GPU would have to wait.
    """
    told, dlogits = loss_and_hits(logits, labels, weights)
    return sum_of_images(told)[0], dlogits


def loss_and_hits(
    logits: Array, labels: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Return (N, 3), the loss of each image and whether its label is the first, and among the first
    five, of the logits, as 1 or 0; and dlogits.

    Arguments as in softmax_cross_entropy.  A NaN is a miss, and so is a label that is no class.
    """
    xp = array_module(logits)
    rows = xp.ascontiguousarray(logits).reshape(len(labels), logits.shape[-1])
    labels, dlogits = xp.asarray(labels, np.int64), xp.empty_like(rows)
    told = xp.empty((len(rows), 3), rows.dtype)
    if on_cpu(logits):
        cross_entropy(rows, labels, dlogits, told)
    else:
        threads = len(rows) * THREADS
        launch(CU, "cross_entropy", threads, rows, labels, dlogits, told, rows.shape[1])
    if weights is not None:
        own = xp.asarray(weights, rows.dtype)[labels.clip(0, rows.shape[1] - 1)]
        told[:, 0] *= own
        dlogits *= own[:, None]
    return told, dlogits.reshape(logits.shape)


def sum_of_images(told: Array) -> Array:
    """Return (3,): the sums of what loss_and_hits tells of the images."""
    if not on_cpu(told):
        return sum_of_rows(told)
    return np.add.reduce(np.ascontiguousarray(told.T), axis=1)


CU = __file__.replace("softmax.py", "softmax.cu")
FIRST = 5  # a hit among so many


@loop
def cross_entropy(logits: Any, labels: Any, dlogits: Any, told: Any) -> None:
    """p = e^(s - max) / sum and loss = log(sum) - (s - max)[label], an image a row; NaN if there
    is no such label.
    """
    for n in range(len(logits)):
        row, p, label = logits[n], dlogits[n], labels[n]
        largest, total = row[0], 0.0
        for k in range(len(row)):
            largest = max(largest, row[k])
        for k in range(len(row)):
            p[k] = math.exp(row[k] - largest)
            total += p[k]
        for k in range(len(row)):
            p[k] /= total
        if 0 <= label < len(row):
            own, above = row[label], -1  # itself
            for k in range(len(row)):
                above += not row[k] < own
            told[n, 0], told[n, 1], told[n, 2] = (
                math.log(total) - (own - largest),
                above < 1,
                above < FIRST,
            )
            p[label] -= 1
        else:
            told[n, 0], told[n, 1], told[n, 2] = math.nan, 0, 0
