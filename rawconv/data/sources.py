r"""A data set in one line of text, as --data takes it and a checkpoint keeps it.

    photos/                               a folder, a zip, a packed file; scenes:2000 and the like
    photos/,labels=list.csv               its classes from a list (label_files.py); synsets=FILE: what the numbers mean
    train=photos/a,val=photos/b           these folders of class folders, taken as they are
    photos/,range=0:4095                  black and white of pictures with more than 8 bits (levels.py)
    photos/@cat,dog                       two of its classes (subset.py)

A comma within a path or a name is written \, there.  Text that is the path of something that exists
is that path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..errors import UsageError

Path = str | os.PathLike[str]
OPTIONS = ("train", "val", "labels", "synsets", "range")
PATHS = ("val", "labels", "synsets")


class Source(NamedTuple):
    """A folder, zip or file, `path`, and what the user named beside it.

    named: it is a training folder, whose folders are classes and never splits.
    val, labels, synsets: further paths, or None.  range: LOW:HIGH, or None.
    """

    path: str
    named: bool = False
    val: str | None = None
    labels: str | None = None
    synsets: str | None = None
    range: str | None = None

    def text(self) -> str:
        """Return the text that `parse` turns into this Source."""
        plain = self._replace(path="") == Source("")
        path = self.path if plain else join_names([self.path])
        rest = [
            f"{key}={join_names([value])}" for key in OPTIONS[1:] if (value := getattr(self, key))
        ]
        return ",".join([f"train={path}" if self.named else path, *rest])

    def paths(self) -> dict[str, str]:
        """Return {option: path} of all paths that it names."""
        first = {"train" if self.named else "data": self.path}
        return first | {key: value for key in PATHS if (value := getattr(self, key))}


def parse(text: str) -> Source:
    """Return the Source of a text without @classes.  UsageError: it names a path twice or none."""
    if not text:
        raise UsageError(
            "The data set is empty text; name a folder, zip or packed file, or 'scenes'."
        )
    first, *rest = split_names(text)
    options = [part.partition("=") for part in rest]
    known = all(key in OPTIONS[1:] for key, *_ in options) and (rest or first.startswith("train="))
    if not known or _exists(text):
        return Source(text)
    source = Source(first.removeprefix("train="), first.startswith("train="))
    for key, _, value in options:
        source = _with(source, key, value, text)
    if not source.path:
        raise UsageError(f"{text} names no folder of training pictures.")
    return source


def _with(source: Source, key: str, value: str, text: str) -> Source:
    """Return the source with one more of its paths."""
    if getattr(source, key) or not value:
        raise UsageError(
            f"{text} names {key} {'twice' if value else 'without a value'}; name it once."
        )
    changes: dict[str, Any] = {key: value}
    return source._replace(**changes)


def _exists(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))


def divided(text: str) -> tuple[str, list[str] | None]:
    """Return (what is before @, the names of the classes after it); (text, None) where it names no
    classes.
    """
    whole, at, classes = text.rpartition("@")
    if not (at and whole) or all(_exists(path) for path in parse(text).paths().values()):
        return text, None
    return whole, split_names(classes)


def source_text(
    data: Path | None = None,
    train: Path | None = None,
    val: Path | None = None,
    labels: Path | None = None,
    synsets: Path | None = None,
    value_range: str | None = None,
) -> str | None:
    """Return the text for --data, --train, --val, --labels, --synsets and --range together; None if
    none is given.

    UsageError: they contradict each other, or lack the training images.
    """
    named = {"val": val, "labels": labels, "synsets": synsets, "range": value_range}
    options: dict[str, Any] = {key: str(value) for key, value in named.items() if value}
    _check_options(data, train, options)
    if train:
        return Source(str(train), True, **options).text()
    if not (data and options):
        return str(data) if data else None
    whole, classes = divided(str(data))
    return parse(whole)._replace(**options).text() + (f"@{join_names(classes)}" if classes else "")


def _check_options(data: Path | None, train: Path | None, options: dict[str, Any]) -> None:
    """UsageError: --data, --train and the other options {name: value} contradict each other."""
    if train and data:
        raise UsageError(
            "--train names the training pictures, as --data does; leave one of them out."
        )
    if options and not (train or data):
        raise UsageError(
            f"--{next(iter(options))} needs the training pictures; name them with --train or --data."
        )
    if "synsets" in options and "labels" not in options:
        raise UsageError("--synsets says what the numbers of --labels mean; name both.")


def absolute(text: Path) -> str:
    """Return the text that means the same in any folder: every path that exists is made absolute."""
    text = os.fspath(text)
    if not text:
        return text
    whole, classes = divided(text)
    source = parse(whole)
    paths: dict[str, Any] = {
        key: _absolute(path) for key in ("path", *PATHS) if (path := getattr(source, key))
    }
    return source._replace(**paths).text() + (f"@{join_names(classes)}" if classes else "")


def _absolute(path: str) -> str:
    whole = os.path.expanduser(path)
    return os.path.abspath(whole) if os.path.exists(whole) else path


def join_names(names: Iterable[str]) -> str:
    r"""Join names as in SOURCE@cat,dog; a comma within a name is written \,."""
    return ",".join(name.replace(",", r"\,") for name in names)


def split_names(text: str) -> list[str]:
    """Split what `join_names` wrote into names."""
    return [name.replace(r"\,", ",") for name in re.split(r"(?<!\\),", text)]
