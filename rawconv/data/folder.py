"""Folders of class folders, plain or inside a .zip (read in place, never unpacked).

    train/<class>/...  and  val/<class>/...     by the words in their names (splits.py)
    <class>/...                                 a tenth of each class is held out for validation
    <file>                                      with a list of labels (label_files.py)

Folders around all that are fine, and so are folders inside the class folders.
"""

import errno
import functools
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import RawconvError, UsageError
from ..files.messages import composed, escaped, warn
from ..files.storage import open_regular
from . import decode, label_files, splits
from .batches import permutation
from .levels import Levels
from .picture_file import Unreadable, open_picture
from .sources import Source

SYSTEM = {  # folders and files of systems and network disks, never of a person
    "__macosx", "@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "thumbs.db", "desktop.ini", "__pycache__",
}  # fmt: skip
EFFECTIVE = os.access in os.supports_effective_ids
LARGEST = 1 << 28  # bytes: a zip entry that unpacks to more is no picture


def _hidden(name):
    return name.startswith(".") or name.lower() in SYSTEM


def accepts(path):
    """Whatever no other reader claims: `open_source` says what is wrong with it."""
    return True


class Files(NamedTuple):
    """Picture files that nobody has opened yet.

    classes: {class folder: [file, a tuple of names below `where`]}; open_file: the function file -> open binary file.
    """

    classes: dict
    where: str
    open_file: Callable


def open_source(path, size, progress, seed, source=None, whole=False, test=False):
    """(name, classes, train, val, wnids, test or None) of a folder or zip.

    source: what the user named beside it (sources.py).  whole: see `find`.  test: read test pictures beside those for
    validation as well.
    """
    source = source or Source(str(path))
    levels, found = Levels.of(source.range), find(source, seed, whole, test)
    train = _split(found.train, size, progress, "train", levels)
    check_present(path, found.train, train.labels)
    val = train if found.val is found.train else _split(found.val, size, progress, "val", levels)
    others = val if found.tests else None
    if found.test:
        others = _split(found.test, size, progress, "test", levels)
    folders = list(found.train.classes)
    return found.name, class_names(folders), train, val, [splits.wnid(name) for name in folders], others


class Found(NamedTuple):
    """What is to be read of a folder or zip, listed and not read: Files.  test: None without.  tests: val is tests."""

    name: str
    train: Files
    val: Files
    test: Files | None
    tests: bool


def find(source: Source, seed, whole=False, test=False) -> Found:
    """List the pictures of a Source.

    A tenth of each class is held out (by seed) where there are no validation pictures; whole: val is then the same as
    train, all of them.  test: look for test pictures as well.  RawconvError where classes or pictures are missing.
    """
    labels = label_files.read(source.labels, source.synsets) if source.labels else None
    listing = other = _list(_path(source.path))
    parts = splits.split(listing, source.named, labels)
    if source.val:
        other = _list(_path(source.val))
        alone = splits.alone(other, labels, parts.train)
        parts = parts._replace(val=alone.train, tests=False, listed=parts.listed or alone.listed)
    if labels and not parts.listed:
        raise RawconvError(
            f"no name in {source.labels} is that of a picture of {source.path}; write paths below it, or files' names."
        )
    _refuse(source.path, parts.train, parts.val)
    train = Files(parts.train, listing.where, listing.open_file)
    tests = _tests(source.path, train, parts.test) if test and parts.test else None
    if parts.val is not None:
        return Found(listing.name, train, Files(parts.val, other.where, other.open_file), tests, parts.tests)
    if whole:
        return Found(listing.name, train, train, tests, not (parts.worded or source.named))
    train, kept = (train._replace(classes=some) for some in _hold_out(source.path, train.classes, seed))
    return Found(listing.name, train, kept, tests, False)


def _path(text):
    path = Path(os.path.expanduser(text))
    if not path.exists():
        raise UsageError(f"{text} does not exist; name a folder or zip of pictures.")
    if not (path.is_file() or path.is_dir()):
        raise UsageError(f"{text} is neither a file nor a folder; name a folder or zip of pictures.")
    return path


def _tests(path, train, found):
    """The Files of a test split, in the order of the training classes, of which it may lack some."""
    unknown = [name for name in found if name not in train.classes]
    if unknown:
        raise RawconvError(f"the test folder of {path} has the class {unknown[0]}, and the training folder has not.")
    return train._replace(classes={name: found.get(name, []) for name in train.classes})


def check_present(path, files, labels):
    """RawconvError where a class has no picture among those that could be read, whose labels are given."""
    present = set(labels.tolist())
    for label, folder in enumerate(files.classes):
        if label not in present:
            raise RawconvError(f"class folder {folder} of {path} has no readable training picture; remove or mend it.")


def _list(path):
    """The Listing of a folder or zip."""
    if path.is_dir():
        files, folders, open_file = _list_folder(path)
        name, where = path.resolve().name, f"{path}{os.sep}"
    else:
        files, folders, open_file = _list_zip(path)
        name, where = path.stem, ""
    return splits.Listing(sorted(files), sorted(folders), open_file, name, where, path)


