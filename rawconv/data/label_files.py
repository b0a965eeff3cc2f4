"""Lists that say which class a picture is of, where no folder does.

    a.png,cat                                   name and class; with a header line, columns are found by their names
    a.png,0,1,0                                 a column a class, whose name is in the header, and 1 in the own one
    val_0.JPEG  n03444034  0 32 44 62           Tiny-ImageNet's val_annotations.txt
    490                                         ILSVRC2012_validation_ground_truth.txt: a number for each picture in
                                                the order of names; a list of synsets says which class is number 1, ...

A name is a path below the data set, or a file's own name, with or without its ending.  An accent may be a character of
its own in one of them and a part of its letter in the other.
"""

import csv
import re
from collections import defaultdict
from typing import NamedTuple

from ..errors import RawconvError
from ..files.messages import composed, warn

NAMES = ("name", "file", "filename", "file_name", "path", "filepath", "image", "image_name", "img", "picture", "id",
         "image_id", "imageid", "image_path")  # fmt: skip
CLASSES = ("class", "label", "labels", "category", "class_name", "classname", "breed", "species", "wnid", "target",
           "predictionstring")  # fmt: skip
SYNSETS = ("synsets.txt", "synset_words.txt", "synset.txt", "map_clsloc.txt")
TRUTH, ANNOTATIONS = "ILSVRC2012_validation_ground_truth.txt", "val_annotations.txt"
LARGEST, IMAGENET = 1 << 28, 1000  # bytes of a list; classes of ILSVRC


class Labels(NamedTuple):
    """What a list says.  where: its path, for messages.  rows: [(line, name, class)], or of numbers: [class] alone."""

    where: str
    rows: list
    numbers: bool = False
    header: bool = False  # whether row 0 may be a header whose words are unknown


def read(path, synsets=None):
    """The Labels of a file.  RawconvError where it is no such list."""
    return parse(_content(path), str(path), _content(synsets) if synsets else None, str(synsets))


def parse(data, where, synsets=None, synsets_where=""):
    """The same of the file's content, and of that of a list of synsets: bytes."""
    lines = _lines(data)
    if lines and all(re.fullmatch(r"\s*\d{1,9}\s*", line) for _, line in lines):
        numbers = [int(line) for _, line in lines]
        if synsets is None:
            raise RawconvError(
                f"{where} holds numbers alone; name the list of their classes (n02119789 a line, the first is number "
                f"1) with --synsets FILE."
            )
        classes = _numbered(synsets, synsets_where)
        wrong = next((number for number in numbers if number not in classes), None)
        if wrong is not None:
            raise RawconvError(f"{where} names class {wrong}, and {synsets_where} has no such; name the right list.")
        return Labels(where, [classes[number] for number in numbers], True)
    return _table(lines, where)


def _content(path):
    from pathlib import Path

    from ..files.storage import Wrong, open_file

    try:
        with open_file(path, "labels.csv") as file:
            data = file.read(LARGEST + 1)
    except Wrong as wrong:
        raise RawconvError(f"{path} {wrong}. {wrong.remedy or 'Name a list of names and classes.'}") from wrong
    if len(data) > LARGEST or b"\0" in data:
        raise RawconvError(f"{Path(path)} is no list of names and classes in UTF-8; save it as UTF-8 text.")
    return data


def _lines(data):
    """[(number, line)] that are not blank."""
    text = data.decode("utf-8-sig", "surrogateescape")
    return [(k, line) for k, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]


def _table(lines, where):
    if not lines:
        raise RawconvError(f"{where} is empty; each of its lines is a picture's name and its class.")
    delimiter = next((mark for mark in "\t,; " if mark in lines[0][1].strip()), ",")
    rows = []
    try:
        for number, line in lines:
            cells = line.split() if delimiter == " " else next(csv.reader([line], delimiter=delimiter))
            rows.append((number, [cell.strip() for cell in cells]))
    except csv.Error as error:
        raise RawconvError(f"line {number} of {where} cannot be read ({error}).") from error
    name, label = 0, 1
    head = [cell.lower() for cell in rows[0][1]]
    columns = [next((head.index(word) for word in words if word in head), None) for words in (NAMES, CLASSES)]
    known = None not in columns
    if known:
        (name, label), rows = columns, rows[1:]
    elif _columns_are_classes(rows):
        return Labels(where, [(line, cells[0], _marked(line, cells, rows[0][1], where)) for line, cells in rows[1:]])
    found = []
    for number, cells in rows:
        if len(cells) <= max(name, label) or not cells[name] or not cells[label]:
            raise RawconvError(f"line {number} of {where} is not a picture's name and its class; write name,class.")
        found.append((number, cells[name], _class(cells[label])))
    return Labels(where, found, header=not known)


