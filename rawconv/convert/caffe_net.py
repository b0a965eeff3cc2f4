"""Caffe's nets: a .caffemodel, with the .prototxt that says how large its pictures are, and its mean picture.

A .caffemodel holds layers and weights as the net was trained; a .prototxt (deploy or train_val)
holds layers alone, and takes the weights of the layers of the same name.  The walk follows the blob
that began as the picture from layer to layer; layers of training alone (data, losses, accuracy) are
left out.
"""

import itertools

import numpy as np

from ..files.storage import Wrong, open_file
from . import PIXELS, Foreign, Pixels
from .caffe_layers import LAYERS, numbers
from .caffe_schema import ENUMS, fields, message

WITNESS = "opencv-python-headless"
WANTS = ("prototxt", "mean", "size")
TYPES = {
    "INNER_PRODUCT": "InnerProduct", "LRN": "LRN", "RELU": "ReLU", "SOFTMAX_LOSS": "SoftmaxWithLoss", "DATA": "Data",
    "CONVOLUTION": "Convolution", "POOLING": "Pooling", "DROPOUT": "Dropout", "SOFTMAX": "Softmax", "SPLIT": "Split",
    "FLATTEN": "Flatten", "IMAGE_DATA": "ImageData", "MEMORY_DATA": "MemoryData", "ACCURACY": "Accuracy",
    "SILENCE": "Silence",
}  # fmt: skip
SILENT = ("Input", "DummyData", "DUMMY_DATA")  # sources that say nothing of pixels
SOURCES = (
    *SILENT,
    "Data",
    "ImageData",
    "MemoryData",
    "HDF5Data",
    "HDF5_DATA",
    "WindowData",
    "WINDOW_DATA",
)
TRAINING = ("SoftmaxWithLoss", "Accuracy", "Silence")  # they end the chain, or only watch it
TEST = 1  # of the enumeration Phase
MOST_TEXT = 1 << 18  # bytes of a .prototxt
MOST_FIELDS = 1 << 16  # of a file: protobuf makes a few hundred bytes of one that has three
ADVICE = "Convert its layers to these, or train without them."
DEPLOY = "Name its deploy.prototxt with --prototxt, or say --size 227."


def read(path, wanted):
    """The Foreign of a .caffemodel; see convert/__init__.py."""
    with open_file(path, "bvlc_alexnet.caffemodel") as file:
        weights = _parse(file.read())
    net = _text(wanted.prototxt) if wanted.prototxt else weights
    layers = _layers(net)
    blobs = {layer.name: list(layer.blobs) for layer in _layers(weights) if layer.blobs}
    chain, softmax, _ = _chain(net, layers)
    shape = _shape(net, layers, chain, blobs, wanted.size)
    pixels, assumed = _pixels([*layers, *_layers(weights)], shape[2], wanted.mean)
    return Foreign(
        shape, _ours(chain, blobs, shape), pixels, softmax,
        conventions=_conventions(chain, assumed), files=[f for f in (wanted.prototxt, wanted.mean) if f],
    )  # fmt: skip


def _parse(data, name="NetParameter", what="is damaged: it"):
    from google.protobuf.message import DecodeError

    if (
        sum(1 for _ in itertools.islice(fields(memoryview(data), name), MOST_FIELDS + 1))
        > MOST_FIELDS
    ):
        raise Wrong(f"has more than {MOST_FIELDS} fields, which is no sensible net")
    try:
        return message(name).FromString(data)
    except DecodeError as error:
        raise Wrong(f"{what} is no {name} of Caffe") from error


def _text(path):
    from google.protobuf import text_format

    net = message("NetParameter")()
    with open_file(path, "deploy.prototxt") as file:
        text = file.read(MOST_TEXT + 1)
    try:
        if len(text) > MOST_TEXT:
            raise ValueError("it is longer than 256 KB")
        text_format.Parse(text.decode(), net, allow_unknown_field=True)
    except (text_format.ParseError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())[:200]
        raise Wrong(
            f"cannot be read with {path}, which is no net in Caffe's text form ({what})"
        ) from error
    return net


def _layers(net):
    """The layers of either version that are there when the net is used."""
    if any(layer.HasField("layer") for layer in net.layers):
        raise Wrong(
            "is of Caffe's first format",
            "Caffe's tool upgrade_net_proto_binary makes a newer one of it.",
        )
    return [*net.layer, *net.layers]


def kind(layer):
    """The type of a layer, in the words of version 2: Convolution for V1's CONVOLUTION (4)."""
    if isinstance(layer.type, str):
        return layer.type
    name = ENUMS["V1Type"].split()[layer.type]
    return TYPES.get(name, name)


