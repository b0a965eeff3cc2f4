"""Folders of class folders, plain or inside a .zip (read in place, never unpacked).

    train/<class>/...  and  val/<class>/...     recognised by the words in their names (splits.py)
    <class>/...                                 a tenth of each class is held out for validation
    <file>                                      with a list of labels (label_files.py)

Folders may stand around all that, and folders may lie inside the class folders.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, NoReturn

from ..errors import RawconvError, UsageError
from ..files.messages import composed, escaped, warn
from ..files.storage import open_regular
from . import decode, label_files, splits
from .batches import permutation
from .image_file import Unreadable, open_image
from .levels import Levels
from .sources import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from .dataset import Split
    from .label_files import Names
    from .splits import Classes

SYSTEM = {  # folders and files of systems and network disks, never of a person
    "__macosx", "@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "thumbs.db", "desktop.ini", "__pycache__",
}  # fmt: skip
EFFECTIVE = os.access in os.supports_effective_ids
LARGEST = 1 << 28  # bytes: a zip entry that unpacks to more is no picture


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM


def accepts(path: Path) -> bool:
    """True: `open_source` takes whatever no other reader takes, and says what is wrong with it."""
    return True


class Files(NamedTuple):
    """Image files that are listed and not opened yet.

    classes: {class folder: [file, a tuple of names below `where`]}.  where: what a message writes
    before a file.
    open_file: the function file -> open binary file.
    """

    classes: Classes
    where: str
    open_file: Callable[[Names], BinaryIO]


def open_source(
    path: Path,
    size: int,
    progress: bool,
    seed: int,
    source: Source | None = None,
    whole: bool = False,
    test: bool = False,
) -> tuple[str, list[str], Split, Split, list[str], Split | None]:
    """Return (name, classes, train, val, wnids, test or None) of a folder or zip.

    source: what the user named beside it (sources.py).  whole: see `find`.  test: read test images
    as well, if there are others for validation.
    """
    source = source or Source(str(path))
    levels, contents = Levels.of(source.range), find(source, seed, whole, test)
    train = _split(contents.train, size, progress, "train", levels)
    check_present(path, contents.train, train.labels)
    val = (
        train
        if contents.val is contents.train
        else _split(contents.val, size, progress, "val", levels)
    )
    others = val if contents.tests else None
    if contents.test:
        others = _split(contents.test, size, progress, "test", levels)
    folders = list(contents.train.classes)
    return (
        contents.name,
        class_names(folders),
        train,
        val,
        [splits.wnid(name) for name in folders],
        others,
    )


class Contents(NamedTuple):
    """The images of a folder or zip, listed and not read.

    test: None where there are none, or they were not asked for.  tests: whether `val` is a folder of tests.
    """

    name: str
    train: Files
    val: Files
    test: Files | None
    tests: bool


def find(source: Source, seed: int, whole: bool = False, test: bool = False) -> Contents:
    """List the images of a Source.

    seed: of the tenth of each class that is held out where there are no validation images.
    whole: then do not hold any out: `val` is the same as `train`, all of them.
    test: look for test images as well.
    RawconvError: classes or images are missing.
    """
    labels = label_files.read(source.labels, source.synsets) if source.labels else None
    listing, other, parts = _parts(source, labels)
    _refuse(source.path, parts.train, parts.val)
    train = Files(parts.train, listing.where, listing.open_file)
    tests = _tests(source.path, train, parts.test) if test and parts.test else None
    if parts.val is not None:
        return Contents(
            listing.name, train, Files(parts.val, other.where, other.open_file), tests, parts.tests
        )
    if whole:
        return Contents(listing.name, train, train, tests, not (parts.worded or source.named))
    train, kept = (
        train._replace(classes=some) for some in _hold_out(source.path, train.classes, seed)
    )
    return Contents(listing.name, train, kept, tests, False)


def _parts(
    source: Source, labels: label_files.Labels | None
) -> tuple[splits.Listing, splits.Listing, splits.Parts]:
    """Return (Listing, Listing of the validation images, Parts) of a Source."""
    listing = other = _list(_path(source.path))
    parts = splits.split(listing, source.named, labels)
    if source.val:
        other = _list(_path(source.val))
        single = splits.single_split(other, labels, parts.train)
        parts = parts._replace(val=single.train, tests=False, listed=parts.listed or single.listed)
    if labels and not parts.listed:
        raise RawconvError(
            f"no name in {source.labels} is that of a picture of {source.path}; write paths below it, or files' names."
        )
    return listing, other, parts


def _path(text: str) -> Path:
    path = Path(os.path.expanduser(text))
    if not path.exists():
        raise UsageError(f"{text} does not exist; name a folder or zip of pictures.")
    if not (path.is_file() or path.is_dir()):
        raise UsageError(
            f"{text} is neither a file nor a folder; name a folder or zip of pictures."
        )
    return path


def _tests(path: str, train: Files, classes: Classes) -> Files:
    """Return the Files of a test split in the order of the training classes, of which it may lack some."""
    unknown = [name for name in classes if name not in train.classes]
    if unknown:
        raise RawconvError(
            f"the test folder of {path} has the class {unknown[0]}, and the training folder has not."
        )
    return train._replace(classes={name: classes.get(name, []) for name in train.classes})


def check_present(path: object, files: Files, labels: np.ndarray) -> None:
    """RawconvError: a class has no image among those that could be read, whose labels these are."""
    present = set(labels.tolist())
    for label, folder in enumerate(files.classes):
        if label not in present:
            raise RawconvError(
                f"class folder {folder} of {path} has no readable training picture; remove or mend it."
            )


def _list(path: Path) -> splits.Listing:
    """Return the Listing of a folder or zip."""
    if path.is_dir():
        files, folders, open_file = _list_folder(path)
        name, where = path.resolve().name, f"{path}{os.sep}"
    else:
        files, folders, open_file = _list_zip(path)
        name, where = path.stem, ""
    return splits.Listing(sorted(files), sorted(folders), open_file, name, where, path)


def _list_folder(path: Path) -> tuple[list[Names], list[Names], Callable[[Names], BinaryIO]]:
    """Return all files and folders below, each a tuple of names, without hidden ones, and a
    function name -> open file.
    """
    files, folders, visited = [], [], set()
    for here, subs, names in os.walk(path, onerror=_unreadable, followlinks=True):
        if os.path.realpath(here) in visited:  # a link back to a folder above
            subs.clear()
            continue
        visited.add(os.path.realpath(here))
        subs[:] = sorted(sub for sub in subs if not _hidden(sub))
        parts = () if here == str(path) else tuple(os.path.relpath(here, path).split(os.sep))
        folders.append(parts)
        _check_readable(here, names)
        files += [(*parts, name) for name in names if not _hidden(name)]
    return files, folders, lambda parts: open_regular(path.joinpath(*parts))


def _unreadable(error: OSError) -> NoReturn:
    raise RawconvError(
        f"{error.filename} cannot be read ({error.strerror}); change its permissions, or move it out of the data set."
    ) from error


def _check_readable(folder: str, names: list[str]) -> None:
    """RawconvError: a file or link may not be read.  A class that silently lacks images is worse
    than an error.

    A broken link with the name of an image counts as an unreadable file; any other one may have been a class.
    """
    for name in names:
        path = os.path.join(folder, name)
        if (
            not _hidden(name)
            and not os.path.exists(path)
            and os.path.islink(path)
            and not splits.is_image((name,))
        ):
            raise RawconvError(
                f"{path} is a link to {os.readlink(path)}, which is not there; mend or remove it."
            )
        if (
            not _hidden(name)
            and not os.access(path, os.R_OK, effective_ids=EFFECTIVE)
            and os.path.exists(path)
        ):
            _unreadable(PermissionError(errno.EACCES, os.strerror(errno.EACCES), path))


def _list_zip(path: Path) -> tuple[list[Names], list[Names], Callable[[Names], BinaryIO]]:
    """Return the same for a zip."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, ValueError) as error:
        raise RawconvError(
            f"{path} is no folder and no intact zip ({error}); copy or download it again."
        ) from error
    entries: dict[Names, zipfile.ZipInfo] = {}
    folders: set[Names] = {()}
    first = os.getpid()
    for entry in archive.infolist():
        parts = tuple(
            part for part in entry.filename.replace("\\", "/").split("/") if part not in ("", ".")
        )
        if any(map(_hidden, parts)):
            continue
        folder = parts if entry.is_dir() else parts[:-1]
        folders.update(folder[:depth] for depth in range(1, len(folder) + 1))
        if not entry.is_dir():
            entries[parts] = entry

    @functools.cache
    def opened(process: int) -> zipfile.ZipFile:
        """The archive, opened by this process: forked ones would share one place in the file, and
        read each other's.
        """
        return archive if process == first else zipfile.ZipFile(path)

    def open_file(parts: Names) -> BinaryIO:
        if entries[parts].file_size > LARGEST:
            raise Unreadable(f"too large (it unpacks to {entries[parts].file_size / 1e6:.0f} MB)")
        return io.BytesIO(opened(os.getpid()).read(entries[parts]))

    return list(entries), list(folders), open_file


