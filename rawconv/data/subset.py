"""Parts of a data set: some of its classes, some of its pictures."""

import numpy as np

from ..errors import UsageError
from ..files.messages import escaped
from .batches import permutation
from .dataset import Split
from .sources import joined


def only(data, classes, source=None):
    """The DataSet with these classes (names) alone, in this order.  UsageError where it has no such class."""
    classes = [escaped(name) for name in classes]
    for k, name in enumerate(classes):
        if name not in data.classes:
            raise UsageError(f"{data.source} has no class {name!r}; its classes are {', '.join(data.classes)}.")
        if name in classes[:k]:
            raise UsageError(f"Class {name!r} is named twice; name each class once.")
    some = [data.classes.index(name) for name in classes]
    new = np.full(len(data.classes), -1)
    new[some] = np.arange(len(classes))
    return _changed(
        data, lambda split: relabelled(take(split, np.flatnonzero(new[split.labels] >= 0)), new), some,
        source or f"{data.source}@{joined(classes)}",
    )  # fmt: skip


def in_order(data, classes):
    """The DataSet with its classes in this order, which has them all; pictures stay where they are."""
    some = [data.classes.index(name) for name in classes]
    new = np.argsort(some)
    return _changed(data, lambda split: relabelled(split, new), some, data.source)


def _changed(data, change, some, source):
    """The DataSet of the classes numbered `some`, with change(split) in the place of each split."""
    done = {split: change(split) for split in {data.train, data.val, data.test} - {None}}
    wnids = [data.wnids[k] for k in some] if data.wnids else data.wnids
    return data._replace(
        source=source, classes=[data.classes[k] for k in some], wnids=wnids, train=done[data.train],
        val=done[data.val], test=done.get(data.test),
    )  # fmt: skip


def relabelled(split, new):
    """The Split with label new[k] where it had k."""
    return Split(split._read, new[split.labels], split.names, split.shape, split._order, split.mean)


def together(splits):
    """The Split of all pictures of these, one split after the other."""
    ends = np.cumsum([len(split) for split in splits])

    def read(ids):
        out, of = np.empty((len(ids), *splits[0].shape), np.uint8), np.searchsorted(ends, ids, "right")
        for k in np.unique(of):
            out[of == k] = splits[k].read(ids[of == k] - (ends[k] - len(splits[k])))
        return out

    labels = np.concatenate([split.labels for split in splits])
    return Split(read, labels, [name for split in splits for name in split.names], splits[0].shape)


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