def _used(layer):
    """Caffe's rules: a layer is there unless its includes do not name the phase TEST, or an exclude does."""
    included = [rule.phase == TEST or not rule.HasField("phase") for rule in layer.include]
    return (any(included) or not included) and not any(rule.phase == TEST for rule in layer.exclude)


def _chain(net, layers):
    """([layers from the picture to the scores], softmax, name of the picture's blob).  Wrong at the
    first branch.
    """
    given = [*net.input, *(top for layer in layers if kind(layer) in SOURCES for top in layer.top)]
    if not given:
        raise Wrong(
            "has no layer of data and no input, so nothing says where a picture goes in", DEPLOY
        )
    start = given[0]
    labels = set(given) - ({start} if net.input else set())
    here, chain, softmax = {start}, [], ""
    for layer in filter(_computes, layers):
        bottoms, what = set(layer.bottom), kind(layer)
        known = labels if bottoms <= labels else here
        if what == "Split" and bottoms <= labels | here:
            known.update(layer.top)
            continue
        _check_next(layer, here, softmax)
        here, softmax = set(layer.top), "softmax" if what == "Softmax" else ""
        chain.append(layer)
    return chain[:-1] if softmax else chain, softmax, start


def _computes(layer):
    """Whether it is a step from the picture to the scores when the net is tested."""
    return kind(layer) not in SOURCES and kind(layer) not in TRAINING and _used(layer)


def _check_next(layer, here, softmax):
    """Wrong where a layer does not follow the blobs `here` alone, or is of no type that can."""
    if len(layer.bottom) != 1 or len(layer.top) != 1 or not set(layer.bottom) <= here:
        raise Wrong(
            f"has a branch at {_label(layer)}: rawconv takes one layer after another", ADVICE
        )
    if kind(layer) != "Softmax" and (softmax or kind(layer) not in LAYERS):
        raise Wrong(
            f"has {_label(layer)}; rawconv takes chains of {', '.join(LAYERS)} and Softmax", ADVICE
        )


def _label(layer):
    return f"a layer {layer.name!r:.80} of type {kind(layer):.40}"


def _shape(net, layers, chain, blobs, size):
    """(H, W, C) of a picture: what an input or a data layer says, else size, else Wrong."""
    sources = [layer for layer in layers if kind(layer) in SOURCES]
    found = _input_dims(net) or next(filter(None, map(_dims, sources)), None)
    if found is None or size:
        side = size or _crop_size(sources)
        found = [found[0] if found else _first_channels(chain, blobs), side, side]
    _check_size(found)
    return found[1], found[2], found[0]


def _crop_size(sources):
    """Rows and columns of the pictures that layers of data cut out."""
    side = max((_transform(layer).crop_size for layer in sources), default=0)
    if not side:
        raise Wrong("does not say how large its pictures are", DEPLOY)
    return side


def _check_size(found):
    if len(found) != 3 or not all(0 < dim <= 1 << 14 for dim in found):
        raise Wrong(f"says that its pictures are of {found}, which is no sensible size", DEPLOY)


def _input_dims(net):
    """[C, H, W] that a net says itself; None where it does not."""
    if net.input and len(net.input_dim) >= 4:
        return list(net.input_dim[1:4])
    return list(net.input_shape[0].dim[1:4]) if net.input and net.input_shape else None


def _first_channels(chain, blobs):
    """The channels that the filters of the first layer take, 3 where that is no convolution with weights."""
    first = chain[0] if chain else None
    weights = blobs.get(first.name) if first is not None and kind(first) == "Convolution" else None
    return _channels(weights[0]) * first.convolution_param.group if weights else 3


def _dims(layer):
    """[C, H, W] that a source says itself; None if it only cuts pictures out."""
    if kind(layer) == "Input" and layer.input_param.shape:
        return list(layer.input_param.shape[0].dim[1:])
    about = layer.memory_data_param
    return [about.channels, about.height, about.width] if kind(layer) == "MemoryData" else None


def _channels(blob):
    return blob.shape.dim[1] if len(blob.shape.dim) > 1 else blob.channels


def _transform(layer):
    """What is done to a picture: in transform_param, or, before that existed, in the data layer's own."""
    if layer.HasField("transform_param"):
        return layer.transform_param
    return layer.image_data_param if kind(layer) == "ImageData" else layer.data_param


