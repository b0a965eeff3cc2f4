"""Parts of a data set: some of its classes, some of its pictures."""

import re

import numpy as np

from ..errors import UsageError
from . import DataSet, Split
from .batches import permutation


def only(data, classes, source=None):
    """The DataSet with these classes (names) alone, in this order.  UsageError where it has no such class."""
    for k, name in enumerate(classes):
        if name not in data.classes:
            raise UsageError(f"{data.source} has no class {name!r}; its classes are {', '.join(data.classes)}.")
        if name in classes[:k]:
            raise UsageError(f"Class {name!r} is named twice; name each class once.")
    new = np.full(len(data.classes), -1)
    new[[data.classes.index(name) for name in classes]] = np.arange(len(classes))
    splits = [take(split, np.flatnonzero(new[split.labels] >= 0)) for split in (data.train, data.val)]
    splits = [Split(split.read, new[split.labels], split.names, split.shape) for split in splits]
    return DataSet(data.name, source or f"{data.source}@{joined(classes)}", list(classes), *splits)


def joined(classes):
    r"""Class names as in SOURCE@cat,dog: a comma within a name is written \,."""
    return ",".join(name.replace(",", r"\,") for name in classes)


def parted(text):
    """The class names that `joined` wrote."""
    return [name.replace(r"\,", ",") for name in re.split(r"(?<!\\),", text)]


def take(split, ids):
    """The Split of the pictures `ids` of another, in their order; one that is named twice is there twice."""
    ids = np.asarray(ids, np.int64)
    return Split(lambda k: split.read(ids[k]), split.labels[ids], [split.names[i] for i in ids], split.shape)


def few(labels, count, classes, seed, fold=0):
    """Ids of `count` pictures of each class, drawn by (seed, fold), all of a class that has fewer: int64, sorted.

    A draw of fewer pictures by the same seed and fold is part of a draw of more.
    """
    order = permutation(len(labels), seed, fold)
    return np.sort(np.concatenate([order[labels[order] == label][:count] for label in range(classes)]))
