"""What a data set is once it is open: labelled images in splits, and the names of the classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import RawconvError

BUDGET = 2 << 30  # bytes of decoded images that a split may keep in memory


class Split:
    """Labelled pictures of one size.

    len(split) pictures; labels int64 (N,), names (a file path, "scene 17", "cifar test 5"), shape (H, W, 3);
    mean: float32 (H, W, 3) over all pictures where it is known beforehand, else None.
    """

    def __init__(self, read, labels, names, shape, order=None, mean=None):
        """`read`: the function ids -> uint8 (n, H, W, 3) behind `Split.read`; order: the one behind `Split.order`."""
        self._read, self.labels, self.names, self.shape = read, np.asarray(labels, np.int64), names, tuple(shape)
        self._order, self.mean = order, mean

    def __len__(self):
        return len(self.labels)

    def read(self, ids) -> np.ndarray:
        """The pictures of these ids (0 .. N-1, in any order): uint8 (n, H, W, 3), contiguous, the caller's own."""
        return self._read(np.asarray(ids, np.int64))

    def order(self, seed, epoch) -> np.ndarray:
        """All ids in the order in which this epoch visits them: a function of (seed, epoch) alone."""
        from .batches import permutation

        return self._order(seed, epoch) if self._order else permutation(len(self), seed, epoch)


class DataSet(NamedTuple):
    """A name fit for a folder, the source as the user gave it, the class names, and two splits.

    wnids: the identity of each class in WordNet, "" where it has none.  test: further pictures, or those of `val` where
    the source calls these a test; None where it has none or nobody asked for them.
    """

    name: str
    source: str
    classes: list
    train: Split
    val: Split
    wnids: list = ()
    test: Split | None = None


def check_classes(source, classes):
    """RawconvError where a class has a name that no checkpoint could hold."""
    from ..files.schema import check_names
    from ..files.storage import Wrong

    try:
        check_names("class", classes)
    except Wrong as wrong:
        raise RawconvError(f"{source} {wrong}; give it a shorter one.") from None


def mean_picture(split: Split, progress: bool = False) -> np.ndarray:
    """The mean over all pictures: float32 (H, W, 3).  Summed in integers, so it is the same in any order."""
    if split.mean is not None:
        return split.mean
    from ..files.progress import progress_bar

    total = np.zeros(split.shape, np.int64)
    with progress_bar(len(split), "mean picture", show=progress) as bar:
        for start in range(0, len(split), 256):  # 256 pictures: their sum of bytes still fits 16 bits
            pictures = split.read(np.arange(start, min(start + 256, len(split))))
            total += pictures.sum(axis=0, dtype=np.uint16)
            bar.update(len(pictures))
    return (total / len(split)).astype(np.float32)
