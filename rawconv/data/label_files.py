"""Lists that give the class of each image, where no folder does.

    a.png,cat                                   name and class; a header's words tell which column is which
    a.png,0,1,0                                 a column for each class, named in the header; 1 marks the image's own
    val_0.JPEG  n03444034  0 32 44 62           Tiny-ImageNet's val_annotations.txt
    490                                         ILSVRC2012_validation_ground_truth.txt: a number for each image in
                                                the order of names; a list of synsets, or the development kit's
                                                meta.mat, says which class is number 1, ...

A name is a path below the data set, or a file's own name, with or without its ending.  A letter and
its accent may be one character in the list and two in the file's name, or the reverse.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..errors import RawconvError
from ..files.messages import composed, few, warn
from ..files.storage import Wrong, open_file
from . import mat_file

NAMES = ("name", "file", "filename", "file_name", "path", "filepath", "image", "image_name", "img", "picture", "id",
         "image_id", "imageid", "image_path")  # fmt: skip
CLASSES = ("class", "label", "labels", "category", "class_name", "classname", "breed", "species", "wnid", "target",
           "predictionstring")  # fmt: skip
SYNSETS = ("synsets.txt", "synset_words.txt", "synset.txt", "map_clsloc.txt")
TRUTH, ANNOTATIONS = "ILSVRC2012_validation_ground_truth.txt", "val_annotations.txt"
META = "meta.mat"  # beside TRUTH in the development kit
LARGEST, IMAGENET = 1 << 28, 1000  # bytes of a list; classes of ILSVRC


Names = tuple[str, ...]  # a path below the data set


class Labels(NamedTuple):
    """The content of a list.

    where: its path, for messages.  rows: [(line, name, class)], or of a list of numbers: [class] alone.
    header: whether row 0 may be a header of unknown words.
    """

    where: str
    rows: list[Any]
    numbers: bool = False
    header: bool = False  # whether row 0 may be a header whose words are unknown


def read(path: str, synsets: str | None = None) -> Labels:
    """Return the Labels of a file.  RawconvError: it is no such list."""
    content = _content(path)
    if b"\0" in content:
        raise _unreadable(path)
    return parse(content, str(path), _content(synsets) if synsets else None, str(synsets))


def parse(data: bytes, where: str, synsets: bytes | None = None, synsets_where: str = "") -> Labels:
    """Return the Labels of a file's content; synsets: the content of a list of synsets or of meta.mat."""
    lines = _lines(data)
    if lines and all(re.fullmatch(r"\s*\d{1,9}\s*", line) for _, line in lines):
        numbers = [int(line) for _, line in lines]
        if synsets is None:
            raise RawconvError(
                f"{where} holds numbers alone; name the development kit's {META}, or a list of their classes "
                "(n02119789 a line, the first is number 1), with --synsets FILE."
            )
        classes = _numbered(synsets, synsets_where)
        wrong = next((number for number in numbers if number not in classes), None)
        if wrong is not None:
            raise RawconvError(
                f"{where} names class {wrong}, and {synsets_where} has no such; name the right list."
            )
        return Labels(where, [classes[number] for number in numbers], True)
    return _table(lines, where)


def _content(path: str) -> bytes:
    try:
        with open_file(path, "labels.csv") as file:
            data = file.read(LARGEST + 1)
    except Wrong as wrong:
        raise RawconvError(
            f"{path} {wrong}. {wrong.remedy or 'Name a list of names and classes.'}"
        ) from wrong
    if len(data) > LARGEST:
        raise _unreadable(path)
    return data


def _unreadable(path: str) -> RawconvError:
    return RawconvError(f"{path} is no list of names and classes in UTF-8; save it as UTF-8 text.")


def _lines(data: bytes) -> list[tuple[int, str]]:
    """Return [(number, line)] of the lines that are not blank."""
    text = data.decode("utf-8-sig", "surrogateescape")
    return [(k, line) for k, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]


def _table(lines: list[tuple[int, str]], where: str) -> Labels:
    if not lines:
        raise RawconvError(
            f"{where} is empty; each of its lines is a picture's name and its class."
        )
    rows = _rows(lines, where)
    columns = _columns(rows[0][1])
    if columns is None and _columns_are_classes(rows):
        return Labels(
            where,
            [(line, cells[0], _marked(line, cells, rows[0][1], where)) for line, cells in rows[1:]],
        )
    name, label = columns or (0, 1)
    labelled = [
        _row(number, cells, name, label, where) for number, cells in (rows[1:] if columns else rows)
    ]
    return Labels(where, labelled, header=columns is None)


def _row(number: int, cells: list[str], name: int, label: int, where: str) -> tuple[int, str, str]:
    """Return (line number, name, class) of a line's cells, of which those numbered `name` and
    `label` are these.
    """
    if len(cells) <= max(name, label) or not cells[name] or not cells[label]:
        raise RawconvError(
            f"line {number} of {where} is not a picture's name and its class; write name,class."
        )
    return number, cells[name], _class(cells[label])


def _rows(lines: list[tuple[int, str]], where: str) -> list[tuple[int, list[str]]]:
    """Return [(line number, cells)]."""
    delimiter = next((mark for mark in "\t,; " if mark in lines[0][1].strip()), ",")
    return [(number, _cells(line, delimiter, number, where)) for number, line in lines]


def _cells(line: str, delimiter: str, number: int, where: str) -> list[str]:
    try:
        cells = line.split() if delimiter == " " else next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        raise RawconvError(f"line {number} of {where} cannot be read ({error}).") from error
    return [cell.strip() for cell in cells]


