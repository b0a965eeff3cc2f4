"""The images a net learns from: one way to open every kind of data set.

    data = open_data("pictures.zip", size=64)           a DataSet: name, source, classes, train, val
    data.train.read([3, 1, 4])                          uint8 (3, 64, 64, 3)
    for ids, images, labels in batches(data.train, 128, order=(seed, epoch)): ...        batches.py
    x = prepare(images, mean_image(data.train), 64, rng_key=(seed, epoch, ids))           augment.py

Sources: the built-in scenes (scenes.py), the same in frames (framed.py), folders and zips of class
folders (folder.py), files that rawconv-data pack wrote (packed.py), CIFAR-10 and CIFAR-100
(cifar.py), MNIST and Fashion-MNIST (idx.py). All of them become uint8 RGB of one size (decode.py).
"SOURCE@cat,dog" is two classes of any of them (subset.py).
"""

from __future__ import annotations

import os
import re
import types
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RawconvError, UsageError
from .dataset import BUDGET, DataSet, Split, check_classes, mean_image
from .sources import Source, divided, parse

__all__ = ["BUDGET", "DataSet", "Split", "check_classes", "mean_image", "open_data"]

SCENES, VALIDATION_SCENES, FIRST_VALIDATION_SCENE = 10_000, 2_000, 1_000_000_000


def open_data(
    source: str | os.PathLike[str] = "scenes",
    size: int = 64,
    progress: bool = True,
    seed: int = 0,
    whole: bool = False,
    test: bool = False,
) -> DataSet:
    """Open a data set with images of size x size pixels; the module lists the sources.

    source: "scenes:20000" has that many training scenes, "framed:20000" that many framed ones; each
    is drawn when it is first read.  "SOURCE@cat,dog" is two classes of a source; sources.py has all
    that a source may be.
    seed: of the scenes, or of the tenth that is held out where a folder has no validation images.
    progress: False hides the progress bars, not the messages (both go to stderr).
    whole: where a folder has no validation images, `val` is all of them instead of a tenth.
    test: read the test images of a folder too if it has others for validation.
    UsageError: the source does not exist.  RawconvError: what it holds cannot be used.
    """
    source = str(source)
    below, chosen = divided(source)
    if chosen:
        from .subset import only

        return only(open_data(below, size, progress, seed, whole, test), chosen, source)
    if source.partition(":")[0] in ("scenes", "framed"):
        return _open_scenes(source, size, seed)
    try:
        return _open_path(source, parse(source), size, progress, seed, whole, test)
    except OSError as error:
        raise RawconvError(f"{source} cannot be read ({error.strerror or error}).") from error


def _open_path(
    source: str, named: Source, size: int, progress: bool, seed: int, whole: bool, test: bool
) -> DataSet:
    """Return the data set of `named`, the Source that `source` means."""
    # here, so that a command's --help need not wait for Numba and Pillow
    from . import cifar, folder, idx, packed

    path = _existing(source, named)
    kind: types.ModuleType = next(
        kind for kind in (packed, cifar, idx, folder) if kind.accepts(path)
    )
    parts: list[Any]
    if kind is folder:
        name, *parts = folder.open_source(path, size, progress, seed, named, whole, test)
    elif named == Source(named.path):
        name, *parts = kind.open_source(path, size, progress, seed)
    else:
        raise UsageError(
            f"{path} is no folder or zip of pictures; leave --train, --val, --labels and --range out."
        )
    check_classes(source, parts[0])
    dataset = DataSet(
        re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:40] or "data", source, *parts
    )
    return dataset._replace(test=dataset.val) if kind in (cifar, idx) else dataset


def _existing(source: str, named: Source) -> Path:
    """Return the path of a Source.  UsageError: there is none."""
    path = Path(os.path.expanduser(named.path))
    if not path.exists():
        raise UsageError(
            f"{source} does not exist; give a folder, zip or packed file of class folders, or 'scenes'."
        )
    if not (path.is_file() or path.is_dir()):
        raise UsageError(
            f"{source} is neither a file nor a folder; give one of pictures, or 'scenes'."
        )
    return path


def _open_scenes(source: str, size: int, seed: int) -> DataSet:
    from . import framed, scenes

    name, colon, text = source.partition(":")
    kind, text = {"scenes": scenes, "framed": framed}[name], text if colon else str(SCENES)
    if not scenes.SIZES[0] <= size <= scenes.SIZES[1]:
        raise UsageError(
            f"scenes are drawn from {scenes.SIZES[0]} to {scenes.SIZES[1]} pixels wide, not {size}."
        )
    most = BUDGET // (size * size * 3)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise UsageError(
            f"{source} is not a number of pictures; write {name}:N with N from 1 to {most}."
        )
    train = _drawn(kind, 0, int(text), size, seed)
    val = _drawn(kind, FIRST_VALIDATION_SCENE, VALIDATION_SCENES, size, seed)
    return DataSet(name, source, list(scenes.CLASSES), train, val)


def _drawn(kind: types.ModuleType, first: int, count: int, size: int, seed: int) -> Split:
    """Return the Split of `count` scenes from number `first` on, each drawn when it is first read,
    and kept.
    """
    pixels, drawn = np.empty((count, size, size, 3), np.uint8), np.zeros(count, bool)

    def read(ids: np.ndarray) -> np.ndarray:
        missing = np.unique(ids[~drawn[ids]])
        if len(missing):
            pixels[missing] = kind.draw(first + missing, size, seed)[0]
            # two threads may draw the same scene at once: they draw the same bits
            drawn[missing] = True
        return pixels[ids]

    numbers = np.arange(first, first + count)
    return Split(
        read, kind.labels(numbers, seed), [f"scene {i}" for i in numbers.tolist()], pixels.shape[1:]
    )
