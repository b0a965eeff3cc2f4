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
    xp = array_module(logits)
    rows = xp.ascontiguousarray(logits).reshape(len(labels), logits.shape[-1])
    labels, dlogits, losses = (
        xp.asarray(labels, np.int64),
        xp.empty_like(rows),
        xp.empty(len(rows), rows.dtype),
    )
    if on_cpu(logits):
        cross_entropy(rows, labels, dlogits, losses)
    else:
        launch(
            CU, "cross_entropy", len(rows) * THREADS, rows, labels, dlogits, losses, rows.shape[1]
        )
    if weights is not None:
        own = xp.asarray(weights, rows.dtype)[labels.clip(0, rows.shape[1] - 1)]
        losses *= own
        dlogits *= own[:, None]
    return losses.sum(), dlogits.reshape(logits.shape)


CU = __file__.replace("softmax.py", "softmax.cu")


@loop
def cross_entropy(logits: Any, labels: Any, dlogits: Any, losses: Any) -> None:
    """p = e^(s - max) / sum and loss = log(sum) - (s - max)[label], a picture a row; NaN if there
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
        known = 0 <= label < len(row)
        losses[n] = math.log(total) - (row[label] - largest) if known else math.nan
        if known:
            p[label] -= 1
