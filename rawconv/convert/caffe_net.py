"""Caffe's nets: a .caffemodel, with the .prototxt that says how large its pictures are, and its mean picture.

A .caffemodel holds layers and weights as the net was trained, a .caffemodel.h5 weights alone; a
.prototxt (deploy or train_val) holds layers alone, and takes the weights of the layers of the same
name.  Those layers count that the scores of a picture are made with when the net is used: what
belongs to training alone (data, losses, accuracy) is left out.

caffe_files.py     messages (caffe_schema.py) and arrays (caffe_blobs.py);  caffe_fields.py  fields that Caffe lacks
caffe_graph.py     which layers take what;  caffe_picture.py  what goes in
caffe_walk.py      from there to ours, by caffe_layers.py, or a refusal (caffe_refusals.py)
caffe_witness.py   the same by OpenCV, for --verify
"""

import contextlib
from typing import NamedTuple

from ..files.storage import Wrong
from . import Foreign
from .caffe_fields import PARAMETERS, is_of_the_graph, meant, unknown_in_binary
from .caffe_files import Files, read_files
from .caffe_graph import Graph, kind, label, layers_of
from .caffe_picture import pixels_of, shape_of
from .caffe_walk import Walk
from .caffe_witness import maps_of, scores_of

WITNESS = "opencv-python-headless"
WANTS = ("prototxt", "mean", "size", "output")
BVLC, FORK = (
    "round_mode of BVLC's Caffe, where 1 rounds down",
    "ceil_mode of its forks, where 0 rounds down",
)


class Net(NamedTuple):
    """files: the Files.  nodes: the numbers of those nodes of `graph` that are used; picture: the blob
    that is the picture, of `shape` (H, W, C); softmax: as Foreign's; walk: over the nodes.  field_13:
    how that of pools was taken, "" where no pool has it or a text names it."""

    files: Files
    graph: Graph
    nodes: list
    picture: str
    shape: tuple
    softmax: str
    walk: Walk
    field_13: str


def read(path, wanted):
    """The Foreign of a .caffemodel or .caffemodel.h5; see convert/__init__.py."""
    net = _net(path, wanted)
    pixels, assumed = pixels_of(net.files.layers, net.shape[2], wanted.mean)
    return Foreign(
        net.shape, net.walk.layers(), pixels, net.softmax,
        conventions=_conventions(net, assumed), files=[f for f in (wanted.prototxt, wanted.mean) if f],
    )  # fmt: skip


def scores(path, x, wanted):
    """OpenCV's scores (N, K) of x (N, C, H, W)."""
    return scores_of(path, _net(path, wanted), x)


def maps(path, x, wanted):
    """{number of a layer in Foreign.layers: what OpenCV makes of x there, (N, H, W, C)}."""
    return maps_of(path, _net(path, wanted), x)


def _net(path, wanted):
    files = read_files(path, wanted.prototxt)
    _check_graph(files, wanted.prototxt)
    graph = Graph(files.net)
    nodes, names = graph.below(graph.output(wanted.output))
    for number in nodes:
        graph.check(number)
        _check_fields(graph.nodes[number], files, wanted.prototxt)
    if len(names) != 1:
        raise Wrong(f"makes its scores of {len(names)} inputs; rawconv takes nets of one picture")
    (picture,), end = names, graph.nodes[nodes[-1]].layer
    softmax = kind(end) == "Softmax"
    if softmax:
        nodes.pop()
    if not nodes:
        raise Wrong("holds no layer between the picture and its output")
    first = _first_channels(graph, nodes, picture, files.blobs)
    shape = shape_of(files.net, picture, first, wanted.size)
    walk, field_13 = _walked(graph, nodes, picture, shape, files, wanted.dtype)
    if softmax:
        _check_softmax(end, walk.values[nodes[-1]].rank)
    return Net(files, graph, nodes, picture, shape, "softmax" * softmax, walk, field_13)