def _list_folder(path):
    """All files and folders below, each as a tuple of names, hidden ones left out; and a function name -> open file."""
    files, folders, seen = [], [], set()
    for here, subs, names in os.walk(path, onerror=_unreadable, followlinks=True):
        if os.path.realpath(here) in seen:  # a link back to a folder above
            subs.clear()
            continue
        seen.add(os.path.realpath(here))
        subs[:] = sorted(sub for sub in subs if not _hidden(sub))
        parts = () if here == str(path) else tuple(os.path.relpath(here, path).split(os.sep))
        folders.append(parts)
        _check_readable(here, names)
        files += [(*parts, name) for name in names if not _hidden(name)]
    return files, folders, lambda parts: open_regular(path.joinpath(*parts))


def _unreadable(error):
    raise RawconvError(
        f"{error.filename} cannot be read ({error.strerror}); change its permissions, or move it out of the data set."
    ) from error


def _check_readable(folder, names):
    """RawconvError where a file or link may not be read: a part of a class that nobody missed is worse than a stop.

    A link to nowhere that is called like a picture is a file that is none; any other may have been a class.
    """
    for name in names:
        path = os.path.join(folder, name)
        if not _hidden(name) and not os.path.exists(path) and os.path.islink(path) and not splits.is_picture((name,)):
            raise RawconvError(f"{path} is a link to {os.readlink(path)}, which is not there; mend or remove it.")
        if not _hidden(name) and not os.access(path, os.R_OK, effective_ids=EFFECTIVE) and os.path.exists(path):
            _unreadable(PermissionError(errno.EACCES, os.strerror(errno.EACCES), path))


def _list_zip(path):
    """The same for a zip."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, ValueError) as error:
        raise RawconvError(f"{path} is no folder and no intact zip ({error}); copy or download it again.") from error
    entries, folders, first = {}, {()}, os.getpid()
    for entry in archive.infolist():
        parts = tuple(part for part in entry.filename.replace("\\", "/").split("/") if part not in ("", "."))
        if any(map(_hidden, parts)):
            continue
        folder = parts if entry.is_dir() else parts[:-1]
        folders.update(folder[:depth] for depth in range(1, len(folder) + 1))
        if not entry.is_dir():
            entries[parts] = entry

    @functools.cache
    def opened(process):
        """The archive, opened by this process: forked ones would share one place in the file, and read each other's."""
        return archive if process == first else zipfile.ZipFile(path)

    def open_file(parts):
        if entries[parts].file_size > LARGEST:
            raise Unreadable(f"too large (it unpacks to {entries[parts].file_size / 1e6:.0f} MB)")
        return io.BytesIO(opened(os.getpid()).read(entries[parts]))

    return list(entries), list(folders), open_file


def _refuse(path, train, val):
    """Say what is missing before anything is decoded; val None: it will be held out."""
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
        one = sorted(train.keys() ^ val.keys())[0]
        raise RawconvError(
            f"the training and validation folders of {path} differ in class {one}; give both the same class folders."
        )
    for folder, files in [*train.items(), *(val or {}).items()]:
        if not files:
            raise RawconvError(f"class folder {folder} of {path} is empty; remove it or put pictures into it.")


def _hold_out(path, classes, seed):
    """Move a tenth of each class (seeded; at least one picture of two) to the validation split."""
    train, val = {}, {}
    for label, (folder, files) in enumerate(classes.items()):
        count = max(round(len(files) / 10), min(1, len(files) - 1))
        chosen = set(permutation(len(files), seed, label)[:count].tolist())
        train[folder] = [file for k, file in enumerate(files) if k not in chosen]
        val[folder] = [file for k, file in enumerate(files) if k in chosen]
    count = sum(map(len, val.values()))
    if not count:
        raise RawconvError(f"{path} holds one picture per class; validation needs at least one class with two.")
    text = f"{path} has no validation folder: {count} pictures, a tenth of each class, are held out (seed {seed})."
    warn(text)
    return train, val


def flat(files):
    """(paths, labels) of all pictures, class by class."""
    paths = [file for some in files.classes.values() for file in some]
    return paths, [label for label, some in enumerate(files.classes.values()) for _ in some]


def _split(files, size, progress, desc, levels):
    paths, labels = flat(files)

    def make(i):
        with files.open_file(paths[i]) as file:
            return decode.decode(file, size, levels)

    def check(i):
        with files.open_file(paths[i]) as file, open_picture(file, size):
            return 0

    names = [files.where + "/".join(file) for file in paths]
    return decode.load_split(make, names, labels, size, progress, desc, check, levels)


def class_names(folders):
    """n01443537_goldfish -> goldfish, accents as one character; the folder's where two would share the name."""
    short = [composed(re.sub(r"^n\d{8}_(?=.)", "", folder)) for folder in folders]
    count = Counter(short)
    return [escaped(name if count[name] == 1 else folder) for name, folder in zip(short, folders, strict=True)]