def _columns(head: list[str]) -> tuple[int, int] | None:
    """Return (the column of the names, that of the classes) of a header; None where it is not one."""
    head = [cell.lower() for cell in head]
    name, label = (
        next((head.index(word) for word in words if word in head), -1) for words in (NAMES, CLASSES)
    )
    return None if -1 in (name, label) else (name, label)


def _columns_are_classes(rows: list[tuple[int, list[str]]]) -> bool:
    """Whether a header of three columns or more stands over names, and 0 or 1 in all other cells."""
    (_, head), *rest = rows
    marks = [len(cells) == len(head) and all(map(_is_mark, cells[1:])) for _, cells in rest]
    return len(head) > 2 and not any(map(_is_mark, head)) and bool(marks) and all(marks)


def _is_mark(text: str) -> bool:
    return re.fullmatch(r"[01](\.0*)?", text) is not None


def _marked(line: int, cells: list[str], head: list[str], where: str) -> str:
    """Return the name of the column that has the 1."""
    marked = [name for name, cell in zip(head[1:], cells[1:], strict=True) if cell.startswith("1")]
    if len(marked) != 1:
        raise RawconvError(
            f"line {line} of {where} marks {len(marked)} of the classes in its header, and a picture is of one; write "
            "its name and that class, under a header such as name,class."
        )
    return marked[0]


def _class(text: str) -> str:
    """Return the class alone: Kaggle's ILSVRC list has a box after each one, "n03995372 85 1 499 272"."""
    box = re.fullmatch(r"(n\d{8})(?: \d+)+(?: n\d{8}(?: \d+)+)*", text)
    return box[1] if box else text


def _numbered(synsets: bytes, where: str) -> dict[int, str]:
    """Return {number from 1: class} of a list: "n02119789 kit fox" is the next number, "n02119789 1
    kit_fox" is 1; or of meta.mat, which has both.
    """
    if mat_file.is_mat(synsets):
        return _of_meta(synsets, where)
    if b"\0" in synsets:
        raise _unreadable(where)
    classes = {}
    for k, (_, line) in enumerate(_lines(synsets), 1):
        own = re.match(r"\s*(n\d{8})\s+(\d{1,9})\b", line)
        wnid = re.match(r"\s*(n\d{8})\b", line)
        classes[int(own[2]) if own else k] = wnid[1] if wnid else line.strip()
    listed = list(classes.values())
    if (
        len(listed) == IMAGENET
        and list(classes) == list(range(1, IMAGENET + 1))
        and listed == sorted(listed)
    ):
        raise RawconvError(
            f"{where} has the classes in alphabetical order, and the numbers of {TRUTH} are in the order of the "
            f"development kit's {META}, which begins with n02119789; name that file, or a list in its order."
        )
    return classes


def _of_meta(content: bytes, where: str) -> dict[int, str]:
    """Return {number: wnid} of the development kit's meta.mat; numbers above 1000 are of what stands
    above the classes in WordNet.
    """
    try:
        rows = mat_file.table(content)
        return {int(row["ILSVRC2012_ID"][0]): str(row["WNID"]) for row in rows}
    except Wrong as wrong:
        raise RawconvError(f"{where} {wrong}; copy it from the development kit again.") from wrong
    except (LookupError, TypeError, ValueError) as error:
        raise RawconvError(
            f"{where} has no columns ILSVRC2012_ID and WNID, as the development kit's {META} has; name that file."
        ) from error


def assign(labels: Labels, files: Sequence[Names], where: object) -> dict[Names, str]:
    """Return {file: class} of the images (tuples of names) that a list names, and print what it leaves out.

    RawconvError: a name may be several files, a file has two classes, or numbers and images differ in count.
    """
    if labels.numbers:
        files = sorted(files)
        if len(files) != len(labels.rows):
            raise RawconvError(
                f"{labels.where} has {len(labels.rows)} lines, and {where} {len(files)} pictures."
            )
        return dict(zip(files, labels.rows, strict=True))
    names, missing = _names(files), []
    class_of: dict[Names, str] = {}
    for row, (line, name, label) in enumerate(labels.rows):
        file = _file(name, names, line, labels.where)
        if file is None:
            missing += [] if row == 0 and labels.header else [name]
        elif class_of.setdefault(file, label) != label:
            raise RawconvError(
                f"line {line} of {labels.where} gives {name} a second class, {label}; keep one."
            )
    if missing and class_of:
        warn(f"{len(missing)} names in {labels.where} are no pictures of {where}: {few(missing)}")
    return class_of


def _names(files: Iterable[Names]) -> dict[str, list[Names]]:
    """{a file's own name, with and without its ending: [files]}."""
    names = defaultdict(list)
    for file in files:
        own = composed(file[-1])
        for name in {own, own.rpartition(".")[0] or own}:
            names[name].append(file)
    return names


def _file(name: str, names: dict[str, list[Names]], line: int, where: str) -> Names | None:
    """Return the file of that name, None where there is none."""
    parts = tuple(
        part for part in composed(name).replace("\\", "/").split("/") if part not in ("", ".")
    )
    candidates = list(
        filter(lambda file: _below(parts, file), names.get(parts[-1] if parts else "", []))
    )
    candidates = [parts] if parts in candidates else candidates
    if len(candidates) > 1:
        first, second = ("/".join(file) for file in candidates[:2])
        raise RawconvError(
            f"{name} in line {line} of {where} may be {first} or {second}; write its path."
        )
    return candidates[0] if candidates else None


def _below(parts: Names, file: Names) -> bool:
    """Whether the folders that both paths have agree: those of a list may begin above the data set,
    or within it.
    """
    shared = min(len(parts), len(file))
    return parts[-shared:-1] == tuple(map(composed, file[-shared:-1]))
