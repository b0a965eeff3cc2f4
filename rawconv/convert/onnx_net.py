"""ONNX files: a graph of operators from one picture to class scores, as our layers (see onnx_walk.py)."""

import contextlib
import json

import numpy as np

from ..checkpoint.nodes import LARGEST_SIDE as SIDE
from ..errors import UsageError
from ..files.messages import printable
from ..files.storage import Wrong
from ..layers.conv import Conv
from ..layers.lrn import LRN
from ..net import IMAGE
from . import PIXELS, Foreign, Pixels, parts
from .names import LONGEST, names, path_of
from .onnx_graph import Graph, label
from .onnx_operators import OPERATORS
from .onnx_run import in_our_order, run
from .onnx_walk import CHANGE, Prepared, Value, Walk
from .pixel_options import UNIT_MEAN

WITNESS = "onnxruntime"
WANTS = ("size", "output")


def read(path, wanted):
    """The Foreign of an ONNX file; see convert/__init__.py."""
    walk, end = _walked(path, wanted)
    return _foreign(walk, end, _layers(walk, end, wanted.dtype))


def _walked(path, wanted):
    """(the Walk through a file, the Value of its output)."""
    graph = Graph(path)
    output = _output(graph, wanted.output)
    name, batch, shape, last = _input(graph, wanted.size, output)
    image = Value(
        IMAGE, shape, last, prepared=Prepared(tuple(range(shape[2])), np.zeros(1), np.ones(1))
    )
    walk = Walk(graph, OPERATORS, (name, image), batch)
    return walk, walk.run(output)


def scores(path, x, wanted):
    """onnxruntime's scores (N, K) of x (N, C, H, W), in the order the file's input has."""
    graph = Graph(path)
    output = _output(graph, wanted.output)
    (found,) = run(graph, _input(graph, wanted.size, output)[0], x, [output])
    return found.reshape(len(x), -1)


def maps(path, x, wanted):
    """{number of a layer in Foreign.layers: what onnxruntime makes of x there, (N, H, W, C)}.

    The tensors of the graph are made outputs of it, for which a softmax at its end is no hindrance.
    """
    walk, end = _walked(path, wanted)
    found = {end.layer: (walk.output, end)} | walk.tensors()
    names = dict.fromkeys(tensor for tensor, _ in found.values())
    made = dict(zip(names, run(walk.graph, walk.image, x, list(names)), strict=True))
    return {number: in_our_order(made[tensor], value) for number, (tensor, value) in found.items()}


def _output(graph, wanted):
    """The name of the output that the net ends in: the one wanted, the only one, or the only one
    that nothing takes.
    """
    if wanted is not None and wanted not in graph.outputs:
        raise UsageError(
            f"There is no output {wanted!r}; its outputs are {', '.join(graph.outputs)}."
        )
    if wanted is not None:
        return wanted
    # some show what their layers make as well
    last = [name for name in graph.outputs if name not in graph.consumers]
    found = graph.outputs if len(graph.outputs) == 1 else last
    if len(found) != 1:
        several = ", ".join(map(repr, (last or graph.outputs)[:5]))
        raise Wrong(
            f"has {len(found)} outputs that may be its scores, of {several[:300]}",
            "Name one with --output.",
        )
    return found[0]


def _layers(walk, end, dtype):
    """[(name, layer, *inputs)] of what was made.  Only now, when all of it fits, are the weights copied."""
    if end.layer == IMAGE:
        raise Wrong("holds no layer between the picture and its output")
    for number, (layer, node, *_) in enumerate(walk.made):
        _own(layer, node, dtype, walk.folds.get(number, ()))
    if _is_chain(walk.made):
        # str: protobuf makes bytes of a name that is no UTF-8
        return [(str(made.node.name or made.node.output[0]), made.layer) for made in walk.made]
    called = _names(walk)
    return [
        (
            name,
            made.layer,
            *(IMAGE if number == IMAGE else called[number] for number in made.inputs),
        )
        for name, made in zip(called, walk.made, strict=True)
    ]


def _names(walk):
    """The names of the layers that were made: as rawconv wrote them, or as names.py finds them."""
    ours = [printable(made.node.name)[:LONGEST] for made in walk.made]
    if walk.graph.model.producer_name == "rawconv" and len({*ours} - {""}) == len(ours):
        return ours
    return names([(path_of(made.node, made.weight), made.layer) for made in walk.made])


def _is_chain(layers):
    return all(
        made.inputs == ((number - 1) if number else IMAGE,) for number, made in enumerate(layers)
    )


def _own(layer, node, dtype, folds):
    """Give a convolution its own weights, with the scales and shifts `folds` that follow it."""
    if not isinstance(layer, Conv):
        return
    try:
        parts.own(layer, dtype)
        for scale, shift in folds:
            parts.fold_batch_norm(layer, scale, shift)
    except ValueError as error:
        raise Wrong(f"has {label(node)}, which rawconv cannot take: {error}", CHANGE) from error


