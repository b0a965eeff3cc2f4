"""Packed data sets: pictures of one size in one HDF5 file, read where they lie, however large the file is.

    bytes 0-511       a line of text: version, where the pictures end, SHA-256 of all but them (`head -1` shows it)
    from byte 65536   HDF5
    /                 attributes format, version, train: the first so many pictures are for training, the others not
    /pictures         uint8 (N, S, S, 3) in chunks of about 1.5 MB, not compressed, one after the other from byte 131072
    /labels           int32 (N,)
    /classes          the names of the classes, UTF-8
    /names            uint8: the path of each picture, UTF-8, and a zero byte after it
    /sha256           uint8 (N, 32): of the bytes of each picture
    /mean             float32 (S, S, 3), of the training pictures
    /info             JSON: source, seed, unreadable, duplicates

packing.py writes it.  HDF5 sees the small parts only; pictures are read from the file itself, by
several threads at once, which h5py cannot.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import weakref
from pathlib import Path
from typing import IO, Any, NamedTuple

import h5py
import numpy as np

from ..errors import RawconvError
from ..files import schema
from ..files.digests import digest
from ..files.messages import escaped
from ..files.positioned import read_at
from ..files.progress import progress_bar
from ..files.storage import SEAL, SIGNATURE, Group, Wrong, foreign, hdf5, open_regular
from ..machine.threads import cut
from . import decode
from .batches import permutation
from .dataset import Split

KIND, VERSION = "data set", 1
BEGIN, START = 1 << 16, 1 << 17  # bytes: where HDF5 begins, and where the pictures do
CHUNK = 3 << 19  # bytes of a chunk, or one picture: what a disk reads at one go
WINDOW = 256 << 20  # bytes within which pictures are mixed, so that a disk reads whole chunks
STREAM = 1_000_003  # of the random numbers
LARGEST_SIDE, MOST_CLASSES = 1 << 12, 1 << 16
LINE = "rawconv data set, version {}, HDF5 from byte 65536, pictures from byte 131072 to {}, SHA-256 of all else {}"
UNFINISHED = b"rawconv data set, not finished\n".ljust(SEAL)
REMEDY = "Copy it again, or pack it anew with rawconv-data pack."


class Packed(NamedTuple):
    """All that a packed file holds except the pixels.  train: so many images, the first ones, are
    for training.
    """

    path: str
    size: int
    train: int
    labels: np.ndarray
    classes: list[str]
    names: list[str]
    sha256: np.ndarray
    mean: np.ndarray
    info: dict[str, Any]


def accepts(path: Path) -> bool:
    """Whether it is an HDF5 file, or begins like one of rawconv's."""
    if not path.is_file():
        return False
    with open_regular(path) as file:
        return file.read(8).startswith((SIGNATURE, b"rawconv ")) or path.suffix.lower() in (
            ".h5",
            ".hdf5",
        )


def open_source(
    path: Path, size: int, progress: bool, seed: int
) -> tuple[str, list[str], Split, Split, list[str]]:
    """Return (name, classes, train, val, wnids).  Images of another size are resized: once, if they
    then fit into memory.
    """
    packed = load(path)
    read = Reader(path, packed.size)
    parts = (slice(0, packed.train), "train"), (slice(packed.train, None), "val")
    make = _split if size == packed.size else _resized
    train, val = (make(packed, read, part, desc, size, progress) for part, desc in parts)
    return path.stem, packed.classes, train, val, _wnids(packed)


def _wnids(packed: Packed) -> list[str]:
    wnids = packed.info.get("wnids", [])
    return wnids if len(wnids) == len(packed.classes) else [""] * len(packed.classes)


def _split(
    packed: Packed, read: Reader, part: slice, desc: str, size: int, progress: bool
) -> Split:
    def order(seed: int, epoch: int) -> np.ndarray:
        return chunk_order(len(labels), part.start, seed, epoch, *_chunks(size))

    labels = packed.labels[part]
    mean = packed.mean if desc == "train" else None
    return Split(
        lambda ids: read(ids + part.start),
        labels,
        packed.names[part],
        packed.mean.shape,
        order,
        mean,
    )


def _resized(
    packed: Packed, read: Reader, part: slice, desc: str, size: int, progress: bool
) -> Split:
    from PIL import Image

    def make(i: int) -> np.ndarray:
        return decode.resize_center_crop(Image.fromarray(read.read_one(part.start + i)), size)

    return decode.load_split(make, packed.names[part], packed.labels[part], size, progress, desc)