def _walked(graph, nodes, picture, shape, files, dtype):
    """(the Walk over the nodes, how the field 13 of pools was taken).

    In a binary file it has no name.  It is BVLC's, unless only the other fits the sizes of what follows.
    """
    pools = _pools(graph, nodes) if files.unknown is None else []
    unnamed = [about for about in pools if about.HasField("round_mode")]

    def walked():
        walk = Walk(graph, files.blobs, dtype)
        walk.run(nodes, picture, shape)
        return walk

    try:
        return walked(), BVLC if unnamed else ""
    except Wrong as wrong:
        if not unnamed:
            raise
        for about in unnamed:
            about.ceil_mode = bool(about.round_mode)
            about.ClearField("round_mode")
        with contextlib.suppress(Wrong):
            return walked(), FORK
        raise wrong


def _pools(graph, nodes):
    """What the pools among nodes say."""
    layers = [graph.nodes[number].layer for number in nodes]
    return [layer.pooling_param for layer in layers if kind(layer) == "Pooling"]


def _check_graph(files, prototxt):
    """Wrong where a text misspells what says where a layer stands: used or not, the graph would be another."""
    for place, layer in enumerate(layers_of(files.net)):
        for where, name, title in _unknown(files, layer, place):
            if not where and is_of_the_graph(name):
                raise _misspelt(layer, where, name, title, prototxt)


def _check_fields(node, files, prototxt):
    """Wrong where a layer has a field that Caffe does not have: of another spelling, or of a fork."""
    layer, name = node.layer, PARAMETERS.get(kind(node.layer))
    for where, unknown, title in _unknown(files, layer, node.place):
        raise _misspelt(layer, where, unknown, title, prototxt)
    about = getattr(layer, name) if files.unknown is None and hasattr(layer, name or "") else None
    if about is not None and (numbers := unknown_in_binary(about)):
        raise Wrong(
            f"has {label(layer)} with the field {numbers[0]} in its {name}, which BVLC's Caffe does not have, or of "
            "which it does not know the value",
            "Say what it means in a deploy.prototxt, and name that with --prototxt.",
        )


def _unknown(files, layer, place):
    """[(where, name, message)] of the unknown fields of a layer in a text."""
    field = "layer" if isinstance(layer.type, str) else "layers"
    return (files.unknown or {}).get((field, place), [])


def _misspelt(layer, where, name, title, prototxt):
    return Wrong(
        f"has {label(layer)} with a field {'.'.join((*where, name))!r:.80} that Caffe does not have"
        f"{meant(name, title)}",
        f"Mend it in {prototxt}.",
    )


def _check_softmax(layer, rank):
    """Wrong where it is not over the channels of what it takes, of so many dimensions."""
    if layer.softmax_param.axis % rank != 1 or len(layer.top) != 1 or len(layer.bottom) != 1:
        raise Wrong(f"has {label(layer)}, which is not one over the classes")


def _first_channels(graph, nodes, picture, blobs):
    """The channels that the filters of the first convolution take, 3 where there is none with weights."""
    for number in nodes:
        layer, _, inputs = graph.nodes[number]
        if picture in inputs and kind(layer) == "Convolution" and blobs.get(layer.name):
            dims = blobs[layer.name][0].dims
            return dims[1] * layer.convolution_param.group if len(dims) > 1 else 3
    return 3


def _conventions(net, assumed):
    kinds = {kind(net.graph.nodes[number].layer) for number in net.nodes}
    pools = _pools(net.graph, net.nodes)
    said = {"rounding": "down for convolutions, up for pools, as in Caffe"}
    named = [
        name for name in ("round_mode", "ceil_mode") if any(pool.HasField(name) for pool in pools)
    ]
    if named:
        said["rounding"] = (
            f"down for convolutions; pools as their {' or '.join(named)} says, else up"
        )
    if net.field_13:
        said["field 13 of pools"] = (
            f"taken as {net.field_13}; a text named with --prototxt has the name"
        )
    if "LRN" in kinds:
        said["LRN"] = "alpha divided by its size"
    if kinds & {"BatchNorm", "Scale"}:
        said["batch norm"] = (
            "folded into the convolutions that they alone follow, else a convolution of 1x1"
        )
    return said | ({"mean": assumed} if assumed else {})
