r"""A data set in one line of text, as --data takes it and a checkpoint keeps it.

    photos/                               a folder, a zip, a packed file; scenes:2000 and the like
    photos/,labels=list.csv               its classes from a list (label_files.py); synsets=FILE: what the numbers mean
    train=photos/a,val=photos/b           these folders of class folders, taken as they are
    photos/,range=0:4095                  black and white of pictures with more than 8 bits (levels.py)
    photos/@cat,dog                       two of its classes (subset.py)

A comma within a path or a name is written \, there.  Text that is the path of something that exists is that path.
"""

import os
import re
from typing import NamedTuple

from ..errors import UsageError

OPTIONS = ("train", "val", "labels", "synsets", "range")
PATHS = ("val", "labels", "synsets")


class Source(NamedTuple):
    """`path`, a folder, zip or file.  named: it is a training folder, whose folders are classes, never splits.

    val, labels, synsets: further paths, or None.  range: LOW:HIGH, or None.
    """

    path: str
    named: bool = False
    val: str | None = None
    labels: str | None = None
    synsets: str | None = None
    range: str | None = None

    def text(self):
        """What `parse` reads."""
        plain = self._replace(path="") == Source("")
        path = self.path if plain else joined([self.path])
        rest = [f"{key}={joined([value])}" for key in OPTIONS[1:] if (value := getattr(self, key))]
        return ",".join([f"train={path}" if self.named else path, *rest])

    def paths(self):
        """{option: path} of all that it names."""
        first = {"train" if self.named else "data": self.path}
        return first | {key: value for key in PATHS if (value := getattr(self, key))}


def parse(text):
    """The Source that a text without @classes names.  UsageError where it names a path twice or none."""
    if not text:
        raise UsageError("The data set is empty text; name a folder, zip or packed file, or 'scenes'.")
    first, *rest = parted(text)
    options = [part.partition("=") for part in rest]
    plain = not rest and not first.startswith("train=")
    if plain or os.path.exists(os.path.expanduser(text)) or any(key not in OPTIONS[1:] for key, *_ in options):
        return Source(text)
    named = first.startswith("train=")
    source = Source(first.removeprefix("train="), named)
    for key, _, value in options:
        if getattr(source, key) or not value:
            raise UsageError(f"{text} names {key} {'twice' if value else 'without a value'}; name it once.")
        source = source._replace(**{key: value})
    if not source.path:
        raise UsageError(f"{text} names no folder of training pictures.")
    return source


def divided(text):
    """(what is before @, the names of the classes after it) of a text; (text, None) where it names no classes."""
    whole, at, classes = text.rpartition("@")
    if not (at and whole) or all(os.path.exists(os.path.expanduser(path)) for path in parse(text).paths().values()):
        return text, None
    return whole, parted(classes)


def source_text(data=None, train=None, val=None, labels=None, synsets=None, value_range=None):
    """The text of what --data, --train, --val, --labels, --synsets and --range say together; None of nothing."""
    data, train, val, labels, synsets = (path and str(path) for path in (data, train, val, labels, synsets))
    if train and data:
        raise UsageError("--train names the training pictures, as --data does; leave one of them out.")
    given = {"val": val, "labels": labels, "synsets": synsets, "range": value_range}
    given = {key: value for key, value in given.items() if value}
    if not (train or data):
        if given:
            raise UsageError(f"--{next(iter(given))} needs the training pictures; name them with --train or --data.")
        return None
    if synsets and not labels:
        raise UsageError("--synsets says what the numbers of --labels mean; name both.")
    if not (train or given):
        return data
    if train:
        return Source(train, True, **given).text()
    whole, classes = divided(data)
    return parse(whole)._replace(**given).text() + (f"@{joined(classes)}" if classes else "")


def absolute(text):
    """The text that means the same in any folder: what exists gets its whole path."""
    text = os.fspath(text)
    if not text:
        return text
    whole, classes = divided(text)
    source = parse(whole)
    paths = {key: _absolute(path) for key in ("path", *PATHS) if (path := getattr(source, key))}
    return source._replace(**paths).text() + (f"@{joined(classes)}" if classes else "")


def _absolute(path):
    whole = os.path.expanduser(path)
    return os.path.abspath(whole) if os.path.exists(whole) else path


def joined(names):
    r"""Names as in SOURCE@cat,dog: a comma within a name is written \,."""
    return ",".join(name.replace(",", r"\,") for name in names)


def parted(text):
    """The names that `joined` wrote."""
    return [name.replace(r"\,", ",") for name in re.split(r"(?<!\\),", text)]
