"""The arrays of a Caffe net, by the names of its layers: from a .caffemodel, or from a .caffemodel.h5, in
which the blobs of a layer are the datasets data/<layer>/0, data/<layer>/1, ...
"""

import math
import os
from typing import NamedTuple

import h5py
import numpy as np

from ..files.storage import Group, Wrong, hdf5

MOST_BLOBS = 16  # of a layer
MOST_GROUPS = 1 << 12  # of a file: Caffe makes one for each layer


class Blob(NamedTuple):
    """source: a BlobProto, or an array.  dims: its shape as the file says, () where it does not."""

    source: object
    dims: tuple

    @property
    def numbers(self):
        """All of them, one after another; of a BlobProto, copied when they are asked for."""
        return self.source if isinstance(self.source, np.ndarray) else numbers_of(self.source)


def numbers_of(blob):
    """All numbers of a BlobProto, float32 or float64."""
    data, size = (b"".join(blob.data), 4) if blob.data else (b"".join(blob.double_data), 8)
    if len(data) % size:
        raise ValueError("its array is cut off in the middle of a number")
    return np.frombuffer(data, f"<f{size}")


def dims_of(blob):
    """The shape that a BlobProto says, () where it does not; before version 2, of four numbers."""
    old = (blob.num, blob.channels, blob.height, blob.width)
    return tuple(blob.shape.dim) or (old if any(old) else ())


def from_layers(layers):
    """{name: [Blob]} of layers with BlobProtos.  Wrong where two with arrays have one name."""
    found = {}
    for layer in layers:
        if not layer.blobs:
            continue
        if layer.name in found:
            raise Wrong(f"is damaged: it holds the weights of two layers {layer.name!r:.80}")
        found[layer.name] = [Blob(blob, dims_of(blob)) for blob in layer.blobs]
    return found


def from_hdf5(file):
    """{name: [Blob]} of an open .caffemodel.h5.  A layer named a/b is a group b in a group a."""
    size = os.fstat(file.fileno()).st_size
    with hdf5(file) as opened:
        found, waiting, groups = {}, [("", Group(opened, size).group("data"))], 0
        while waiting:
            above, group = waiting.pop()
            names, arrays = _inside(group)
            groups += len(names)
            if groups > MOST_GROUPS:
                raise Wrong(f"has more than {MOST_GROUPS} groups, which is no sensible net")
            waiting += [(f"{above}/{name}".lstrip("/"), group.group(name)) for name in names]
            if arrays:
                found[above] = arrays
        group.check_total()
        return {
            name: [Blob(array.read().reshape(-1), array.shape) for array in arrays]
            for name, arrays in found.items()
        }


def _inside(group):
    """([names of the groups in a group], [its datasets 0, 1, ..., not read yet])."""
    names = group.names(MOST_GROUPS)
    groups = [name for name in names if isinstance(group.child(name, h5py.HLObject), h5py.Group)]
    if len(names) - len(groups) > MOST_BLOBS:
        raise Wrong(f"has more than {MOST_BLOBS} arrays in {group.h5.name}")
    return groups, [group.numbers(str(number)) for number in range(len(names) - len(groups))]


def take(blobs, index, shape):
    """Blob `index` as an array of this shape, one of whose numbers may be -1.  ValueError: it is of another."""
    if index >= len(blobs):
        raise ValueError(
            f"it has {len(blobs)} of the arrays that it needs, and no weights that rawconv could find"
        )
    found, dims = blobs[index].numbers, blobs[index].dims
    known = math.prod(length for length in shape if length > 0)
    if 0 in shape or len(found) == 0 or not _fits(len(found), known, -1 in shape):
        raise ValueError(f"it has {len(found)} numbers where a shape of {shape} is asked for")
    if dims and (len(dims) > 8 or math.prod(dims) != found.size):
        raise ValueError(f"it says that its {found.size} numbers are of shape {list(dims[:8])}")
    return found.reshape(shape)


def _fits(count, known, open_ended):
    """Whether so many numbers fill a shape whose lengths but perhaps one, which is open, make `known`."""
    return count % known == 0 if open_ended else count == known
