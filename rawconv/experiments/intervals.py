"""How sure a mean is: intervals by the bootstrap over what was drawn independently.

    mean(values, pictures)        {"mean", "low", "high", "std", "units"} of values (N, U): N nets, U units
    text(interval, ".2f")         "0.29 (0.28 to 0.30)"

The units of one picture depend on each other, and so do all that one net says.  So pictures and nets
are drawn with replacement (Efron & Tibshirani 1993), not units; low and high hold 95 % of the means.
"""

import numpy as np

DRAWS = 2000
SEED = 19930
SHARE = 95  # per cent of the draws between low and high


def mean(values, pictures):
    """The mean of the finite ones of `values` and its interval, in JSON's types.

    values: (N, U), of N nets; pictures: (U,), which picture each unit is of.
    """
    values, pictures = np.atleast_2d(np.asarray(values, float)), np.asarray(pictures)
    finite = np.isfinite(values)
    if not finite.any():
        return dict.fromkeys(("mean", "low", "high", "std"), float("nan")) | {"units": 0}
    low, high = np.percentile(
        bootstrap(values, pictures), [(100 - SHARE) / 2, 100 - (100 - SHARE) / 2]
    )
    numbers = {"mean": values[finite].mean(), "low": low, "high": high, "std": values[finite].std()}
    return {name: float(value) for name, value in numbers.items()} | {
        "units": int(finite.any(axis=0).sum())
    }


def text(interval, spec):
    """The mean of an interval and its ends, each by a format such as ".2f"; 0 has no minus."""
    texts = (format(interval[key], spec) for key in ("mean", "low", "high"))
    centre, low, high = (part if part.strip("-0.%") else part.lstrip("-") for part in texts)
    return f"{centre} ({low} to {high})"


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
