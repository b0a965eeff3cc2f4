"""What OpenCV's own reader of Caffe's files makes of a picture.

It wants the layers as text and the weights as they are; both are written anew, in version 2: each
blob under a name of its own, so that what a layer works over in place is seen too.
"""

import numpy as np

from .caffe_graph import kind
from .caffe_layers import rounds_up
from .caffe_schema import message

OWN = ("name", "type", "bottom", "top", "blobs", "include", "exclude")


def scores_of(net, x):
    """The scores (N, K) of x (N, C, H, W), after the net's softmax."""
    there, names = _loaded(net, x)
    return there.forward("softmax" if net.softmax else names[net.nodes[-1]]).reshape(len(x), -1)


def maps_of(net, x):
    """{number of a layer in net.walk.made: its map (N, H, W, C)}, of the last node that changes it."""
    there, names = _loaded(net, x)
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


def _loaded(net, x):
    """(OpenCV's net with x put in, {number of a node: its layer's name there})."""
    import cv2
    from google.protobuf import text_format

    text, weights = (
        message("NetParameter")(input=["picture"], input_dim=x.shape),
        message("NetParameter")(),
    )
    names = {number: f"node{number}" for number in net.nodes}
    for number in net.nodes:
        layer, _, inputs = net.graph.nodes[number]
        bottom = [names.get(one, "picture") for one in inputs]
        said = text.layer.add(
            name=names[number], type=kind(layer), bottom=bottom, top=[names[number]]
        )
        _say(layer, said)
        blobs = net.files.blobs.get(layer.name, ())
        if blobs:
            held = weights.layer.add(name=names[number], type=kind(layer))
            for numbers, dims in blobs:
                shape = {"dim": dims or (numbers.size,)}
                held.blobs.add(shape=shape, data=[numbers.astype("<f4").tobytes()])
    if net.softmax:
        text.layer.add(
            name="softmax", type="Softmax", bottom=[names[net.nodes[-1]]], top=["softmax"]
        )
    files = text_format.MessageToString(text).encode(), weights.SerializeToString()
    there = cv2.dnn.readNetFromCaffe(*(np.frombuffer(part, np.uint8) for part in files))
    there.enableFusion(False)  # what it folds into another layer, it does not show
    there.setInput(x)
    return there, names


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
