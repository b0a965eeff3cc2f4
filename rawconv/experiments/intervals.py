"""How sure a mean is: intervals by the bootstrap over what was drawn independently.

    mean(values, pictures)        {"mean", "low", "high", "std", "units"} of values (N, U): N nets, U units
    over_seeds(values)            {"mean", "low", "high", "std", "trainings"} of a few trainings
    text(interval, ".2f")         "0.29 (0.28 to 0.30)"; of one picture "0.29 (one picture, so no interval)"

The units of one picture depend on each other, and so do all that one net says.  So pictures and nets
are drawn with replacement (Efron & Tibshirani 1993), not units; low and high hold 95 % of the means.
Of two to ten trainings that differ in their seeds drawing with replacement finds too narrow an
interval: three values and no others can be drawn.  There it is Student's t that widens it.
One picture drawn again and again is always the same: of it there is no interval, and its ends are NaN.
"""

import math

import numpy as np

DRAWS = 2000
SEED = 19930
SHARE = 95  # per cent of the draws between low and high
# Student's t of 1, 2, ... degrees of freedom: 2.5 % lie above
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
           2.120, 2.110, 2.101, 2.093, 2.086)  # fmt: skip


def mean(values, pictures):
    """The mean of the finite ones of `values` and its interval, in JSON's types.

    values: (N, U), of N nets; pictures: (U,), which picture each unit is of.
    """
    values, pictures = np.atleast_2d(np.asarray(values, float)), np.asarray(pictures)
    finite = np.isfinite(values)
    if not finite.any():
        return dict.fromkeys(("mean", "low", "high", "std"), float("nan")) | {"units": 0}
    low = high = float("nan")
    if len(np.unique(pictures[finite.any(axis=0)])) > 1:
        ends = [(100 - SHARE) / 2, 100 - (100 - SHARE) / 2]
        low, high = np.percentile(bootstrap(values, pictures), ends)
    numbers = {"mean": values[finite].mean(), "low": low, "high": high, "std": values[finite].std()}
    return {name: float(value) for name, value in numbers.items()} | {
        "units": int(finite.any(axis=0).sum())
    }


def over_seeds(values):
    """The mean of trainings that differ in nothing but their seeds, and its 95 % interval by Student's t.

    values: (n,), one of each training.  Of a single one nothing tells the spread: {"mean", "trainings"}.
    """
    values = np.asarray(values, float)
    interval = {"mean": float(values.mean()), "trainings": len(values)}
    if len(values) < 2:
        return interval
    std = float(values.std(ddof=1))
    half = _student(len(values) - 1) * std / np.sqrt(len(values))
    return interval | {"low": interval["mean"] - half, "high": interval["mean"] + half, "std": std}


def difference(values, others):
    """mean(values) - mean(others) of two groups of trainings, and its 95 % interval by Welch's t.

    values: (n,); others: (m,).  {"mean"} alone where n or m is 1.  The degrees of freedom are
    rounded down, which makes the interval wider, never narrower.
    """
    groups = [np.asarray(group, float) for group in (values, others)]
    centre = float(groups[0].mean() - groups[1].mean())
    if min(map(len, groups)) < 2:
        return {"mean": centre}
    first, second = (group.var(ddof=1) / len(group) for group in groups)
    both, parts = first + second, zip((first, second), groups, strict=True)
    freedom = both**2 / sum(part**2 / (len(group) - 1) for part, group in parts) if both else 1
    half = float(_student(int(freedom)) * np.sqrt(both))
    return {"mean": centre, "low": centre - half, "high": centre + half}


def _student(freedom):
    """t above which 2.5 % lie; beyond the table that of its last line, which is larger."""
    return STUDENT[min(freedom, len(STUDENT)) - 1]


def text(interval, spec):
    """The mean of an interval and its ends, each by a format such as ".2f"; 0 has no minus."""

    def written(value):
        part = format(value, spec)
        return part if part.strip("-0.%") else part.lstrip("-")

    if not is_known(interval):
        return f"{written(interval['mean'])} (one picture, so no interval)"
    return "{} ({} to {})".format(*(written(interval[key]) for key in ("mean", "low", "high")))


def is_known(interval):
    """Whether it has ends: there was more than one picture to draw from.  JSON writes NaN as null."""
    return interval["low"] is not None and not math.isnan(interval["low"])


def bootstrap(values, pictures):
    """(DRAWS,) the mean over nets and pictures drawn with replacement, by the same seed each time."""
    finite, (_, cluster) = np.isfinite(values), np.unique(pictures, return_inverse=True)
    member = np.eye(cluster.max() + 1)[cluster]  # (U, P): which unit is of which picture
    sums, counts = np.where(finite, values, 0) @ member, finite @ member
    rng = np.random.default_rng(SEED)
    nets, images = (
        rng.multinomial(count, np.full(count, 1 / count), DRAWS).astype(float)
        for count in sums.shape
    )
    total, count = (
        np.einsum("dn,np,dp->d", nets, part, images, optimize=True) for part in (sums, counts)
    )
    return total[count > 0] / count[count > 0]