def images_per_chunk(size: int) -> int:
    """Return how many images of size x size pixels a chunk holds."""
    return max(1, CHUNK // (size * size * 3))


def _chunks(size: int) -> tuple[int, int]:
    """Return (images in a chunk, chunks in a window)."""
    chunk = images_per_chunk(size)
    return chunk, max(1, WINDOW // (chunk * size * size * 3))


def chunk_order(
    count: int, first: int, seed: int, epoch: int, chunk: int, window: int
) -> np.ndarray:
    """Return 0 .. count-1 in an order in which chunks are shuffled, and images mixed within every
    `window` chunks in a row.

    first: how many images lie in the file before number 0.  A function of (seed, epoch) and the layout alone.
    """
    mixed = permutation(count, seed, epoch)
    of = (first + mixed) // chunk - first // chunk
    # of each chunk, in shuffled order
    rank = np.argsort(permutation(of.max(initial=-1) + 1, seed, epoch, STREAM))
    return mixed[np.argsort(rank[of] // window, kind="stable")]


class Reader:
    """Reads images by their number in the file: ids -> uint8 (n, S, S, 3), on all threads, without
    HDF5 and its one lock.
    """

    def __init__(self, path: str | os.PathLike[str], size: int) -> None:
        self.path, self.shape = path, (size, size, 3)
        self.bytes, self.chunk = size * size * 3, images_per_chunk(size)
        flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self.file = os.open(path, os.O_RDONLY | flags)
        weakref.finalize(self, os.close, self.file)

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        out = np.empty((len(ids), *self.shape), np.uint8)
        self._announce(ids)

        def read(part: slice) -> None:
            for k in range(part.start, part.stop):
                self._fill(out[k], ids[k])

        list(decode.pool().map(read, cut(len(ids), 16)))
        return out

    def read_one(self, i: int) -> np.ndarray:
        """Read image i on this thread."""
        out = np.empty(self.shape, np.uint8)
        self._fill(out, i)
        return out

    def _fill(self, out: np.ndarray, i: int) -> None:
        position, rest = START + int(i) * self.bytes, out.data.cast("B")
        while rest:
            count = read_at(self.file, rest, position)
            if not count:
                raise RawconvError(f"{self.path} became shorter while it was read. {REMEDY}")
            position, rest = position + count, rest[count:]

    def _announce(self, ids: np.ndarray) -> None:
        """Tell the system which whole chunks will be read, so that a disk fetches each in one piece."""
        if sys.platform == "linux" and hasattr(os, "posix_fadvise"):
            for chunk in np.unique(ids // self.chunk).tolist():
                length = self.chunk * self.bytes
                os.posix_fadvise(self.file, START + chunk * length, length, os.POSIX_FADV_WILLNEED)


# All but the pixels


def load(path: str | os.PathLike[str]) -> Packed:
    """Read and check all but the pixels.  RawconvError: no packed data set, a damaged one, or of
    another version.
    """
    try:
        with open_regular(path) as file:
            size, end = _check_seal(file)
            with hdf5(file) as root:
                return _read(Group(root, size), end, path)
    except Wrong as wrong:
        raise RawconvError(f"{path} {wrong}. {wrong.remedy or REMEDY}") from wrong
    except OSError as error:
        if error.errno:
            raise
        raise RawconvError(f"{path} is damaged or cannot be read ({error}). {REMEDY}") from error
    except Exception as error:  # HDF5 complains in every type there is
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise RawconvError(f"{path} is damaged or cannot be read ({what}). {REMEDY}") from error


def write_seal(file: IO[bytes], end: int) -> None:
    """Write the seal into the first SEAL bytes of an open file whose images end at byte `end`."""
    line = LINE.format(VERSION, end, digest(file, (SEAL, START), (end, None)))
    file.seek(0)
    file.write(line.encode().ljust(SEAL - 1) + b"\n")


def _check_seal(file: IO[bytes]) -> tuple[int, int]:
    """Return (bytes of the file, byte where the images end).  Wrong, before HDF5 reads any of it:
    something does not fit.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(SEAL)
    if head == UNFINISHED:
        raise Wrong("is not finished", "Give the same rawconv-data pack command again: it goes on.")
    match = re.fullmatch(
        LINE.format(r"(\d{1,9})", r"(\d{1,18})", "([0-9a-f]{64})").encode() + rb" *\n", head
    )
    if match is None:
        raise foreign(head, KIND)
    version, end = int(match[1]), int(match[2])
    if version != VERSION:
        raise Wrong(
            f"is a data set of version {version}, and this rawconv reads version {VERSION}",
            "Install a newer rawconv: pip install --upgrade rawconv.",
        )
    if not START < end <= size:
        raise Wrong(f"is cut off: it has {size} bytes, and its pictures alone end at byte {end}")
    if match[3].decode() != digest(file, (SEAL, START), (end, None)):
        raise Wrong(
            "is damaged or was edited: its content does not fit the checksum in its first line"
        )
    return size, end


def _read(root: Group, end: int, path: str | os.PathLike[str]) -> Packed:
    if root.text("format") != "rawconv data set" or root.integers("version", ()) != VERSION:
        raise Wrong("was not written by rawconv-data pack")
    count, size = _check_images(root, end)
    train, text = root.integers("train", ()), np.dtype(np.uint8)
    parts = [root.numbers("labels", (count,), np.dtype("<i4")), root.numbers("names", dtype=text)]
    parts += [
        root.numbers("sha256", (count, 32), text),
        root.numbers("mean", (size, size, 3), np.dtype("<f4")),
    ]
    class_texts, info_text = root.texts("classes", 1), root.texts("info", 0)
    root.check_total()

    # From here on memory is allocated.
    labels, joined_names, sha256, mean = (part.read() for part in parts)
    names = joined_names.tobytes().decode("utf-8", "surrogateescape").split("\0")
    classes = [escaped(name.decode("utf-8", "surrogateescape")) for name in class_texts.read()]
    info = schema.parse(info_text.read().item(), schema.PACKED, "info")
    schema.check_names("class", classes)
    packed = Packed(str(path), size, train, labels, classes, names[:-1], sha256, mean, info)
    if len(names) != count + 1 or not _fits(packed, count):
        raise Wrong("is damaged: its labels, names and classes do not fit each other")
    return packed


def _fits(packed: Packed, count: int) -> bool:
    """Return whether labels, classes and mean of a Packed of so many images fit each other."""
    kinds = len(packed.classes)
    labelled = (
        0 < kinds <= MOST_CLASSES and packed.labels.min() >= 0 and packed.labels.max() < kinds
    )
    return bool(0 < packed.train < count and labelled and np.isfinite(packed.mean).all())


def _check_images(root: Group, end: int) -> tuple[int, int]:
    """Return (how many images, their side).  Wrong: they are not laid out as rawconv does."""
    data = root.child("pictures", h5py.Dataset)
    shape = data.shape
    if data.dtype != np.uint8 or len(shape) != 4 or shape[1:] != (shape[1], shape[1], 3):
        raise Wrong(f"has pictures of {data.dtype} {shape}, not of uint8 (N, S, S, 3)")
    count, size = shape[:2]
    if not (0 < size <= LARGEST_SIDE and count > 1) or data.chunks != (
        images_per_chunk(size),
        *shape[1:],
    ):
        raise Wrong(f"has pictures of {shape} in chunks of {data.chunks}, as rawconv never does")
    if end - START != -(-count // data.chunks[0]) * data.chunks[0] * size * size * 3:
        raise Wrong(f"is damaged: {count} pictures do not end at byte {end}")
    return count, size


# Looking after a file


def damaged(packed: Packed, progress: bool = True) -> tuple[list[str], bool]:
    """Read all images; return (names of those that do not fit their checksums, whether the mean
    fits the images).
    """
    read, total, wrong = Reader(packed.path, packed.size), np.zeros(packed.mean.shape, np.int64), []
    with progress_bar(len(packed.labels), "verify", show=progress) as bar:
        for part in cut(len(packed.labels), 128):
            ids = np.arange(part.start, part.stop)
            images = read(ids)
            sums = decode.pool().map(lambda image: hashlib.sha256(image).digest(), images)
            wrong += [
                i
                for i, checksum in zip(ids.tolist(), sums, strict=True)
                if checksum != packed.sha256[i].tobytes()
            ]
            total += images[: max(0, packed.train - part.start)].sum(axis=0, dtype=np.uint16)
            bar.update(len(ids))
    same = np.array_equal((total / packed.train).astype(np.float32), packed.mean)
    return [packed.names[i] for i in wrong], same
