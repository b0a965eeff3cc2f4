"""The tensors of a file by name, in the three formats that PyTorch's nets come in; none is read
before it is asked for.

zip           torch.save since 1.6: data.pkl and, uncompressed, data/0, data/1 ... with the numbers of one storage
pickle        torch.save before that: five pickles in a row, then the storages, each after its count
safetensors   a JSON header, then the numbers
"""

import io
import json
import math
import mmap
import re
import struct
import zipfile
from collections import Counter

import numpy as np

from ..files.pickled import MOST_BYTES, MOST_PARTS, STATE_DICT, Storage, Tensor, load, tensor
from ..files.storage import Wrong, open_regular

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the first two pickles of the old format
SAFE = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": "bfloat16",
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip
NESTED = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "ema",
    "state_dict_ema",
    "model_ema",
)  # where scripts put it
# of DataParallel, torch.compile and scripts
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
SCRIPT = (
    'In Python, torch.onnx.export(torch.jit.load("net.pt"), torch.zeros(1, 3, 224, 224), "net.onnx", dynamo=False) '
    "makes a file that rawconv can read."
)
INNER = "features.module."  # of DataParallel around the convolutions alone
# torchvision's released files have it
OLD_DENSENET = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")


class Tensors:
    """shapes: {name: shape}.  read(name): the tensor as an array of its own."""

    def __init__(self, data, found, places, swapped=False):
        self.data, self.found, self.places, self.swapped = data, found, places, swapped
        self.shapes = {name: t.shape for name, t in found.items()}

    def check_total(self, names):
        """Wrong where these tensors together are larger than the file: then they overlap."""
        sizes = (math.prod(self.shapes[name]) * self.found[name].storage.itemsize for name in names)
        if sum(sizes) > len(self.data):
            raise Wrong("is damaged: its tensors overlap")

    def read(self, name):
        storage, offset, shape, strides = self.found[name]
        place, size = self.places(storage.key), storage.itemsize
        if place + storage.count * size > len(self.data):
            raise Wrong(f"is damaged: it ends before the numbers of {name}")
        dtype = np.dtype("<u2") if storage.dtype == "bfloat16" else storage.dtype
        numbers = np.frombuffer(
            self.data, dtype.newbyteorder() if self.swapped else dtype, storage.count, place
        )
        numbers = np.lib.stride_tricks.as_strided(
            numbers[offset:], shape, [stride * size for stride in strides], writeable=False
        )
        if storage.dtype == "bfloat16":  # the upper half of a float32
            return (numbers.astype(np.uint32) << 16).view(np.float32)
        return numbers.astype(dtype.newbyteorder("="))


def open_tensors(path, kind):
    """The Tensors of a file of `kind` "zip", "pickle" or "safetensors".  Wrong where it is not sound."""
    with open_regular(path) as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return {"zip": _zip, "pickle": _old, "safetensors": _safe}[kind](data)


def _zip(data):
    archive = zipfile.ZipFile(data)
    names = archive.namelist()
    _check_once(names)
    if any(name.endswith("/constants.pkl") for name in names):
        raise Wrong("is TorchScript, a program, which rawconv does not run", SCRIPT)
    (pickled, *more) = [name for name in names if name.endswith("data.pkl")]
    if more or any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise Wrong(
            "is a zip archive that torch.save did not write: compressed, or of several objects",
            STATE_DICT,
        )
    folder = pickled.removesuffix("data.pkl")

    def member(name):
        """(place, size) of its bytes: after the local header, which has a length of its own."""
        info = archive.getinfo(folder + name)
        name_length, extra_length = struct.unpack(
            "<HH", data[info.header_offset + 26 : info.header_offset + 30]
        )
        place = info.header_offset + 30 + name_length + extra_length
        if place + info.file_size > len(data):
            raise Wrong(f"is damaged: it ends before {name}")
        return place, info.file_size

    place, size = member("data.pkl")
    storages = {}
    found = _state_dict(load(io.BytesIO(data[place : place + min(size, 2 * MOST_BYTES)]), storages))
    for key in {t.storage.key for t in found.values()}:
        if member(f"data/{key}")[1] != storages[key].count * storages[key].itemsize:
            raise Wrong(f"is damaged: data/{key} is not of the size that its tensors have")
    order = member("byteorder") if f"{folder}byteorder" in names else (0, 0)
    return Tensors(
        data, found, lambda key: member(f"data/{key}")[0], data[order[0] : sum(order)] == b"big"
    )