def _pixels(layers, channels, mean_path):
    """(Pixels, what was assumed or ""), from the layers of data, of testing first; an Input says
    nothing of pixels.
    """
    sources = [layer for layer in layers if kind(layer) in SOURCES and kind(layer) not in SILENT]
    sources.sort(key=lambda layer: not _used(layer))
    about = _transform(sources[0]) if sources else None
    mean, assumed = (read_mean(mean_path), "") if mean_path else _mean(about, channels)
    scale = getattr(about, "scale", 1.0)
    mean = mean if mean.size > 1 else np.full(channels, mean.item() if mean.size else 0.0)
    _check_pixels(mean, scale, channels)
    mean = mean if mean.ndim == 3 else tuple(mean.tolist())
    return Pixels("grey" if channels == 1 else "bgr", mean, (1 / scale,) * channels), assumed


def _check_pixels(mean, scale, channels):
    if mean.shape[-1] != channels:
        raise Wrong(
            f"has a mean of {mean.shape[-1]} channels for pictures of {channels}",
            "Name another with --mean.",
        )
    if not (1e-9 < scale < 1e9 and (np.abs(mean) < 1e9).all()):
        raise Wrong("scales its pixels, or subtracts from them, by what is no sensible number")


def _mean(about, channels):
    """(the mean that the layer of data has, ImageNet's where it names a file, or nothing; what was
    assumed or "").
    """
    mean = np.array(getattr(about, "mean_value", ()), float)
    if mean.size or channels != 3 or not (about is None or about.mean_file):
        return mean, ""
    words = "104 117 123 assumed, ImageNet's, since the file does not hold it; --mean names another"
    return np.array(PIXELS["caffe"].mean), words


def read_mean(path):
    """The mean picture of a .binaryproto: (S, S, C), or (C,) of one pixel."""
    with open_file(path, "imagenet_mean.binaryproto") as file:
        blob = _parse(file.read(), "BlobProto", f"cannot be used with {path}, which")
    dims = (list(blob.shape.dim) or [blob.num, blob.channels, blob.height, blob.width])[-3:]
    try:
        found = numbers(blob)
    except ValueError as error:
        raise Wrong(f"cannot be used with the mean {path}: {error}") from error
    if (
        len(dims) != 3
        or min(dims) < 1
        or dims[0] * dims[1] * dims[2] != len(found)
        or dims[1] != dims[2]
    ):
        raise Wrong(
            f"cannot be used with the mean {path}: its {len(found)} numbers are no square picture ({dims})"
        )
    mean = np.ascontiguousarray(found.reshape(dims).transpose(1, 2, 0), np.float32)
    return mean[0, 0] if mean.shape[:2] == (1, 1) else mean


def _ours(chain, blobs, shape):
    """[(name, layer)] of the chain; batch norms and scales change the layer before them."""
    layers = []
    for layer in chain:
        try:
            with np.errstate(all="ignore"):  # parts.py refuses what is not finite in the end
                made = LAYERS[kind(layer)](
                    layer, blobs.get(layer.name, []), shape, layers[-1][1] if layers else None
                )
        except ValueError as error:
            raise Wrong(f"has {_label(layer)}, which rawconv cannot take: {error}") from error
        if made is not None:
            layers.append((layer.name, made))
            shape = made.out_shape(shape)
    return layers


def _conventions(chain, assumed):
    kinds = {kind(layer) for layer in chain}
    said = {"rounding": "down for convolutions, up for pools, as in Caffe"}
    if "LRN" in kinds:
        said["LRN"] = "alpha divided by its size"
    if kinds & {"BatchNorm", "Scale"}:
        said["batch norm"] = "folded into the convolutions"
    return said | ({"mean": assumed} if assumed else {})


def scores(path, x, wanted):
    """What OpenCV's own reader of Caffe files makes of x.  It wants the layers as text, the weights
    as they are.
    """
    import cv2
    from google.protobuf import text_format

    with open_file(path, "bvlc_alexnet.caffemodel") as file:
        data = file.read()
    net = _text(wanted.prototxt) if wanted.prototxt else _parse(data)
    chain, softmax, start = _chain(net, layers := _layers(net))
    last = [layer for layer in layers if kind(layer) == "Softmax"] if softmax else []
    deploy = message("NetParameter")(input=[start], input_dim=x.shape)
    for layer in [*chain, *last]:
        copy = (deploy.layer if isinstance(layer.type, str) else deploy.layers).add()
        copy.CopyFrom(layer)
        for field in ("blobs", "include", "exclude"):
            copy.ClearField(field)
        copy.bottom[0] = start
        start = copy.top[0]
    text = text_format.MessageToString(deploy).encode()
    there = cv2.dnn.readNetFromCaffe(*(np.frombuffer(part, np.uint8) for part in (text, data)))
    there.setInput(x)
    return there.forward().reshape(len(x), -1)
