"""Folders of class folders, plain or inside a .zip (read in place, never unpacked).

    train/<class>/...  and  val/<class>/...     (or valid, validation, test)
    <class>/...                                 a tenth of each class is held out for validation

One more folder around all that is fine, and so are folders inside the class folders.
"""

import functools
import io
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from ..errors import RawconvError
from ..messages import warn
from . import decode
from .batches import permutation
from .levels import Levels
from .picture_file import Unreadable, open_picture

VALIDATION = ("val", "valid", "validation", "test")
HIDDEN = (".", "__MACOSX")  # the second is what macOS adds to zips
LARGEST = 1 << 28  # bytes: a zip entry that unpacks to more is no picture


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


def open_source(path, size, progress, seed):
    """(name, classes, train, val) of a folder or zip."""
    name, *parts = find(path, seed)
    levels = Levels()
    splits = [_split(files, size, progress, desc, levels) for files, desc in zip(parts, ("train", "val"), strict=True)]
    check_present(path, parts[0], splits[0].labels)
    return name, class_names(list(parts[0].classes)), *splits


def find(path, seed, val=None):
    """(name, train, val), two Files: what is to be read of a folder or zip, listed and not read.

    A tenth of each class is held out (by seed) where there are no validation pictures; val: another folder or zip that
    holds them.  RawconvError where classes or pictures are missing.
    """
    files, folders, open_file, name, where = _list(path)
    under = _common_folder(folders)
    tops = {top.lower(): top for top in _classes(files, folders, under)}
    held = next((tops[word] for word in VALIDATION if word in tops), None) if "train" in tops else None
    train = Files(_classes(files, folders, (*under, tops["train"]) if "train" in tops else under), where, open_file)
    if val:
        files, folders, open_file, _, where = _list(val)
        under, held = _common_folder(folders), str(val)
        kept = Files(_classes(files, folders, under), where, open_file)
    else:
        kept = train._replace(classes=_classes(files, folders, (*under, held)) if held else {})
    _refuse(path, train.classes, kept.classes, held)
    if not held:
        train, kept = (train._replace(classes=some) for some in _hold_out(path, train.classes, seed))
    return name, train, kept


def check_present(path, files, labels):
    """RawconvError where a class has no picture among those that could be read, whose labels are given."""
    present = set(labels.tolist())
    for label, folder in enumerate(files.classes):
        if label not in present:
            raise RawconvError(f"class folder {folder} of {path} has no readable training picture; remove or mend it.")


def _list(path):
    """(files, folders, open_file, name, where); files and folders sorted."""
    if path.is_dir():
        files, folders, open_file = _list_folder(path)
        name, where = path.resolve().name, f"{path}{os.sep}"
    else:
        files, folders, open_file = _list_zip(path)
        name, where = path.stem, ""
    return sorted(files), sorted(folders), open_file, name, where


def _list_folder(path):
    """All files and folders below, each as a tuple of names, hidden ones left out; and a function name -> open file."""
    files, folders, seen = [], [], set()
    for here, subs, names in os.walk(path, followlinks=True):
        if os.path.realpath(here) in seen:  # a link back to a folder above
            subs.clear()
            continue
        seen.add(os.path.realpath(here))
        subs[:] = sorted(sub for sub in subs if not sub.startswith(HIDDEN))
        parts = () if here == str(path) else tuple(os.path.relpath(here, path).split(os.sep))
        folders.append(parts)
        files += [(*parts, name) for name in names if not name.startswith(HIDDEN)]
    return files, folders, lambda parts: path.joinpath(*parts).open("rb")


def _list_zip(path):
    """The same for a zip."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, ValueError) as error:
        raise RawconvError(f"{path} is no folder and no intact zip ({error}); copy or download it again.") from error
    entries, folders, first = {}, {()}, os.getpid()
    for entry in archive.infolist():
        parts = tuple(part for part in entry.filename.replace("\\", "/").split("/") if part not in ("", "."))
        if any(part.startswith(HIDDEN) for part in parts):
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


def _common_folder(folders):
    """The one folder around all others, () if there is none."""
    tops = {folder[0] for folder in folders if folder}
    return tuple(tops) if len(tops) == 1 and sum(len(folder) == 2 for folder in folders) > 1 else ()


def _classes(files, folders, under):
    """{class folder: its files at any depth} of the folders directly below `under`; files and folders are sorted."""
    depth = len(under)
    found = {folder[depth]: [] for folder in folders if folder[:depth] == under and len(folder) > depth}
    for file in files:
        if file[:depth] == under and len(file) > depth + 1:
            found[file[depth]].append(file)
    return found


def _refuse(path, train, val, held):
    """Say what is missing before anything is decoded."""
    if not any(train.values()):
        raise RawconvError(f"{path} holds no class folders with pictures; give each class a folder of its own.")
    if len(train) == 1:
        raise RawconvError(
            f"{path} holds one class only ({next(iter(train))}); a net needs at least two to tell apart."
        )
    if held and train.keys() != val.keys():
        one = sorted(train.keys() ^ val.keys())[0]
        raise RawconvError(
            f"the training and validation folders of {path} differ in class {one}; give both the same class folders."
        )
    for folder, files in [*train.items(), *val.items()]:
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
    """n01443537_goldfish -> goldfish, unless two folders would share the name."""
    short = [re.sub(r"^n\d{8}_(?=.)", "", folder) for folder in folders]
    count = Counter(short)
    return [name if count[name] == 1 else folder for name, folder in zip(short, folders, strict=True)]
