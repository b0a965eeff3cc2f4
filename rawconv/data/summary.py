"""What is in a data set, in numbers and in images: behind rawconv-data info, verify, mean and show."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..files.png import write_png
from ..files.storage import replace_file
from . import mean_image, open_data, packed
from .batches import permutation
from .sources import divided
from .subset import only

if TYPE_CHECKING:
    from .dataset import DataSet

SIZE = 64  # of pictures that are not packed


def load_packed(source: str) -> packed.Packed | None:
    """Return the Packed of a file, or None where `source` is something else."""
    path = Path(os.path.expanduser(source))
    return packed.load(path) if packed.accepts(path) else None


def open_sized(source: str, size: int | None) -> DataSet:
    """Open any source; size None: as packed, else SIZE."""
    packed_file = None if size else load_packed(divided(source)[0])
    return open_data(source, size or (packed_file.size if packed_file else SIZE))


def summary(source: str, size: int | None = None) -> dict[str, Any]:
    """Return name, source, size, classes, the number of images of each split and class, and the
    /info of a packed file.
    """
    file = load_packed(source)
    if file and not size:
        counts = [
            np.bincount(part, minlength=len(file.classes))
            for part in np.split(file.labels, [file.train])
        ]
        facts = {
            "name": Path(source).stem,
            "source": source,
            "size": file.size,
            "classes": file.classes,
        }
        more = {
            "bytes": os.path.getsize(source),
            "packed": file.info,
            "mean": file.mean.mean((0, 1)).tolist(),
        }
    else:
        data = open_data(source, size or SIZE)
        counts = [
            np.bincount(part.labels, minlength=len(data.classes)) for part in (data.train, data.val)
        ]
        facts = {
            "name": data.name,
            "source": data.source,
            "size": data.train.shape[0],
            "classes": data.classes,
        }
        more = {}
    names = "train", "val"
    facts |= {name: int(count.sum()) for name, count in zip(names, counts, strict=True)}
    return (
        facts
        | {f"{name}_by_class": count.tolist() for name, count in zip(names, counts, strict=True)}
        | more
    )


def lines(facts: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a `summary` for a reader."""
    size, classes = facts["size"], facts["classes"]
    yield f"{facts['source']}: {facts['train']} training and {facts['val']} validation pictures of {size}x{size}"
    if "packed" in facts:
        info = facts["packed"]
        red, green, blue = facts["mean"]
        yield f"packed from {info['source']}, {facts['bytes'] / 1e6:.1f} MB, mean {red:.1f} {green:.1f} {blue:.1f}"
        for key, what in (
            ("unreadable", "left out, no pictures"),
            ("duplicates", "there more than once"),
        ):
            names = [item if isinstance(item, str) else " = ".join(item) for item in info[key]]
            if names:
                yield f"{what}: {len(names)} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
    yield f"{len(classes)} classes, training + validation pictures:"
    width = max(map(len, classes))
    for name, train, val in zip(
        classes, facts["train_by_class"], facts["val_by_class"], strict=True
    ):
        yield f"  {name:{width}s}  {train:6d} + {val}"


def verify(path: str) -> tuple[list[str], bool, int]:
    """Return (names of damaged images, whether the mean fits, how many images) of a packed file."""
    if not os.path.exists(path):
        raise UsageError(f"{path} does not exist; name a file that rawconv-data pack wrote.")
    file = packed.load(path)
    return *packed.damaged(file), len(file.labels)


def mean(source: str, size: int | None = None, out: str | None = None) -> list[float]:
    """Return [red, green, blue] of the mean training image, and write that image to `out`, a .png or .npy."""
    image = mean_image(open_sized(source, size).train, progress=True)
    if out and out.endswith(".npy"):
        file = io.BytesIO()
        np.save(file, image)
        replace_file(out, file.getvalue())
    elif out:
        from PIL import Image

        write_png(out, Image.fromarray(np.rint(image).astype(np.uint8)))
    return image.mean((0, 1)).tolist()


def show(
    source: str, size: int | None, split: str, count: int, classes: Sequence[str], seed: int
) -> tuple[str, Any]:
    """Return (name of the data set, Pillow image): `count` images of a split, drawn by seed, class
    by class.
    """
    from ..report.gallery import Tile, gallery

    data = open_sized(source, size)
    if classes:
        data = only(data, classes)
    part = data.train if split == "train" else data.val
    ids = permutation(len(part), seed, 0)[:count]
    ids = ids[np.argsort(part.labels[ids], kind="stable")]
    tiles = [
        Tile(pixels, data.classes[part.labels[i]], os.path.basename(part.names[i]))
        for i, pixels in zip(ids, part.read(ids), strict=True)
    ]
    side, what = part.shape[0], "training" if split == "train" else "validation"
    subtitle = (
        f"{len(ids)} of {len(part)} {what} pictures of {side}x{side}, drawn at random (seed {seed})"
    )
    return data.name, gallery(
        tiles, data.name, subtitle, "Below each picture its class and its file."
    )
