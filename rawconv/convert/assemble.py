"""From a reader's layers to a Net of ours: names, the pixels' order and scale folded in, a
checkpoint's limits kept.

A user calls layer 4 of a chain what its 4th convolution makes, wherever the net comes from: so the
layers of a chain are named by counting, and the file's own names go into the provenance.  A net
that branches keeps the file's names.
"""

import numpy as np

from .. import checkpoint
from ..files.schema import check_names
from ..files.storage import Wrong
from ..layers.average_pool import AveragePool
from ..layers.conv import Conv
from ..layers.dropout import Dropout
from ..layers.lrn import LRN
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from ..net import IMAGE, Net
from ..training.recipes import stored_for
from . import PIXELS
from .parts import conv, finite

KINDS = {ReLU: "relu", LRN: "norm", MaxPool: "pool", AveragePool: "avg", Dropout: "drop"}
SCORES = "scores"  # what users call the output of a net's last layer, whatever its own name is
LUMA = (0.299, 0.587, 0.114)  # of R, G and B in a grey picture, as Pillow's convert("L") takes them


def assemble(foreign, pixels, stored, classes, model):
    """(Net, {our name of a layer with parameters: the file's}); Wrong where a checkpoint could not hold it.

    pixels: a Pixels.  stored: rows and columns of a picture as it is kept, of which the net sees
    the centre. A net that ends in maps is a trunk, without classes.
    """
    _check_input(foreign.shape, pixels)
    height, width, _ = foreign.shape
    given = [
        entry
        for entry in foreign.layers
        if not (isinstance(entry[1], Dropout) and entry is foreign.layers[-1])
    ]
    chain = all(len(entry) == 2 for entry in given)
    _check(given, foreign.shape)
    layers, theirs = _named(given, foreign.shape) if chain else (given, {})
    matrix, mean = _pixels(pixels, foreign.inside)
    if not (np.isfinite(matrix).all() and np.isfinite(mean).all()):
        raise Wrong("prepares its pixels with numbers that are not finite")
    layers = _fold(layers, matrix)
    mean = _mean(mean.astype(_dtype(layers)), stored, (height, width))
    about = classes, mean, model
    net = Net((height, width, 3), layers, *about, stored=(stored, stored))
    if net.has_scores and SCORES in list(net.nodes)[:-1]:
        layers, theirs = _with_another_name(layers)
        net = Net((height, width, 3), layers, *about, stored=(stored, stored))
    _check_classes(net)
    return net, theirs


def _with_another_name(layers):
    """(the layers, {its name: the file's}) where a node below the top has the name by which users ask for the top."""
    ours = _another(SCORES, layers)
    names = {
        name: ours if name == SCORES else name for name in (IMAGE, *(one[0] for one in layers))
    }
    renamed = [
        (names[name], layer, *(names[below] for below in inputs)) for name, layer, *inputs in layers
    ]
    return renamed, {ours: SCORES}


def _check_input(shape, pixels):
    height, width, channels = shape
    if channels not in (1, 3):
        raise Wrong(
            f"takes {height}x{width} pictures of {channels} channels, not of 3 (or 1: grey)"
        )
    if (pixels.order == "grey") != (channels == 1):
        raise Wrong(
            f"takes {channels} channels, which are not {pixels.order}", "Name the right --channels."
        )


def _check_classes(net):
    """Wrong: the net has no score for each of its classes, whose names are numbers by default."""
    scores = net.shapes[net.output]
    if not net.has_scores and net.classes:
        raise Wrong(
            f"ends in maps of {scores[0]}x{scores[1]}, which have no class names",
            "Leave --classes out.",
        )
    if not net.has_scores:
        return
    if net[net.output].rectifier:
        raise Wrong("does not end in class scores, nor in maps, but in a ReLU over one place")
    if not net.classes:
        net.classes = [str(i) for i in range(scores[2])]
    if len(net.classes) != scores[2]:
        raise Wrong(
            f"has {scores[2]} scores, and there are {len(net.classes)} class names",
            "Mend --classes.",
        )
    check_names("class", net.classes)


def _check(layers, shape):
    """Wrong, naming the file's layer, where a checkpoint could not hold it or it does not fit on
    those below.
    """
    if not layers:
        raise Wrong("does not end in class scores, nor in maps: it has no layers")
    if len(layers) > checkpoint.MOST_LAYERS:
        raise Wrong(f"has {len(layers)} layers, and rawconv takes {checkpoint.MOST_LAYERS}")
    shapes, before = {IMAGE: shape}, IMAGE
    for name, layer, *inputs in layers:
        try:
            shape = layer.out_shape(*(shapes[below] for below in inputs or [before]))
            checkpoint.check_layer(layer, shape)
        except (ValueError, Wrong) as error:
            raise Wrong(f"has a layer {name} that rawconv cannot take: {error}") from error
        shapes[name], before = shape, name


