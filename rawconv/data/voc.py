"""PASCAL VOC's folders, whose pictures may be of several classes at once.

    JPEGImages/2008_000002.jpg
    ImageSets/Main/cat_train.txt          2008_000002 -1     a line a picture: 1 of the class, -1 not, 0 hard to say
    ImageSets/Main/cat_val.txt

`open_marked` gives a DataSet whose splits are MarkedSplit.  Only what takes such marks opens a
folder this way (table 6); a net is trained on pictures of one class each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import RawconvError
from ..files.storage import open_regular
from . import decode
from .dataset import DataSet, Split

LISTS, IMAGES = Path("ImageSets", "Main"), "JPEGImages"
LINE = re.compile(r"(\S+)\s+(-?1|0)")


class MarkedSplit(Split):
    """A Split with marks: int8 (N, classes), 1 where a picture is of the class, -1 where not, 0 where the list
    leaves it open.  labels: of each picture the first class it is of; the last class where it is of none.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        marks: npt.ArrayLike,
        names: list[str],
        shape: tuple[int, ...],
    ) -> None:
        self.marks = np.asarray(marks, np.int8)
        first = (self.marks == 1).argmax(axis=1)
        none = ~(self.marks == 1).any(axis=1)
        super().__init__(read, np.where(none, self.marks.shape[1] - 1, first), names, shape)

    def one_class_each(self) -> Split:
        """Return the Split in which each picture stands once for each of its classes."""
        ids, labels = np.nonzero(self.marks == 1)
        names = [self.names[i] for i in ids.tolist()]
        return Split(lambda k: self.read(ids[k]), labels, names, self.shape)


def accepts(path: str | os.PathLike[str]) -> bool:
    """Whether a path is such a folder."""
    return any(Path(path, LISTS).glob("*_train.txt")) and Path(path, IMAGES).is_dir()


def open_marked(path: str | os.PathLike[str], size: int, progress: bool = True) -> DataSet:
    """Open such a folder with images of size x size pixels; its `train` and `val` lists are the splits.

    RawconvError: a list or a picture is missing, or a line is none.
    """
    folder = Path(path)
    classes = sorted(
        file.name[: -len("_train.txt")] for file in (folder / LISTS).glob("*_train.txt")
    )
    if len(classes) < 2:
        raise RawconvError(f"{folder / LISTS} has the list of one class; add those of the others.")
    train, val = (_split(folder, classes, part, size, progress) for part in ("train", "val"))
    return DataSet(folder.resolve().name, str(path), classes, train, val)


def _split(folder: Path, classes: list[str], part: str, size: int, progress: bool) -> MarkedSplit:
    lists = {name: _marks(folder / LISTS / f"{name}_{part}.txt") for name in classes}
    images = _images(folder / LISTS, part, lists)
    files = [folder / IMAGES / f"{image}.jpg" for image in images]
    for file in files:
        if not file.is_file():
            raise RawconvError(f"There is no {file}; unpack the pictures beside their lists.")

    def make(i: int) -> np.ndarray:
        with open_regular(files[i]) as file:
            return decode.decode(file, size)

    names, numbers = list(map(str, files)), np.arange(len(files))
    split = decode.load_split(make, names, numbers, size, progress, part)
    marks = np.array([[marks[image] for marks in lists.values()] for image in images], np.int8)
    return MarkedSplit(split.read, marks[split.labels], list(split.names), split.shape)


def _images(folder: Path, part: str, lists: dict[str, dict[str, int]]) -> list[str]:
    """Return the names of the pictures, which every list has."""
    first, *others = lists
    images = sorted(lists[first])
    if not images:
        raise RawconvError(f"{first}_{part}.txt of {folder} is empty; unpack the lists again.")
    for name in others:
        if sorted(lists[name]) != images:
            raise RawconvError(
                f"{name}_{part}.txt of {folder} names other pictures than {first}_{part}.txt; every list has a line "
                "for each picture."
            )
    return images


def _marks(path: Path) -> dict[str, int]:
    """Return {picture: mark} of a list."""
    try:
        with open_regular(path, "r") as file:
            lines = [(k, line.strip()) for k, line in enumerate(file, 1) if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RawconvError(
            f"{path} cannot be read; every class has a list of this name."
        ) from error
    marks = {}
    for number, line in lines:
        match = LINE.fullmatch(line)
        if not match:
            raise RawconvError(
                f"line {number} of {path} is not a picture and 1, -1 or 0, as in 2008_000002 -1."
            )
        marks[match[1]] = int(match[2])
    return marks