def _foreign(walk, end, layers):
    model = walk.graph.model
    about = {entry.key: entry.value for entry in model.metadata_props}
    classes, stored = _own_words(about.get("rawconv", "{}"), max(walk.given[:2]))
    mean, scale = walk.inside
    inside = walk.inside if np.any(mean != 0) or np.any(scale != 1) else None
    pixels, why = _expected(about, model.producer_name, walk.given[2], inside)
    said = {"pixels": why} if why else {}
    if any(isinstance(made.layer, LRN) for made in walk.made):
        said["LRN alpha"] = "divided by its size"
    said["rounding"] = "floor for convolutions; pools as the file says"
    if len(walk.graph.outputs) > 1:
        said["output"] = walk.output
    said["made by"] = f"{model.producer_name} {model.producer_version}".strip()[:80] or "?"
    return Foreign(
        walk.given, layers, pixels, end.ending, inside, stored, classes, said, walk.graph.external
    )


def _own_words(text, least):
    """(classes, stored size) that rawconv wrote into a file; ([], None) as far as it did not."""
    ours = {}
    with contextlib.suppress(ValueError):
        ours = json.loads(text)
    classes, stored = (
        (ours.get("classes"), ours.get("stored")) if isinstance(ours, dict) else (None, None)
    )
    good = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    return classes if good else [], stored if isinstance(
        stored, int
    ) and least <= stored <= 4096 else None


def _input(graph, size, output):
    """(name, batch, (H, W, C), whether channels come last) of the one input that `output` is made of."""
    given, dims = _one_input(graph, output)
    last = dims[3] in (1, 3) and dims[1] not in (1, 3)
    batch, height, width, channels = dims if last else (dims[0], dims[2], dims[3], dims[1])
    height, width = _sides(height, width, size)
    if min(height, width) < 1 or max(height, width) > SIDE or channels not in (0, 1, 3):
        raise Wrong(
            f"takes pictures of {height}x{width} with {channels} channels, which are not RGB or grey"
        )
    return given.name, max(1, batch), (height, width, channels or 3), last


def _one_input(graph, output):
    """(the input, its four lengths, 0 for one that is left open) that `output` is made of."""
    needed = graph.needed(output)
    used = [
        given
        for given in graph.inputs
        if any(id(node) in needed for node in graph.consumers.get(given.name, ()))
    ]
    if len(used) != 1:
        raise Wrong(f"takes {len(used)} inputs; rawconv takes nets of one picture")
    dims = [
        d.dim_value if d.HasField("dim_value") else 0 for d in used[0].type.tensor_type.shape.dim
    ]
    if len(dims) != 4:
        raise Wrong(
            f"takes an input of {len(dims)} dimensions, not (picture, channel, row, column)"
        )
    return used[0], dims


def _sides(height, width, size):
    """(height, width) of the pictures, where `size` says what the file leaves open."""
    if size and {height, width} - {0, size}:
        raise Wrong(f"takes pictures of {height}x{width}, not {size}", "Leave --size out.")
    if not size and 0 in (height, width):
        raise Wrong("leaves the size of its pictures open", "Name it: --size 224.")
    return height or size, width or size


def _unit_pixels(channels, inside):
    """Pixels from 0 to 1; from 0 to 255 where the net itself subtracts numbers as large."""
    large = inside is not None and np.abs(inside[0]).max() > UNIT_MEAN
    grey = Pixels("grey", (0.0,), (255.0,)) if channels == 1 else PIXELS["unit"]
    return grey._replace(std=(1.0,) * channels) if large else grey


RANGES = {
    "NominalRange_0_255": (0.0, 1.0),
    "Normalized_0_1": (0.0, 255.0),
    "Normalized_1_1": (127.5, 127.5),
}


def _expected(about, producer, channels, inside):
    """(Pixels or None, why): ONNX's own words about pictures, else how nets of this producer are
    usually trained.
    """
    order = {"Bgr8": "bgr", "Rgb8": "rgb", "Gray8": "grey"}.get(
        about.get("Image.BitmapPixelFormat")
    )
    level = RANGES.get(about.get("Image.NominalPixelRange"))
    if order and level:
        return Pixels(order, (level[0],) * channels, (level[1],) * channels), ""
    kind = _kind_of(producer)
    if kind is None and inside and 0 < np.abs(inside[0]).max() <= UNIT_MEAN:
        why = "assumed of the mean that the file takes off its input"
        return _unit_pixels(channels, inside), why
    if kind is None:
        return None, ""
    if inside or channels == 1:
        return _unit_pixels(channels, inside), f"assumed of {producer}"
    return PIXELS[kind], f"assumed of {producer}: as those of ImageNet"


def _kind_of(producer):
    """The key in PIXELS of what the nets of a producer mostly expect; None of one that is not known."""
    names = {"caffe": "caffe", "pytorch": "torch"}
    return next((kind for name, kind in names.items() if name in producer.lower()), None)
