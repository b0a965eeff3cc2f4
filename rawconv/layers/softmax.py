"""Softmax and its loss.  They stand beside the net, which ends in `scores`: nothing walks down through them."""

import math

import numpy as np

from ..machine.arrays import array_module, on_cpu
from ..machine.kernels import THREADS, launch
from ..machine.numba_cache import loop


def softmax(scores):
    """p = exp(s) / sum of exp(s) over the last axis; the largest score is subtracted first, so that none overflows."""
    xp = array_module(scores)
    e = xp.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(scores, labels, weights=None):
    """loss = sum over pictures of -w[label] log p[label], and its gradient dscores = w[label] (p - t), t one at the
    label, else zero.

    scores (N, 1, 1, K) or (N, K); labels (N,) integers; weights: w (K,) of the classes, all 1 if None.  Both are sums
    over the pictures: divide by the batch once.  (PyTorch's mean divides by the sum of w[label] instead, so that a
    picture's pull depends on its company in the batch; its reduction="sum" is ours.)
    A label outside 0 .. K-1 makes the loss NaN: to raise an error, a GPU would have to wait.
    """
    xp = array_module(scores)
    rows = xp.ascontiguousarray(scores).reshape(len(labels), scores.shape[-1])
    labels, dscores, losses = xp.asarray(labels, np.int64), xp.empty_like(rows), xp.empty(len(rows), rows.dtype)
    if on_cpu(scores):
        cross_entropy(rows, labels, dscores, losses)
    else:
        launch(CU, "cross_entropy", len(rows) * THREADS, rows, labels, dscores, losses, rows.shape[1])
    if weights is not None:
        own = xp.asarray(weights, rows.dtype)[labels.clip(0, rows.shape[1] - 1)]
        losses *= own
        dscores *= own[:, None]
    return losses.sum(), dscores.reshape(scores.shape)


CU = __file__.replace("softmax.py", "softmax.cu")


@loop
def cross_entropy(scores, labels, dscores, losses):
    """p = e^(s - max) / sum and loss = log(sum) - (s - max)[label], a picture a row; NaN if there is no such label."""
    for n in range(len(scores)):
        row, p, label = scores[n], dscores[n], labels[n]
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
