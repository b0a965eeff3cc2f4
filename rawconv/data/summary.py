"""What is in a data set, in numbers and in pictures: behind rawconv-data info, verify, mean and show."""

import io
import os
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..files.png import write_png
from ..files.storage import replace_file
from . import mean_picture, open_data, packed
from .batches import permutation
from .sources import divided
from .subset import only

SIZE = 64  # of pictures that are not packed


def load_packed(source):
    """The Packed of a file, or None where `source` is something else."""
    path = Path(os.path.expanduser(source))
    return packed.load(path) if packed.accepts(path) else None


def open_sized(source, size):
    """The DataSet of any source; size None: as packed, else SIZE."""
    found = None if size else load_packed(divided(source)[0])
    return open_data(source, size or (found.size if found else SIZE))


def summary(source, size=None):
    """A dict: name, source, size, classes, pictures of each split and class; of a packed file what its /info says."""
    file = load_packed(source)
    if file and not size:
        counts = [np.bincount(part, minlength=len(file.classes)) for part in np.split(file.labels, [file.train])]
        facts = {"name": Path(source).stem, "source": source, "size": file.size, "classes": file.classes}
        more = {"bytes": os.path.getsize(source), "packed": file.info, "mean": file.mean.mean((0, 1)).tolist()}
    else:
        data = open_data(source, size or SIZE)
        counts = [np.bincount(part.labels, minlength=len(data.classes)) for part in (data.train, data.val)]
        facts = {"name": data.name, "source": data.source, "size": data.train.shape[0], "classes": data.classes}
        more = {}
    names = "train", "val"
    facts |= {name: int(count.sum()) for name, count in zip(names, counts, strict=True)}
    return facts | {f"{name}_by_class": count.tolist() for name, count in zip(names, counts, strict=True)} | more


def lines(facts):
    """`summary` for a reader."""
    size, classes = facts["size"], facts["classes"]
    yield f"{facts['source']}: {facts['train']} training and {facts['val']} validation pictures of {size}x{size}"
    if "packed" in facts:
        info = facts["packed"]
        red, green, blue = facts["mean"]
        yield f"packed from {info['source']}, {facts['bytes'] / 1e6:.1f} MB, mean {red:.1f} {green:.1f} {blue:.1f}"
        for key, what in (("unreadable", "left out, no pictures"), ("duplicates", "there more than once")):
            found = [item if isinstance(item, str) else " = ".join(item) for item in info[key]]
            if found:
                yield f"{what}: {len(found)} ({', '.join(found[:5])}{', ...' if len(found) > 5 else ''})"
    yield f"{len(classes)} classes, training + validation pictures:"
    width = max(map(len, classes))
    for name, train, val in zip(classes, facts["train_by_class"], facts["val_by_class"], strict=True):
        yield f"  {name:{width}s}  {train:6d} + {val}"


def verify(path):
    """(names of damaged pictures, whether the mean fits, how many pictures) of a packed file."""
    if not os.path.exists(path):
        raise UsageError(f"{path} does not exist; name a file that rawconv-data pack wrote.")
    file = packed.load(path)
    return *packed.damaged(file), len(file.labels)


def mean(source, size=None, out=None):
    """[red, green, blue] of the mean training picture, which is written to `out`, a .png or .npy."""
    picture = mean_picture(open_sized(source, size).train, progress=True)
    if out and out.endswith(".npy"):
        file = io.BytesIO()
        np.save(file, picture)
        replace_file(out, file.getvalue())
    elif out:
        from PIL import Image

        write_png(out, Image.fromarray(np.rint(picture).astype(np.uint8)))
    return picture.mean((0, 1)).tolist()


def show(source, size, split, count, classes, seed):
    """(name of the data set, Pillow picture): `count` pictures of a split, drawn by seed, class by class."""
    from ..report.gallery import Picture, gallery

    data = open_sized(source, size)
    if classes:
        data = only(data, classes)
    part = data.train if split == "train" else data.val
    ids = permutation(len(part), seed, 0)[:count]
    ids = ids[np.argsort(part.labels[ids], kind="stable")]
    tiles = [
        Picture(pixels, data.classes[part.labels[i]], os.path.basename(part.names[i]))
        for i, pixels in zip(ids, part.read(ids), strict=True)
    ]
    side, what = part.shape[0], "training" if split == "train" else "validation"
    subtitle = f"{len(ids)} of {len(part)} {what} pictures of {side}x{side}, drawn at random (seed {seed})"
    return data.name, gallery(tiles, data.name, subtitle, "Below each picture its class and its file.")
