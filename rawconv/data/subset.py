"""Parts of a data set: some of its classes, some of its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from ..files.messages import escaped
from .batches import permutation
from .dataset import Split
from .sources import join_names

if TYPE_CHECKING:
    from .dataset import DataSet


def only(data: DataSet, classes: Sequence[str], source: str | None = None) -> DataSet:
    """Return the DataSet with these classes (names) alone, in this order.  UsageError: it has no
    such class.
    """
    classes = [escaped(name) for name in classes]
    for k, name in enumerate(classes):
        if name not in data.classes:
            raise UsageError(
                f"{data.source} has no class {name!r}; its classes are {', '.join(data.classes)}."
            )
        if name in classes[:k]:
            raise UsageError(f"Class {name!r} is named twice; name each class once.")
    some = [data.classes.index(name) for name in classes]
    new = np.full(len(data.classes), -1)
    new[some] = np.arange(len(classes))
    return _changed(
        data, lambda split: relabelled(take(split, np.flatnonzero(new[split.labels] >= 0)), new), some,
        source or f"{data.source}@{join_names(classes)}",
    )  # fmt: skip


def in_order(data: DataSet, classes: Sequence[str]) -> DataSet:
    """Return the DataSet with its classes in this order, which names all of them; the images keep
    their numbers.
    """
    some = [data.classes.index(name) for name in classes]
    new = np.argsort(some)
    return _changed(data, lambda split: relabelled(split, new), some, data.source)


def _changed(
    data: DataSet, change: Callable[[Split], Split], some: list[int], source: str
) -> DataSet:
    """Return the DataSet of the classes numbered `some`, with change(split) in place of each split."""
    done = {
        split: change(split) for split in (data.train, data.val, data.test) if split is not None
    }
    wnids = [data.wnids[k] for k in some] if data.wnids else data.wnids
    return data._replace(
        source=source, classes=[data.classes[k] for k in some], wnids=wnids, train=done[data.train],
        val=done[data.val], test=None if data.test is None else done[data.test],
    )  # fmt: skip


def relabelled(split: Split, new: np.ndarray) -> Split:
    """Return the Split with label new[k] where it had k."""
    return Split(split._read, new[split.labels], split.names, split.shape, split._order, split.mean)


def together(splits: Sequence[Split]) -> Split:
    """Return the Split of all images of these, one split after the other."""
    ends = np.cumsum([len(split) for split in splits])

    def read(ids: np.ndarray) -> np.ndarray:
        out, of = (
            np.empty((len(ids), *splits[0].shape), np.uint8),
            np.searchsorted(ends, ids, "right"),
        )
        for k in np.unique(of):
            out[of == k] = splits[k].read(ids[of == k] - (ends[k] - len(splits[k])))
        return out

    labels = np.concatenate([split.labels for split in splits])
    return Split(read, labels, [name for split in splits for name in split.names], splits[0].shape)


def take(split: Split, ids: npt.ArrayLike) -> Split:
    """Return the Split of the images `ids` of another, in their order; an id that is given twice is
    there twice.
    """
    ids = np.asarray(ids, np.int64)
    return Split(
        lambda k: split.read(ids[k]), split.labels[ids], [split.names[i] for i in ids], split.shape
    )


def few(labels: np.ndarray, count: int, classes: int, seed: int, fold: int = 0) -> np.ndarray:
    """Draw ids of `count` images of each class by (seed, fold), all of a class that has fewer: int64, sorted.

    A draw of fewer images by the same seed and fold is part of a draw of more.
    """
    order = permutation(len(labels), seed, fold)
    return np.sort(
        np.concatenate([order[labels[order] == label][:count] for label in range(classes)])
    )
