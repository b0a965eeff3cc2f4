"""MNIST (LeCun 1998) and Fashion-MNIST (Xiao 2017): four idx files in a folder, plain or .gz.

idx: two zero bytes, the type (8: uint8), the number of dimensions; each dimension as 4 bytes,
highest first; the data.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RawconvError
from ..files.storage import excess
from .cifar import resized

if TYPE_CHECKING:
    from .dataset import Split

NAME = re.compile(r"(train|t10k|test)-(images|labels)[.-]idx[13]-ubyte(\.gz)?")
FASHION = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
]
DEFLATE = 1032  # times smaller, at the very most
# of a byte in memory: as it is and in three colours; of a picture beside its pixels
COPIES, NAME_BYTES = 4, 150


def accepts(path: Path) -> bool:
    """Whether `path` is a folder with a file of MNIST's names."""
    return path.is_dir() and bool(_files(path))


def open_source(
    path: Path, size: int, progress: bool, seed: int
) -> tuple[str, list[str], Split, Split]:
    """Return (name, classes, train, val).  The files do not tell which data set it is: "fashion" in
    the path does.
    """
    files = _files(path)
    if "fashion" in str(path.resolve()).lower():
        name, classes = "fashion-mnist", FASHION
    else:
        name, classes = "mnist", [str(k) for k in range(10)]
    train = _open_split(path, files, "train", f"{name} train", size, progress)
    return name, classes, train, _open_split(path, files, "t10k", f"{name} test", size, progress)


def _files(path: Path) -> dict[tuple[str, str], Path]:
    """Return {("train", "images"): path, ...}."""
    files: dict[tuple[str, str], Path] = {}
    for file in sorted(path.iterdir()):
        match = NAME.fullmatch(file.name)
        if match and file.is_file():
            files.setdefault(("train" if match[1] == "train" else "t10k", match[2]), file)
    return files


def _open_split(
    path: Path, files: dict[tuple[str, str], Path], part: str, name: str, size: int, progress: bool
) -> Split:
    for kind in ("images", "labels"):
        if (part, kind) not in files:
            raise RawconvError(
                f"{path} lacks {part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte; download it too."
            )
    images, labels = _read(files[part, "images"], 3), _read(files[part, "labels"], 1)
    if len(images) != len(labels):
        raise RawconvError(
            f"{path} has {len(images)} {part} pictures but {len(labels)} labels; download it again."
        )
    if labels.max() > 9:
        raise RawconvError(
            f"{path} has a label {labels.max()}, but only the digits 0 to 9 are classes here."
        )
    grey = np.repeat(images[..., None], 3, axis=3)
    return resized(grey, labels.astype(np.int64), name, size, progress)


def _read(path: Path, dimensions: int) -> np.ndarray:
    """Return one idx file as uint8 with that many dimensions."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            shape = _shape(file.read(4 + 4 * dimensions), dimensions, path)
            total, size = math.prod(shape), path.stat().st_size
            fits = total <= size * (DEFLATE if path.suffix == ".gz" else 1)
            if fits and (what := excess(COPIES * total + NAME_BYTES * shape[0], size)):
                raise RawconvError(f"{path} holds pictures that would take {what}.")
            data = file.read(total + 1) if fits else b""
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RawconvError(f"{path} is a damaged .gz file ({error}); download it again.") from error
    if len(data) != total:
        raise RawconvError(
            f"{path} does not hold the {total} bytes it announces; download it again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _shape(head: bytes, dimensions: int, path: Path) -> tuple[int, ...]:
    """Return the lengths that the beginning of an idx file announces."""
    shape = tuple(int(n) for n in np.frombuffer(head[4 : len(head) // 4 * 4], ">u4"))
    if head[:4] != bytes([0, 0, 8, dimensions]) or len(shape) != dimensions or 0 in shape:
        raise RawconvError(f"{path} does not begin like an idx file of bytes; download it again.")
    return shape
