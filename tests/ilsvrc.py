"""Archives in the shape of ILSVRC-2012's, and a folder in that of Caltech-256, with scenes for pictures."""

import io
import tarfile

from mat_files import meta
from PIL import Image

from rawconv.data import open_data
from rawconv.data.label_files import TRUTH

KIT = "ILSVRC2012_devkit_t12"
SIZE = 256


def write_archives(folder, classes=4, train=8, val=4):
    """Write the three archives: so many classes, and pictures of each."""
    data = open_data("scenes:400", SIZE, progress=False)
    wnids = [f"n{7 * k + 1:08d}" for k in range(classes)]
    pictures = [jpegs(data.train, label, train + val) for label in range(classes)]
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as outer:
        for wnid, some in zip(wnids, pictures, strict=True):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as archive:
                for k, jpeg in enumerate(some[:train]):
                    add(archive, f"{wnid}_{k}.JPEG", jpeg)
            add(outer, f"{wnid}.tar", inner.getvalue())
    # the classes' own order is that of their names, the kit's is another
    numbers = {wnid: classes - k for k, wnid in enumerate(wnids)}
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as archive:
        truth = [k % classes for k in range(classes * val)]
        for k, label in enumerate(truth):
            name = f"ILSVRC2012_val_{k + 1:08d}.JPEG"
            add(archive, name, pictures[label][train + k // classes])
    rows = [(number, wnid, data.classes[k]) for k, (wnid, number) in enumerate(numbers.items())]
    with tarfile.open(folder / f"{KIT}.tar.gz", "w:gz") as archive:
        add(archive, f"{KIT}/data/meta.mat", meta([*rows, (1001, "n09999999", "entity")]))
        lines = "".join(f"{numbers[wnids[label]]}\n" for label in truth)
        add(archive, f"{KIT}/data/{TRUTH}", lines.encode())


def jpegs(split, label, count):
    """The first pictures of a class as JPEGs."""
    ids = [k for k, own in enumerate(split.labels) if own == label][:count]
    assert len(ids) == count
    files = []
    for pixels in split.read(ids):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        files.append(file.getvalue())
    return files


def add(archive, name, content):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def write_caltech(folder, classes=3, pictures=8):
    """Write 256_ObjectCategories.tar: classes that the archives of ILSVRC do not have."""
    data = open_data("scenes:400", SIZE, progress=False)
    with tarfile.open(folder / "256_ObjectCategories.tar", "w") as archive:
        for k, name in enumerate(data.classes[-classes:], 1):
            for n, jpeg in enumerate(
                jpegs(data.train, len(data.classes) - classes + k - 1, pictures), 1
            ):
                add(archive, f"256_ObjectCategories/{k:03d}.{name}/{k:03d}_{n:04d}.jpg", jpeg)
