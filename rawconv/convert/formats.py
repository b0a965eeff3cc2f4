"""Which format a file is of, by its contents; its name does not matter."""

import zipfile

from ..files.storage import SIGNATURE, Wrong, hdf5, open_file

READERS = {  # format: (module, what it is called)
    "onnx": ("onnx_net", "ONNX"),
    "zip": ("pytorch_net", "PyTorch (.pth)"),
    "pickle": ("pytorch_net", "PyTorch (.pth), the old format"),
    "caffe": ("caffe_net", "Caffe"),
    "caffe in hdf5": ("caffe_net", "Caffe, weights in HDF5"),
    "safetensors": ("pytorch_net", "safetensors"),
}
EXPORT = 'model.export("net.onnx", format="onnx")'
ONNX_ROUTE = (
    f"Export it to ONNX ({EXPORT} in Keras, tf2onnx for TensorFlow, torch.onnx for your own code), "
    "and import that."
)
KERAS_ROUTE = f"Load it in Keras, where {EXPORT} writes a file to import (tf2onnx.convert.from_keras fails there)."
SAVED_ROUTE = (
    f"Where the Keras model is at hand, {EXPORT} writes a file to import; else python -m tf2onnx.convert "
    "--saved-model FOLDER --output net.onnx."
)
TFJS_ROUTE = (
    f"In Keras, {EXPORT} of the model that it was made of writes a file to import (tensorflowjs_converter "
    "--input_format tfjs_layers_model --output_format keras makes that model again)."
)
ROUTES = {  # what a file is: the way around
    "a Keras model in HDF5": KERAS_ROUTE,
    "a Keras archive": KERAS_ROUTE,
    "a Keras model's layers as JSON, without weights": KERAS_ROUTE,
    "a SavedModel of TensorFlow or Keras": SAVED_ROUTE,
    "a layers model of TensorFlow.js": TFJS_ROUTE,
    "a graph model of TensorFlow.js": "Export the model that it was made of: " + SAVED_ROUTE,
}
HEAD = 4096


def check_folder(path):
    """Wrong where `path` is the folder of a model, with the way around."""
    inside = {
        name for name in ("saved_model.pb", "model.json", "config.json") if (path / name).is_file()
    }
    if "saved_model.pb" in inside:
        raise _unread("a SavedModel of TensorFlow or Keras")
    if "config.json" in inside and (path / "model.weights.h5").is_file():
        raise _unread("a Keras archive")
    if "model.json" in inside:
        with open_file(path / "model.json", "model.json") as file:
            recognise(file)


def _unread(found):
    """That a file is of a format that is not read."""
    return Wrong(f"is {found}, which rawconv does not read", ROUTES.get(found, ONNX_ROUTE))


def recognise(file):
    """The key in READERS of an open file.  Wrong, with the way around, where there is no reader for it."""
    head = file.read(HEAD)
    file.seek(0)
    if not head:
        raise Wrong("is empty")
    ways = _by_signature, _by_zip, _by_hdf5, _by_json, _by_protobuf
    found = next(filter(None, (way(file, head) for way in ways)), None)
    if found in READERS:
        return found
    if found is None:
        raise Wrong(
            "is of no format that rawconv knows",
            f"It reads {', '.join(dict.fromkeys(name.split(',')[0] for _, name in READERS.values()))}.",
        )
    raise _unread(found)


def _by_signature(file, head):
    if head.startswith(b"rawconv "):
        raise Wrong("is a file of rawconv already", "Use it as it is.")
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


def _by_hdf5(file, head):
    """Caffe's snapshots have their weights under `data`; Keras's files say their version."""
    if not head.startswith(SIGNATURE):
        return None
    try:
        with hdf5(file) as opened:
            names, about = set(opened), set(opened.attrs)
    except (OSError, RuntimeError) as error:
        raise Wrong("is a damaged HDF5 file") from error
    finally:
        file.seek(0)
    if "data" in names and not about:
        return "caffe in hdf5"
    keras = about & {"keras_version", "layer_names"} | names & {
        "_layer_checkpoint_dependencies",
        "layers",
    }
    return "a Keras model in HDF5" if keras else "an HDF5 file of another program"


def _by_json(file, head):
    text = head.lstrip()
    if not text.startswith(b"{"):
        return None
    if b'"graph-model"' in text:
        return "a graph model of TensorFlow.js"
    if b'"layers-model"' in text or b'"modelTopology"' in text:
        return "a layers model of TensorFlow.js"
    keras = b'"class_name"' in text and b'"config"' in text
    return "a Keras model's layers as JSON, without weights" if keras else None


def _by_protobuf(file, head):
    """ONNX's ModelProto begins with its ir_version, Caffe's NetParameter with its name or layers;
    see `fields_of`.  A SavedModel begins as ONNX's of version 1, and goes on with a message.
    """
    place = varint(head, 3)[1]
    if head.startswith(b"\x08\x01\x12") and head[place : place + 1] == b"\x0a":
        return "a SavedModel of TensorFlow or Keras"
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
