"""Softmax and its loss.  They stand beside the net, which ends in `scores`: nothing walks down through them."""

from ..arrays import array_module


def softmax(scores):
    """p = exp(s) / sum of exp(s) over the last axis; the largest score is subtracted first, so that none overflows."""
    xp = array_module(scores)
    e = xp.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(scores, labels):
    """loss = sum over pictures of -log p[label], and its gradient dscores = p - t (t one at the label, else zero).

    scores (N, 1, 1, K) or (N, K); labels (N,) integers.  Both are sums over the pictures: divide by the batch once.
    """
    xp = array_module(scores)
    shifted = scores - scores.max(axis=-1, keepdims=True)
    log_sum = xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
    log_p = (shifted - log_sum).reshape(len(labels), scores.shape[-1])
    dscores = xp.exp(log_p)
    rows = xp.arange(len(labels))
    dscores[rows, labels] -= 1
    return -log_p[rows, labels].sum(), dscores.reshape(scores.shape)
