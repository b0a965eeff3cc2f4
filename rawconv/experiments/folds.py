"""The protocol of tables 4 to 7: a few pictures of each class, drawn anew for every fold; mean ±
deviation over folds.

enough(data, 30)
train, test = drawn(data, 30, 50, seed, fold)       ids into data.train and data.val
"""

import numpy as np

from ..data.subset import few, take
from ..errors import RawconvError
from ..training.diagnostics import check_data


def enough(data, count):
    """RawconvError where there is nothing to tell apart, or a class has fewer than `count` training
    pictures.
    """
    check_data(data)
    have = np.bincount(data.train.labels, minlength=len(data.classes))
    if have.min() < count:
        name, most = data.classes[int(have.argmin())], int(have.min())
        pictures = f"{most} training picture" + "s" * (most != 1)
        mend = f"choose --per-class {most} at most" if most else "add some, or leave it out"
        raise RawconvError(f"Class {name} of {data.source} has {pictures}; {mend}.")


def drawn(data, count, test, seed, fold):
    """Two Splits: `count` training pictures a class, and up to `test` validation pictures a class,
    by (seed, fold).
    """
    both = (data.train, count), (data.val, test)
    return [
        take(split, few(split.labels, most, len(data.classes), seed, fold)) for split, most in both
    ]


def spread(values):
    """Sample standard deviation; NaN of one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def plus_minus(mean, std):
    """ "71.2 ± 0.8" of shares, in per cent."""
    return f"{100 * mean:.1f}" + (f" ± {100 * std:.1f}" if np.isfinite(std) else "")
