"""The protocol of tables 4 to 7: of all pictures of a class some to learn from and some of the rest to be tried on,
drawn anew for every fold; mean ± standard error over folds.

    images = pool(data)                                  training and validation pictures together
    enough(data, 30)
    train, test = drawn(images, 30, 50, seed, fold)      ids
"""

import numpy as np

from ..data.batches import permutation
from ..data.subset import together
from ..errors import RawconvError
from ..training.diagnostics import check_data


def pool(data):
    """The Split of all pictures of a data set, whether it calls them training or validation."""
    return data.train if data.val is data.train else together([data.train, data.val])


def enough(data, count):
    """RawconvError where there is nothing to tell apart, or a class has not more than `count`
    pictures: one at least is to be tried on.
    """
    images = pool(data)
    check_data(data._replace(train=images, val=images))
    have = np.bincount(images.labels, minlength=len(data.classes))
    if have.min() <= count:
        name, most = data.classes[int(have.argmin())], int(have.min())
        pictures = f"{most} picture" + "s" * (most != 1)
        mend = f"choose --per-class {most - 1} at most" if most > 1 else "add some, or leave it out"
        raise RawconvError(
            f"Class {name} of {data.source} has {pictures}, and {count} to learn from leave none to be tried on; "
            f"{mend}."
        )


def drawn(images, count, test, seed, fold, most=None):
    """(ids to learn from, ids to be tried on), each sorted, of a pool by (seed, fold).

    Of each class `count` and up to `test` of those that remain.  most: the largest count of an
    experiment: the pictures to be tried on are then the same for all of its counts, and those to
    learn from part of one another.
    """
    order = permutation(len(images), seed, fold)
    labels, most = images.labels[order], most or count
    by_class = [order[labels == label] for label in np.unique(images.labels)]
    train = np.concatenate([ids[:count] for ids in by_class])
    rest = np.concatenate([ids[most : most + test] for ids in by_class])
    return np.sort(train), np.sort(rest)


def spread(values):
    """Sample standard deviation; NaN of one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def summary(values):
    """{"accuracy", "std", "standard_error", "folds"} of the accuracy in each fold, in JSON's types."""
    deviation = spread(values)
    return {
        "accuracy": float(np.mean(values)), "std": deviation, "standard_error": deviation / len(values) ** 0.5,
        "folds": [float(value) for value in values],
    }  # fmt: skip


def plus_minus(mean, error):
    """ "71.2 ± 0.8" of shares, in per cent."""
    return f"{100 * mean:.1f}" + (f" ± {100 * error:.1f}" if np.isfinite(error) else "")
