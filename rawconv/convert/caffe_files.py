"""The files of a Caffe net, read into messages and arrays: .caffemodel, .caffemodel.h5, .prototxt, .binaryproto."""

import itertools
from typing import NamedTuple

import numpy as np

from ..files.storage import SIGNATURE, Wrong, open_file
from .caffe_blobs import dims_of, from_hdf5, from_layers, numbers_of
from .caffe_fields import meant, unknown_in_text
from .caffe_graph import layers_of
from .caffe_schema import fields, message

MOST_TEXT = 1 << 18  # bytes of a .prototxt
MOST_FIELDS = 1 << 16  # of a file: protobuf makes a few hundred bytes of one that has three


class Files(NamedTuple):
    """net: the NetParameter that says which layers there are.  unknown: {(its field, number): [(where,
    name, message)]} of the fields of its layers that Caffe does not have; None where it is no text.
    layers: of all files, for what they say of pixels.  blobs: {name of a layer: [Blob]}."""

    net: object
    unknown: dict | None
    layers: list
    blobs: dict


def read_files(path, prototxt):
    """The Files of a .caffemodel or .caffemodel.h5, and of the text that goes with it, or None."""
    with open_file(path, "bvlc_alexnet.caffemodel") as file:
        data = file.read(len(SIGNATURE))
        file.seek(0)
        in_hdf5 = data == SIGNATURE
        if in_hdf5 and not prototxt:
            raise Wrong(
                "holds weights alone, not layers",
                "Name the deploy.prototxt that it belongs to with --prototxt.",
            )
        weights = None if in_hdf5 else parse(file.read())
        blobs = from_hdf5(file) if in_hdf5 else from_layers(layers_of(weights))
    trained = [] if in_hdf5 else layers_of(weights)
    if not prototxt:
        return Files(weights, None, trained, blobs)
    net, unknown = _text(prototxt)
    return Files(net, unknown, [*layers_of(net), *trained], blobs)


def parse(data, name="NetParameter", what="is damaged: it"):
    """The message `name` in these bytes."""
    from google.protobuf.message import DecodeError

    numbers = fields(memoryview(data), name)
    if sum(1 for _ in itertools.islice(numbers, MOST_FIELDS + 1)) > MOST_FIELDS:
        raise Wrong(f"has more than {MOST_FIELDS} fields, which is no sensible net")
    try:
        return message(name).FromString(data)
    except DecodeError as error:
        raise Wrong(f"{what} is no {name} of Caffe") from error


def _text(path):
    """(the NetParameter of a .prototxt, the unknown fields of its layers)."""
    from google.protobuf import text_format

    net = message("NetParameter")()
    with open_file(path, "deploy.prototxt") as file:
        text = file.read(MOST_TEXT + 1)
    try:
        if len(text) > MOST_TEXT:
            raise ValueError("it is longer than 256 KB")
        text_format.Parse(text.decode(), net, allow_unknown_field=True)
        names, unknown = unknown_in_text(text.decode())
    except (text_format.ParseError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())[:200]
        raise Wrong(
            f"cannot be read with {path}, which is no net in Caffe's text form ({what})"
        ) from error
    if names:
        raise Wrong(
            f"cannot be read with {path}, which has the field {names[0]!r:.80}: nets of Caffe do not have it"
            f"{meant(names[0], 'NetParameter')}",
            "Mend it there.",
        )
    return net, unknown


def read_mean(path):
    """The mean picture of a .binaryproto: (S, S, C), or (C,) of one pixel."""
    with open_file(path, "imagenet_mean.binaryproto") as file:
        blob = parse(file.read(), "BlobProto", f"cannot be used with {path}, which")
    dims = dims_of(blob)[-3:]
    try:
        found = numbers_of(blob)
    except ValueError as error:
        raise Wrong(f"cannot be used with the mean {path}: {error}") from error
    if (
        len(dims) != 3
        or min(dims) < 1
        or dims[0] * dims[1] * dims[2] != len(found)
        or dims[1] != dims[2]
    ):
        raise Wrong(
            f"cannot be used with the mean {path}: its {len(found)} numbers are no square picture ({list(dims)})"
        )
    mean = np.ascontiguousarray(found.reshape(dims).transpose(1, 2, 0), np.float32)
    return mean[0, 0] if mean.shape[:2] == (1, 1) else mean
