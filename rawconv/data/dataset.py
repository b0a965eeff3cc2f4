"""What a data set is once it is open: labelled images in splits, and the names of the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import RawconvError
from ..files import html_text
from ..files.messages import shape_text, shown

MOST_CLASSES, MOST_SAMPLES = 200, 10  # that a notebook shows
BUDGET = 2 << 30  # bytes of decoded images that a split may keep in memory


class Split:
    """Labelled images of one size.

    len(split): how many.  labels: int64 (N,).  names: of each image (a file's path, "scene 17",
    "cifar test 5").
    shape: (H, W, 3).  mean: float32 (H, W, 3) over all images where it is known beforehand, else None.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        labels: npt.ArrayLike,
        names: Sequence[str],
        shape: Sequence[int],
        order: Callable[[int, int], np.ndarray] | None = None,
        mean: np.ndarray | None = None,
    ) -> None:
        """`read`: the function ids -> uint8 (n, H, W, 3) behind `Split.read`; order: the one behind
        `Split.order`.
        """
        self._read, self.labels, self.names, self.shape = (
            read,
            np.asarray(labels, np.int64),
            names,
            tuple(shape),
        )
        self._order, self.mean = order, mean

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"<Split of {self._said()}>"

    def _repr_html_(self) -> str:
        return html_text.title("Split", f"of {self._said()}") + _samples(self)

    def _said(self) -> str:
        """How many images of which size and how many classes, in a line."""
        classes = len(np.unique(self.labels))
        return f"{len(self):,} pictures of {shape_text(self.shape[:2])} in {classes} class{'es' * (classes != 1)}"

    def read(self, ids: npt.ArrayLike) -> np.ndarray:
        """Return the images of these ids (0 .. N-1, in any order): uint8 (n, H, W, 3), contiguous,
        the caller's own.
        """
        return self._read(np.asarray(ids, np.int64))

    def order(self, seed: int, epoch: int) -> np.ndarray:
        """Return all ids in the order in which this epoch visits them: a function of (seed, epoch) alone."""
        from .batches import permutation

        return self._order(seed, epoch) if self._order else permutation(len(self), seed, epoch)


class DataSet(NamedTuple):
    """A name fit for a folder, the source as the user wrote it, the names of the classes, and two splits.

    wnids: the identity of each class in WordNet, "" where it has none.
    test: further images, or those of `val` where the source calls these a test; None where it has
    none or they were not asked for.
    """

    name: str
    source: str
    classes: list[str]
    train: Split
    val: Split
    wnids: Sequence[str] = ()
    test: Split | None = None

    def __repr__(self) -> str:
        return f"<DataSet {self._said()}>"

    def _repr_html_(self) -> str:
        splits = self._splits()
        counts = [np.bincount(split.labels, minlength=len(self.classes)) for _, split in splits]
        listed = self.classes[:MOST_CLASSES]
        rows = [[name, *(f"{count[k]:,}" for count in counts)] for k, name in enumerate(listed)]
        rows.append(["total", *(f"{len(split):,}" for _, split in splits)])
        others = len(self.classes) - len(listed)
        return (
            html_text.title("DataSet", self._said())
            + html_text.table(["class", *(name for name, _ in splits)], rows)
            + html_text.note(f"And {others} other classes." * (others > 0))
            + _samples(self.train, self.classes)
        )

    def _said(self) -> str:
        """Its name, classes and splits in a line."""
        counts = ", ".join(f"{name} {len(split):,}" for name, split in self._splits())
        side = shape_text(self.train.shape[:2])
        return f"{shown(self.name)}: {len(self.classes)} classes, pictures of {side}: {counts}"

    def _splits(self) -> list[tuple[str, Split]]:
        named = ("train", self.train), ("val", self.val), ("test", self.test)
        return [(name, split) for name, split in named if split is not None]


def _samples(split: Split, classes: Sequence[str] = ()) -> str:
    """Return the first image of each of the first labels of a split as HTML, under the class's name
    or the label.
    """
    labels, first = np.unique(split.labels, return_index=True)
    labels, first = labels[:MOST_SAMPLES], first[:MOST_SAMPLES]
    names = [classes[k] if 0 <= k < len(classes) else f"class {k}" for k in labels.tolist()]
    pictures = zip(split.read(first), names, strict=True)
    return "".join(html_text.picture(pixels, name, 96) for pixels, name in pictures)


def check_classes(source: object, classes: Sequence[str]) -> None:
    """RawconvError: a class has a name that no checkpoint can hold."""
    from ..files.schema import check_names
    from ..files.storage import Wrong

    try:
        check_names("class", classes)
    except Wrong as wrong:
        raise RawconvError(f"{source} {wrong}; give it a shorter one.") from None


def mean_image(split: Split, progress: bool = False) -> np.ndarray:
    """Return the mean over all images: float32 (H, W, 3).  It is summed in integers, so their order
    does not matter.
    """
    if split.mean is not None:
        return split.mean
    from ..files.progress import progress_bar

    total = np.zeros(split.shape, np.int64)
    with progress_bar(len(split), "mean picture", show=progress) as bar:
        # 256 pictures: their sum of bytes still fits 16 bits
        for start in range(0, len(split), 256):
            images = split.read(np.arange(start, min(start + 256, len(split))))
            total += images.sum(axis=0, dtype=np.uint16)
            bar.update(len(images))
    return (total / len(split)).astype(np.float32)
