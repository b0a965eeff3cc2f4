"""Which format a file is of, by its contents; its name does not matter."""

import zipfile

from ..files.storage import SIGNATURE, Wrong

READERS = {  # format: (module, what it is called)
    "onnx": ("onnx_net", "ONNX"),
    "zip": ("pytorch_net", "PyTorch (.pth)"),
    "pickle": ("pytorch_net", "PyTorch (.pth), the old format"),
    "caffe": ("caffe_net", "Caffe"),
    "safetensors": ("pytorch_net", "safetensors"),
}
ONNX_ROUTE = "Export it to ONNX (tf2onnx for Keras and TensorFlow, torch.onnx for your own code), and import that."
HEAD = 4096


def recognise(file):
    """The key in READERS of an open file.  Wrong, with the way around, where there is no reader for it."""
    head = file.read(HEAD)
    file.seek(0)
    if not head:
        raise Wrong("is empty")
    found = _by_signature(head) or _by_zip(file, head) or _by_protobuf(head)
    if found in READERS:
        return found
    if found is None:
        raise Wrong(
            "is of no format that rawconv knows",
            f"It reads {', '.join(dict.fromkeys(name.split(',')[0] for _, name in READERS.values()))}.",
        )
    raise Wrong(f"is {found}, which rawconv does not read", ONNX_ROUTE)


def _by_signature(head):
    if head.startswith(b"rawconv "):
        raise Wrong("is a file of rawconv already", "Use it as it is.")
    if head.startswith(SIGNATURE):
        return "a Keras or other HDF5 file"
    if head.startswith(b"\x93NUMPY"):
        return "a NumPy array"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if head[257:262] == b"ustar":
        raise Wrong(
            "is a tar archive, as PyTorch wrote before version 0.2",
            "Load and save it with a newer PyTorch.",
        )
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "pickle"
    if head[8:10] in (b'{"', b"{}", b"{ "):
        return "safetensors"
    return None


def _by_zip(file, head):
    if not head.startswith(b"PK\3\4"):
        return None
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise Wrong(f"is a damaged zip archive ({error})") from error
    finally:
        file.seek(0)
    if any(name.endswith("data.pkl") for name in names):
        return "zip"
    if any(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays"
    return "a Keras archive" if "config.json" in names else None


def _by_protobuf(head):
    """ONNX's ModelProto begins with its ir_version, Caffe's NetParameter with its name or layers;
    see `fields_of`.
    """
    for number, kind in fields_of(head):
        if (number, kind) in ((1, 0), (7, 2), (8, 2)):
            return "onnx"
        if (number, kind) in ((1, 2), (2, 2), (3, 2), (100, 2)):
            return "caffe"
    return None


def fields_of(head):
    """(number, wire type) of the fields of a message, those of messages in it apart, as far as `head`
    holds them and they make sense.
    """
    place = 0
    while place < len(head):
        tag, place = varint(head, place)
        number, kind = tag >> 3, tag & 7
        if not number or kind not in (0, 1, 2, 5):
            return
        yield number, kind
        value, place = varint(head, place) if kind in (0, 2) else (0, place)
        place += {0: 0, 1: 8, 2: value, 5: 4}[kind]


def varint(data, place):
    """(the whole number that begins at `place`, 7 bits a byte, the place behind it)."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        value |= (data[place] & 127) << shift
        place += 1
        if data[place - 1] < 128:
            break
    return value, place
