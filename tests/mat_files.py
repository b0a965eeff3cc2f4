"""MATLAB files of version 5, written byte by byte: meta.mat as the development kit of ILSVRC has it."""

import struct
import zlib

INT8, INT32, UINT32, DOUBLE, UINT16, MATRIX, COMPRESSED = 1, 5, 6, 9, 4, 14, 15


def meta(synsets, order="<", compressed=True):
    """meta.mat of [(number, wnid, words), ...]; those with a number above 1000 stand above others in WordNet."""
    rows = [
        {
            "ILSVRC2012_ID": [float(number)], "WNID": wnid, "words": words, "gloss": "what it is",
            "num_children": [float(number > 1000)], "children": [1.0, 2.0] if number > 1000 else [],
        }
        for number, wnid, words in synsets
    ]  # fmt: skip
    table = structures("synsets", rows, order)
    if compressed:
        packed = zlib.compress(table)
        table = struct.pack(f"{order}2I", COMPRESSED, len(packed)) + packed
    other = array(6, (1, 1), "x", element(DOUBLE, struct.pack(f"{order}d", 1), order), order)
    return header(order) + other + table


def header(order="<"):
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}2H", 0x100, 0x4D49)


def element(kind, data, order):
    if 0 < len(data) <= 4:  # a small one, in the tag
        return struct.pack(f"{order}I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(f"{order}2I", kind, len(data)) + data + bytes(-len(data) % 8)


def array(kind, shape, name, content, order):
    parts = [
        element(UINT32, struct.pack(f"{order}2I", kind, 0), order),
        element(INT32, struct.pack(f"{order}{len(shape)}i", *shape), order),
        element(INT8, name.encode(), order),
        content,
    ]
    return element(MATRIX, b"".join(parts), order)


def structures(name, rows, order):
    fields = list(rows[0])
    content = element(INT32, struct.pack(f"{order}i", 32), order)
    content += element(INT8, b"".join(field.encode().ljust(32, b"\0") for field in fields), order)
    content += b"".join(value(row[field], order) for row in rows for field in fields)
    return array(2, (len(rows), 1), name, content, order)


def value(content, order):
    shape = (1, len(content))
    if isinstance(content, str):
        letters = struct.pack(f"{order}{len(content)}H", *map(ord, content))
        return array(4, shape, "", element(UINT16, letters, order), order)
    numbers = struct.pack(f"{order}{len(content)}d", *content)
    return array(6, shape, "", element(DOUBLE, numbers, order), order)