def _check_once(names):
    """Wrong where one of the names is there twice: readers differ in which of them they take."""
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise Wrong(f"is damaged: it holds {twice!r:.80} twice")


def _object(pairs):
    """A JSON object as a dict."""
    _check_once(name for name, _ in pairs)
    return dict(pairs)


def _old(data):
    if load(data) != MAGIC or load(data) != PROTOCOL:
        raise Wrong("is a pickle, but none of torch.save", STATE_DICT)
    storages, places = {}, {}
    system, tree, keys = load(data), load(data, storages), load(data)
    if not system["little_endian"]:
        raise Wrong("was written on a big-endian machine, by an old PyTorch", STATE_DICT)
    for key in keys:
        (count,) = struct.unpack("<q", data.read(8))
        if count != storages[key].count:
            raise Wrong(f"is damaged: a storage of {storages[key].count} numbers has {count}")
        places[key] = data.tell()
        data.seek(min(len(data), places[key] + count * storages[key].itemsize))
    return Tensors(data, _state_dict(tree), places.__getitem__)


def _safe(data):
    (length,) = struct.unpack("<Q", data.read(8))
    if length > min(MOST_BYTES, len(data) - 8):
        raise Wrong(f"is damaged: its header would be of {length} bytes")
    header, found, places = json.loads(data.read(length), object_pairs_hook=_object), {}, {}
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in SAFE:
            raise Wrong(
                f"holds {name:.80} of type {about['dtype']!r:.40}, which rawconv does not know"
            )
        shape, (begin, end) = about["shape"], about["data_offsets"]
        if len(shape) > MOST_PARTS:
            raise Wrong(f"is damaged: {name:.80} has {len(shape)} dimensions")
        storage = Storage(SAFE[about["dtype"]], name, math.prod(shape))
        found[name] = tensor(
            storage, 0, shape, [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        )
        places[name] = 8 + length + begin
        if (
            not 0 <= begin <= end <= len(data) - 8 - length
            or end - begin != storage.count * storage.itemsize
        ):
            raise Wrong(
                f"is damaged: {name:.80} is not of the size of its shape, or outside the file"
            )
    return Tensors(data, unwrapped(found), places.__getitem__)


def _state_dict(tree):
    """{name: Tensor} of what was saved: a state dict, or a training script's dictionary that holds one.

    Numbers that lie there as tensors (best_acc1) are none: one with a tensor of two dimensions comes first.
    """
    candidates = [tree, *(tree.get(key) for key in NESTED)] if isinstance(tree, dict) else []
    candidates = [
        _named_tensors(candidate) for candidate in candidates if isinstance(candidate, dict)
    ]
    for least in (2, 0):
        for found in candidates:
            if any(len(t.shape) >= least for t in found.values()):
                return unwrapped(found)
    raise Wrong("holds no state dict: no tensors under names", STATE_DICT)


def _named_tensors(tree):
    return {name: t for name, t in tree.items() if isinstance(name, str) and isinstance(t, Tensor)}


def unwrapped(found):
    """{name: tensor} without what wrappers put before every name, and with the names of today's
    torchvision.
    """
    while wrapper := next(
        (w for w in WRAPPERS if found and all(name.startswith(w) for name in found)), None
    ):
        found = {name.removeprefix(wrapper): t for name, t in found.items()}
    found = {name.replace(INNER, "features.", 1): t for name, t in found.items()}
    return {OLD_DENSENET.sub(r"\1\2", name): t for name, t in found.items()}
