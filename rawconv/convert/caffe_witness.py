"""What OpenCV's own reader of Caffe's files makes of a picture.

It wants the layers as text, which is written anew, in version 2: each blob under a name of its own, so
that what a layer works over in place is seen too.  The weights are those of the user's own file; of
HDF5, which OpenCV does not read, they are written anew as well.
"""

import numpy as np

from ..files.storage import SIGNATURE, open_file
from .caffe_graph import kind
from .caffe_layers import rounds_up
from .caffe_schema import message

OWN = ("name", "type", "bottom", "top", "blobs", "include", "exclude")


def scores_of(path, net, x):
    """The scores (N, K) of x (N, C, H, W), after the net's softmax."""
    there, names = _loaded(path, net, x)
    return there.forward("softmax" if net.softmax else names[net.nodes[-1]]).reshape(len(x), -1)


def maps_of(path, net, x):
    """{number of a layer in net.walk.made: its map (N, H, W, C)}, of the last node that changes it."""
    there, names = _loaded(path, net, x)
    found = {
        value.layer: (names[number], value.flat)
        for number, value in net.walk.values.items()
        if number in names and isinstance(value.layer, int)
    }
    made = there.forward([name for name, _ in found.values()])
    return {
        layer: _in_our_order(y, flat)
        for (layer, (_, flat)), y in zip(found.items(), made, strict=True)
    }


def _in_our_order(y, flat):
    return y.reshape(len(y), 1, 1, -1) if flat else y.transpose(0, 2, 3, 1)


def _loaded(path, net, x):
    """(OpenCV's net with x put in, {number of a node: its layer's name there})."""
    import cv2
    from google.protobuf import text_format

    text, names = message("NetParameter")(input=["picture"], input_dim=x.shape), {}
    for number in net.nodes:
        layer, _, inputs = net.graph.nodes[number]
        own = layer.name in net.files.blobs  # by its name OpenCV finds its weights
        names[number] = layer.name if own else f"node {number}"
        bottom = [names.get(one, "picture") for one in inputs]
        _say(layer, _add(text, names[number], kind(layer), bottom))
    if net.softmax:
        _add(text, "softmax", "Softmax", [names[net.nodes[-1]]])
    files = text_format.MessageToString(text).encode(), _weights(path, net)
    there = cv2.dnn.readNetFromCaffe(*(np.frombuffer(part, np.uint8) for part in files))
    there.enableFusion(False)  # what it folds into another layer, it does not show
    there.setInput(x)
    return there, names


def _add(text, name, what, bottom):
    """A new layer, whose blob has its name."""
    return text.layer.add(name=name, type=what, bottom=bottom, top=[name])


def _weights(path, net):
    """The bytes of a .caffemodel."""
    with open_file(path, "bvlc_alexnet.caffemodel") as file:
        data = file.read()
    if not data.startswith(SIGNATURE):
        return data
    weights, layers = (
        message("NetParameter")(),
        (net.graph.nodes[number].layer for number in net.nodes),
    )
    for layer in layers:
        held = weights.layer.add(name=layer.name, type=kind(layer))
        for blob in net.files.blobs.get(layer.name, ()):
            held.blobs.add(shape={"dim": blob.dims}, data=[blob.numbers.astype("<f4").tobytes()])
    return weights.SerializeToString()


def _say(layer, said):
    """Copy what a layer says of itself to one of version 2, in the words that OpenCV knows."""
    known = type(said).DESCRIPTOR.fields_by_name
    for field, value in layer.ListFields():
        if field.name in known and field.name not in OWN:
            getattr(said, field.name).CopyFrom(value)
    if kind(layer) == "Pooling":
        ceil_mode = rounds_up(layer.pooling_param)
        said.pooling_param.ClearField("round_mode")
        said.pooling_param.ceil_mode = ceil_mode