def _refuse(path: str, train: Classes, val: Classes | None) -> None:
    """RawconvError, before anything is decoded: something is missing.  val None: it will be held out."""
    if not any(train.values()):
        raise RawconvError(
            f"{path} holds no class folders with pictures; give each class a folder of its own, or a list of the "
            "pictures' classes with --labels FILE."
        )
    if len(train) == 1:
        raise RawconvError(
            f"{path} holds one class only ({next(iter(train))}); a net needs at least two to tell apart."
        )
    if val is not None and train.keys() != val.keys():
        name = sorted(train.keys() ^ val.keys())[0]
        raise RawconvError(
            f"the training and validation folders of {path} differ in class {name}; give both the same class folders."
        )
    for folder, files in [*train.items(), *(val or {}).items()]:
        if not files:
            raise RawconvError(
                f"class folder {folder} of {path} is empty; remove it or put pictures into it."
            )


def _hold_out(path: str, classes: Classes, seed: int) -> tuple[Classes, Classes]:
    """Move a tenth of each class (at least one of two images, chosen by seed) to the validation split."""
    train, val = {}, {}
    for label, (folder, files) in enumerate(classes.items()):
        count = max(round(len(files) / 10), min(1, len(files) - 1))
        chosen = set(permutation(len(files), seed, label)[:count].tolist())
        train[folder] = [file for k, file in enumerate(files) if k not in chosen]
        val[folder] = [file for k, file in enumerate(files) if k in chosen]
    count = sum(map(len, val.values()))
    if not count:
        raise RawconvError(
            f"{path} holds one picture per class; validation needs at least one class with two."
        )
    text = f"{path} has no validation folder: {count} pictures, a tenth of each class, are held out (seed {seed})."
    warn(text)
    return train, val


def flat(files: Files) -> tuple[list[Names], list[int]]:
    """Return (paths, labels) of all images, class by class."""
    paths = [file for some in files.classes.values() for file in some]
    return paths, [label for label, some in enumerate(files.classes.values()) for _ in some]


def _split(files: Files, size: int, progress: bool, desc: str, levels: Levels) -> Split:
    paths, labels = flat(files)

    def make(i: int) -> np.ndarray:
        with files.open_file(paths[i]) as file:
            return decode.decode(file, size, levels)

    def check(i: int) -> int:
        with files.open_file(paths[i]) as file, open_image(file, size):
            return 0

    names = [files.where + "/".join(file) for file in paths]
    return decode.load_split(make, names, labels, size, progress, desc, check, levels)


def class_names(folders: Sequence[str]) -> list[str]:
    """Return n01443537_goldfish as goldfish, accents as one character; the folder's name where two
    would share one.
    """
    short = [composed(re.sub(r"^n\d{8}_(?=.)", "", folder)) for folder in folders]
    count = Counter(short)
    return [
        escaped(name if count[name] == 1 else folder)
        for name, folder in zip(short, folders, strict=True)
    ]
