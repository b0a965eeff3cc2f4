"""How well pictures are ranked for each of several classes that they may be of, as PASCAL VOC measures it.

average_precision(scores, marks)        of one class
row("fixed", scores, marks, classes)    of all, with the interval of their mean
chance(marks, classes)                  what an order by chance gives
"""

import numpy as np

DRAWS, SEED, SHARE = 500, 19930, 95  # of the bootstrap over pictures; per cent between low and high


def average_precision(scores, marks):
    """The area under precision over recall of pictures by falling score (N,); NaN without one of the class.

    marks: (N,) 1 of the class, -1 not, 0 left out.  Of equal scores the first in the list goes first.
    """
    known = marks != 0
    order = np.argsort(-scores[known], kind="stable")
    right = marks[known][order] == 1
    if not right.any():
        return float("nan")
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    highest = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or a larger one
    return float(highest[right].mean())


def row(way, scores, marks, classes):
    """The row of a way for the table: mean average precision with its interval, and of each class."""
    each = [average_precision(scores[:, k], marks[:, k]) for k in range(len(classes))]
    low, high = _interval(scores, marks)
    return {
        "way": way, "mean": float(np.nanmean(each)), "low": low, "high": high,
        "by_class": dict(zip(classes, each, strict=True)),
    }  # fmt: skip


def chance(marks, classes):
    """{class: the share of pictures that are of it}, which an order by chance gives, and their mean."""
    shares = [
        (marks[:, k] == 1).sum() / max((marks[:, k] != 0).sum(), 1) for k in range(len(classes))
    ]
    return dict(zip(classes, map(float, shares), strict=True)) | {"mean": float(np.mean(shares))}


def _interval(scores, marks):
    """(low, high) of the mean average precision, by the bootstrap over pictures."""
    rng, count = np.random.default_rng(SEED), len(scores)
    means = []
    for _ in range(DRAWS):
        ids = rng.integers(0, count, count)
        each = [average_precision(scores[ids, k], marks[ids, k]) for k in range(scores.shape[1])]
        means.append(np.nanmean(each))
    low, high = np.percentile(means, [(100 - SHARE) / 2, 100 - (100 - SHARE) / 2])
    return float(low), float(high)
