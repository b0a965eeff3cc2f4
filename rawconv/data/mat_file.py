"""A table of a MATLAB file, version 5: one array of structures, as the devkit of ILSVRC keeps its classes in meta.mat.

A file is a header of 128 bytes and elements: a tag (kind, bytes) and its content, filled up to 8 bytes.  An array is
an element of elements: its class, its dimensions, its name, then what it holds.  Arrays of numbers, texts and
structures are read, anything else is passed over.  MathWorks, "MAT-File Format", describes it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..files.storage import Wrong, excess, room

HEADER = 128
MATRIX, COMPRESSED = 14, 15  # kinds of elements
KINDS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 16: "u1", 17: "u2",
}  # fmt: skip
STRUCTURE, TEXT, NUMBERS = 2, 4, range(6, 16)  # classes of arrays
UTF8 = 16


class Element(NamedTuple):
    """kind: of KINDS, MATRIX or COMPRESSED.  data: its bytes, without what fills them up."""

    kind: int
    data: memoryview


def is_mat(data: bytes) -> bool:
    """Whether a file's content begins as one of version 5 does."""
    return len(data) >= HEADER and data[124:128] in (b"\0\1IM", b"\1\0MI")


def table(data: bytes) -> list[dict[str, Any]]:
    """Return the first array of structures of a file's content as [{field: text or numbers}].

    Wrong: there is none, or the file is damaged.
    """
    order = "<" if data[126:128] == b"IM" else ">"
    try:
        for element in _elements(memoryview(data)[HEADER:], order):
            if element.kind == COMPRESSED:
                element = next(_elements(_inflated(element.data), order))
            if element.kind == MATRIX and _class(element.data, order) == STRUCTURE:
                return _structures(element.data, order)
    except (IndexError, StopIteration, ValueError, KeyError, struct.error, zlib.error) as error:
        raise Wrong("is a damaged file of MATLAB") from error
    raise Wrong("is a file of MATLAB without a table")


def _inflated(data: memoryview) -> memoryview:
    """Return the content of a compressed element, no more of it than a file of this size may take."""
    stream = zlib.decompressobj()
    inflated = stream.decompress(data, room() + 10 * len(data) + 1)
    if too_much := excess(len(inflated), len(data)):
        raise Wrong(f"unpacks to more than {too_much}")
    return memoryview(inflated)


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """Yield the elements that follow one another in `data`."""
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}2I", data, place)
        if kind >> 16:  # a small one: its size stands in the upper half, its data in the tag
            kind, size, begin, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        else:
            begin = place + 8
            end = begin + size + (0 if kind == COMPRESSED else -size % 8)
        if begin + size > len(data):
            raise ValueError("cut off")
        yield Element(kind, data[begin : begin + size])
        place = end


def _class(data: memoryview, order: str) -> int:
    """Return the class of an array, STRUCTURE for one; 0 of an empty element, which is no array."""
    flags = next(_elements(data, order), None)
    return int(_numbers(flags, order)[0]) & 0xFF if flags else 0


def _numbers(element: Element, order: str) -> np.ndarray:
    return np.frombuffer(element.data, f"{order}{KINDS[element.kind]}")


def _structures(data: memoryview, order: str) -> list[dict[str, Any]]:
    """Return the rows of an array of structures: dimensions, name, length of the fields' names, the
    names, then every field of the first row, of the second, ...
    """
    _, _, _, length, names, *values = _elements(data, order)
    size = int(_numbers(length, order)[0])
    fields = [
        bytes(names.data[k : k + size]).split(b"\0")[0].decode()
        for k in range(0, len(names.data), size)
    ]
    rows = [values[k : k + len(fields)] for k in range(0, len(values), len(fields))]
    return [
        {field: _value(element.data, order) for field, element in zip(fields, row, strict=True)}
        for row in rows
    ]


def _value(data: memoryview, order: str) -> str | list[Any] | None:
    """Return the text or the list of numbers of an array; None for anything else."""
    kind, (*_, content) = _class(data, order), [None, *_elements(data, order)]
    if content is None or kind not in (TEXT, *NUMBERS):
        return None
    if kind == TEXT and content.kind == UTF8:
        return bytes(content.data).decode()
    numbers = _numbers(content, order)
    return "".join(map(chr, numbers)) if kind == TEXT else numbers.tolist()