def _columns_are_classes(rows):
    """Whether a header of three columns or more stands over names, and 0 or 1 in all other cells."""
    (_, head), *rest = rows
    marks = [len(cells) == len(head) and all(map(_is_mark, cells[1:])) for _, cells in rest]
    return len(head) > 2 and not any(map(_is_mark, head)) and bool(marks) and all(marks)


def _is_mark(text):
    return re.fullmatch(r"[01](\.0*)?", text) is not None


def _marked(line, cells, head, where):
    """The name of the column that has the 1."""
    found = [name for name, cell in zip(head[1:], cells[1:], strict=True) if cell.startswith("1")]
    if len(found) != 1:
        raise RawconvError(
            f"line {line} of {where} marks {len(found)} of the classes in its header, and a picture is of one; write "
            "its name and that class, under a header such as name,class."
        )
    return found[0]


def _class(text):
    """Kaggle's ILSVRC list has a box after each class: "n03995372 85 1 499 272"."""
    box = re.fullmatch(r"(n\d{8})(?: \d+)+(?: n\d{8}(?: \d+)+)*", text)
    return box[1] if box else text


def _numbered(synsets, where):
    """{number from 1: class} of a list: "n02119789 kit fox" is the next number, "n02119789 1 kit_fox" its own."""
    classes = {}
    for k, (_, line) in enumerate(_lines(synsets), 1):
        own = re.match(r"\s*(n\d{8})\s+(\d{1,9})\b", line)
        wnid = re.match(r"\s*(n\d{8})\b", line)
        classes[int(own[2]) if own else k] = wnid[1] if wnid else line.strip()
    listed = list(classes.values())
    if len(listed) == IMAGENET and list(classes) == list(range(1, IMAGENET + 1)) and listed == sorted(listed):
        raise RawconvError(
            f"{where} has the classes in alphabetical order, and the numbers of {TRUTH} are in the order of the "
            "development kit's meta.mat, which begins with n02119789; name a list in that order."
        )
    return classes


def assign(labels, files, where):
    """{file: class} of the pictures (tuples of names) that a list names; the rest is said.

    RawconvError where a name may be several files, a file has two classes, or numbers and pictures differ in count.
    """
    if labels.numbers:
        files = sorted(files)
        if len(files) != len(labels.rows):
            raise RawconvError(f"{labels.where} has {len(labels.rows)} lines, and {where} {len(files)} pictures.")
        return dict(zip(files, labels.rows, strict=True))
    names, found, missing = _names(files), {}, []
    for row, (line, name, label) in enumerate(labels.rows):
        file = _file(name, names, line, labels.where)
        if file is None:
            missing += [] if row == 0 and labels.header else [name]
        elif found.setdefault(file, label) != label:
            raise RawconvError(f"line {line} of {labels.where} gives {name} a second class, {label}; keep one.")
    if missing and found:
        warn(f"{len(missing)} names in {labels.where} are no pictures of {where}: {_few(missing)}")
    return found


def _names(files):
    """{a file's own name, with and without its ending: [files]}."""
    names = defaultdict(list)
    for file in files:
        own = composed(file[-1])
        for name in {own, own.rpartition(".")[0] or own}:
            names[name].append(file)
    return names


def _file(name, names, line, where):
    """The file that is called so, None where there is none."""
    parts = tuple(part for part in composed(name).replace("\\", "/").split("/") if part not in ("", "."))
    found = [file for file in names.get(parts[-1] if parts else "", []) if _below(parts, file)]
    found = [file for file in found if file == parts] or found
    if len(found) > 1:
        one, two = ("/".join(file) for file in found[:2])
        raise RawconvError(f"{name} in line {line} of {where} may be {one} or {two}; write its path.")
    return found[0] if found else None


def _below(parts, file):
    """Whether the folders that both have are the same: a list's paths may begin above the data set, or within it."""
    shared = min(len(parts), len(file))
    return parts[-shared:-1] == tuple(map(composed, file[-shared:-1]))


def _few(names):
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
