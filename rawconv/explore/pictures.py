"""The pictures of a session: of the command line, brought by a page, or of the data set; and the data set.

pictures.bring("cat.jpg", content)              a Picture, of an image file's bytes
pictures.find("val:17")                         the same again by its id
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..data.class_match import renamed
from ..data.images import decoded
from ..data.preprocessing import stored_size
from ..errors import UsageError
from ..files.messages import shown
from .held import Held, Missing

if TYPE_CHECKING:
    from ..data.dataset import DataSet, Split
    from ..net import Net

HELD_BYTES = 64 << 20  # of stored pictures that were brought
LONGEST_NAME = 120
SPLITS = ("val", "train", "test")


class Picture(NamedTuple):
    """A picture as it is stored.  id: "val:17", or of one that was brought the hash of its pixels.

    stored: uint8 (S, S, 3).  truth: the number of its class in the net, None where it is not known.
    """

    id: str
    name: str
    stored: np.ndarray
    truth: int | None = None


class Pictures:
    """What a session knows of pictures.  net: for the size in which they are stored, and its classes.

    open_data: the function that opens the data set, or None; it is called when it is first needed.
    """

    def __init__(self, net: Net, open_data: Callable[[], DataSet] | None = None) -> None:
        self.net = net
        self._open_data, self._opening = open_data, threading.Lock()
        self._data: DataSet | None = None
        self.settled = open_data is None  # it is open, or is known not to open
        self._brought, self._kept = Held(HELD_BYTES), dict[str, Picture]()

    def bring(self, name: str, content: bytes) -> Picture:
        """Decode an image file and hold its picture.  RawconvError: it is no image that can be read."""
        size = stored_size(self.net)
        return self.hold(name, decoded(content, size, "This file"))

    def hold(self, name: str, stored: np.ndarray, for_good: bool = False) -> Picture:
        """Hold a stored picture, uint8 (S, S, 3); for good, or until others need its room."""
        digest = hashlib.sha256(repr(stored.shape).encode() + stored.tobytes()).hexdigest()[:20]
        picture = Picture(digest, shown(name, LONGEST_NAME), stored)
        if for_good:
            self._kept[digest] = picture
        else:
            self._brought.put(digest, picture, stored.nbytes)
        return picture

    @property
    def kept(self) -> list[str]:
        """The ids of those that are held for good."""
        return list(self._kept)

    def find(self, picture: str) -> Picture:
        """Return the picture of an id.  Missing: it is held no longer, or there is none."""
        if match := re.fullmatch(rf"({'|'.join(SPLITS)}):(\d{{1,12}})", picture):
            return self.of_data(match[1], int(match[2]))
        held = self._kept.get(picture) or self._brought.get(picture)
        if held is None:
            raise Missing(f"The picture {picture[:40]!r} is no longer held here; bring it again.")
        return held

    def of_data(self, split: str, number: int) -> Picture:
        """Read a picture of the data set."""
        images = self.split(split)
        if number >= len(images):
            raise Missing(
                f"The {split} pictures of {self.data.name} are numbered 0 to {len(images) - 1}."
            )
        truth = self.class_of(int(images.labels[number]))
        name = f"{shown(images.names[number], LONGEST_NAME)}"
        return Picture(f"{split}:{number}", name, images.read([number])[0], truth)

    # -------------------------------------------------------------------------------- the data set

    @property
    def has_data(self) -> bool:
        """Whether a data set was named, which need not be there."""
        return self._open_data is not None

    @property
    def data(self) -> DataSet:
        """The data set, opened now if it is not yet.  UsageError or RawconvError: it cannot be."""
        with self._opening:
            if self._data is None:
                try:
                    self._data = self._open()
                finally:
                    self.settled = True
                self._numbers = _class_numbers(self._data, self.net)
            return self._data

    def _open(self) -> DataSet:
        if self._open_data is None:
            raise UsageError(
                "No data set is known for this net; name one with --data, and start again."
            )
        return self._open_data()

    def splits(self) -> dict[str, Split]:
        """{name: Split} of those that hold pictures."""
        every = ((name, getattr(self.data, name)) for name in SPLITS)
        return {name: split for name, split in every if split is not None and len(split)}

    def split(self, name: str) -> Split:
        """Return a split that holds pictures."""
        splits = self.splits()
        if name not in splits:
            raise Missing(f"There is no split {name[:40]!r}; there are {', '.join(splits)}.")
        return splits[name]

    def class_of(self, label: int) -> int | None:
        """Return the number in the net of a class of the data set, None where the net has none of its name."""
        return self._numbers.get(label)


def _class_numbers(data: DataSet, net: Net) -> dict[int, int]:
    """{number of a class in the data: its number in the net}."""
    names = renamed(data, net.classes)
    numbered = net.classes == [str(number) for number in range(len(names))]
    number_of = {name: number for number, name in enumerate(net.classes)}
    return {
        label: label if numbered else number_of[name]
        for label, name in enumerate(names)
        if numbered or name in number_of
    }