def _named(layers, shape):
    """[(our name, layer)], numbered by the convolutions, and {our name: the file's}."""
    named, theirs, number = {}, {}, 0
    for given, layer in layers:
        kind = KINDS.get(type(layer)) or _kind(layer, shape)
        number += kind in ("conv", "fc")
        name, k = f"{kind}{number}", 1
        while name in named:
            k += 1
            name = f"{kind}{number}_{k}"
        if isinstance(layer, Conv):
            theirs[name] = given
        named[name], shape = layer, layer.out_shape(shape)
    return list(named.items()), theirs


def _kind(layer, shape):
    return "fc" if layer.window.size == shape[:2] and not any(layer.window.pad) else "conv"


def _pixels(pixels, inside):
    """(matrix (3, C), mean (..., 3)): the net's first input = (RGB - mean) @ matrix."""
    matrix = {"rgb": np.eye(3), "bgr": np.eye(3)[::-1], "grey": np.array(LUMA)[:, None]}[
        pixels.order
    ]
    mean, scale = np.asarray(pixels.mean, np.float64), 1 / np.asarray(pixels.std, np.float64)
    if inside:
        mean, scale = mean + np.asarray(inside[0]) / scale, scale * np.asarray(inside[1])
    channels = matrix.shape[1]
    mean = np.broadcast_to(mean, (*mean.shape[:-1], channels))
    return matrix * np.broadcast_to(scale, channels), mean @ (
        np.ones((1, 3)) if channels == 1 else matrix.T
    )


def _fold(layers, matrix):
    """The layers for RGB pixels minus mean: the convolutions that take the picture, or one of 1x1
    before all that do, take the matrix in."""
    if np.array_equal(matrix, np.eye(3)):
        return layers
    first = [
        number
        for number, (_, _, *inputs) in enumerate(layers)
        if IMAGE in inputs or (not inputs and not number)
    ]
    if not all(isinstance(layers[number][1], Conv) for number in first):
        return _with_pixels(layers, matrix)
    layers = list(layers)
    for number in first:
        name, layer, *inputs = layers[number]
        folded = Conv(**(layer.settings | {"groups": 1}))
        folded.weight = finite(
            np.einsum("rc,klcf->klrf", matrix, _dense(layer)), layer.weight.dtype
        )
        folded.bias = layer.bias
        layers[number] = name, folded, *inputs
    return layers


def _with_pixels(layers, matrix):
    """The layers behind a convolution of 1x1 by the matrix."""
    name, dtype = _another("pixels", layers), _dtype(layers)
    below = [tuple(name if one == IMAGE else one for one in inputs) for _, _, *inputs in layers]
    rest = [(*entry[:2], *inputs) for entry, inputs in zip(layers, below, strict=True)]
    return [(name, conv(matrix.T[:, :, None, None], dtype=dtype)), *rest]


def _another(name, layers):
    """`name`, or longer by as much as makes it none of the layers'."""
    taken = {name for name, *_ in layers}
    while name in taken:
        name += "_"
    return name


def _dtype(layers):
    return next(
        (layer.weight.dtype for _, layer, *_ in layers if isinstance(layer, Conv)),
        np.dtype("float32"),
    )


def _dense(layer):
    """The weight of a convolution with groups as one without: zero where a filter does not see a channel."""
    kh, kw, channels, filters = layer.weight.shape
    dense, each = np.zeros((kh, kw, channels * layer.groups, filters)), filters // layer.groups
    for g in range(layer.groups):
        part = slice(g * each, (g + 1) * each)
        dense[:, :, g * channels : (g + 1) * channels, part] = layer.weight[..., part]
    return dense


def _mean(mean, stored, size):
    """(3,), or (stored, stored, 3) where it is a picture.

    A picture in the size of the input is continued over its border: only the centre is ever seen.
    """
    if stored < max(size):
        raise Wrong(
            f"takes pictures of {max(size)} pixels, more than the {stored} they are kept in",
            "Name another --resize.",
        )
    if mean.ndim == 1:
        return mean
    if mean.ndim == 3 and mean.shape[:2] == size:
        borders = [((stored - side) // 2, (stored - side + 1) // 2) for side in size]
        mean = np.pad(mean, (*borders, (0, 0)), "edge")
    if mean.ndim == 3 and mean.shape[:2] != (stored, stored):
        raise Wrong(
            f"has a mean of {mean.shape[0]}x{mean.shape[1]} pixels for pictures kept in {stored}"
        )
    return np.ascontiguousarray(mean)


def default_stored(foreign, pixels):
    """Rows and columns of a stored picture: what the file says; the mean picture's; else as
    recipes.stored_for.
    """
    return foreign.stored or (
        len(pixels.mean) if np.ndim(pixels.mean) == 3 else stored_for(max(foreign.shape[:2]))
    )


def known_pixels(foreign):
    """What the file, its kind, or nobody says of its pixels."""
    if foreign.pixels is not None:
        return foreign.pixels
    return (
        PIXELS["raw"]
        if foreign.shape[2] == 3
        else PIXELS["raw"]._replace(order="grey", mean=(0.0,), std=(1.0,))
    )
