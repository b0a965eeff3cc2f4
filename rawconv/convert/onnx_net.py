"""ONNX files: a chain of operators from one picture to class scores, as our layers.

The walk goes from the input along whoever takes a tensor; each operator (onnx_operators.py) adds a layer, or changes
what comes next.  A tensor that two operators take (a residual sum, a branch) ends it, and so does any other operator:
by name.
"""

import contextlib
import json
import math

import numpy as np

from ..checkpoint import LARGEST_SIDE as SIDE
from ..files.schema import MOST_FILTERS
from ..files.storage import Wrong
from ..layers.conv import Conv
from ..layers.lrn import LRN
from . import PIXELS, Foreign, Pixels, parts
from .onnx_graph import Graph, attributes, label
from .onnx_lrn import spelled_out
from .onnx_operators import AFTER_SOFTMAX, OPERATORS

WITNESS = "onnxruntime"
WANTS = ("size",)
CHANGE = "Change that in the program that wrote it, and export it again."
SHARED = 1 << 14  # numbers in a constant that several operators may take


def read(path, wanted):
    """The Foreign of an ONNX file; see convert/__init__.py."""
    chain = Chain(Graph(path), wanted.size)
    while (node := chain.next()) is not None:
        operator = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if operator is None:
            raise Wrong(f"has {label(node)}; rawconv takes chains of {', '.join(OPERATORS)}", "Export a net of these.")
        if chain.softmax and node.op_type not in AFTER_SOFTMAX:
            raise Wrong(f"has {label(node)} after its softmax, where rawconv takes nothing more", CHANGE)
        try:
            with np.errstate(all="ignore"):  # parts.py refuses what is not finite in the end
                operator(chain, node, attributes(node))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise Wrong(f"has {label(node)}, which rawconv cannot take: {error}", CHANGE) from error
        chain.goes_on_as(node.output[0])
    return chain.foreign()


def scores(path, x, wanted):
    """onnxruntime's scores (N, K) of x (N, C, H, W), in the order the file's input has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    channels_last = given.shape[3] in (1, 3) and given.shape[1] not in (1, 3)
    x = x.transpose(0, 2, 3, 1) if channels_last else x
    outputs = [output.name for output in session.get_outputs()]
    if len(outputs) > 1:  # some files show what their layers make as well
        consumers = Graph(path).consumers
        outputs = [name for name in outputs if name not in consumers]
    return session.run(outputs[:1], {given.name: np.ascontiguousarray(x)})[0].reshape(len(x), -1)


class Chain:
    """Where the walk is.  tensor: its name.  shape: (H, W, C) of what it holds; last: whether channels come last there.
    flat: whether it is (N, H * W * C).  layers, softmax, inside: as in Foreign."""

    def __init__(self, graph, size):
        self.graph, self.layers, self.softmax, self.inside = graph, [], "", None
        self.flat, self.seen, self.taken, self.averaged = False, set(), set(), 0
        self.tensor, self.batch, self.shape, self.last = _input(graph, size)
        self.given = self.shape
        self.goes_on_as(self.tensor)

    @property
    def dims(self):
        """The tensor's shape in the file."""
        height, width, channels = self.shape
        if self.flat:
            return self.batch, math.prod(self.shape)
        return (self.batch, height, width, channels) if self.last else (self.batch, channels, height, width)

    def goes_on_as(self, tensor):
        if tensor in self.seen:
            raise Wrong(f"is damaged: it makes {tensor!r:.80} twice")
        self.seen.add(tensor)
        self.tensor, self.graph.shapes[tensor] = tensor, self.dims

    def next(self):
        """The node that takes the tensor, None at the end.  An LRN spelled out is added and passed over."""
        while found := not self.flat and spelled_out(self.graph, self.tensor):
            name, layer, out = found
            self.layers.append((name, layer))
            self.goes_on_as(out)
        nodes = [node for node in self.graph.consumers.get(self.tensor, ()) if node.op_type != "Shape"]
        if len(nodes) > 1:
            several = " and ".join(label(node) for node in nodes[:2])
            raise Wrong(f"branches: {several} take the same tensor; rawconv takes chains, without residual sums",
                        "Export a net without them.")  # fmt: skip
        if not nodes:
            if self.tensor not in self.graph.outputs:
                raise Wrong(f"ends in {self.tensor!r:.80}, which nothing takes and which is not its output")
            return None
        (node,) = nodes
        if list(node.input).count(self.tensor) != 1:
            raise Wrong(f"has {label(node)}, which takes one tensor twice", "Export a net without it.")
        others = [name for name in node.input if name != self.tensor and not self.graph.is_constant(name)]
        if others:
            raise Wrong(f"has {label(node)}, which needs {others[0]!r:.80}, neither a constant nor what comes before; "
                        "rawconv takes chains, without residual sums", "Export a net without them.")  # fmt: skip
        return node

    def constant(self, node, place, default=None):
        """The value of an input of a node that is constant; `default` where it is left out."""
        if len(node.input) <= place or not node.input[place]:
            return default
        return self.graph.constant(node.input[place])

    def weight(self, node, place):
        """A constant input that becomes a parameter: floats, and large ones for one layer only, which copies them."""
        value = self.constant(node, place)
        if value is None:
            return None
        name = node.input[place]
        if value.dtype.kind != "f" or (value.size > SHARED and name in self.taken):
            raise ValueError(f"its weights {name!r:.80} are no floats, or another operator has them too")
        self.taken.add(name)
        return value

    def add(self, node, layer):
        self.shape = layer.out_shape(self.shape)
        if max(self.shape[:2]) > SIDE or self.shape[2] > MOST_FILTERS:
            raise ValueError(f"its maps are of {'x'.join(map(str, self.shape))}")
        self.layers.append((node.name or node.output[0], layer))

    def maps(self, node):
        """(H, W, C) where the operator needs maps, channels first: refuses what was flattened."""
        if self.flat or self.last:
            raise ValueError("it needs (picture, channel, row, column)")
        return self.shape

    def foreign(self):
        """The Foreign, at the end: only now, when all layers fit, are the weights copied."""
        for name, layer in self.layers:
            try:
                if isinstance(layer, Conv):
                    parts.own(layer)
            except ValueError as error:
                raise Wrong(f"has node {name!r:.80}, which rawconv cannot take: {error}", CHANGE) from error
        model = self.graph.model
        about = {entry.key: entry.value for entry in model.metadata_props}
        ours = {}
        with contextlib.suppress(ValueError):
            ours = json.loads(about.get("rawconv", "{}"))
        classes, stored = (ours.get("classes"), ours.get("stored")) if isinstance(ours, dict) else (None, None)
        good = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
        pixels, why = _expected(about, model.producer_name, self.given[2], self.inside)
        said = {"pixels": why} if why else {}
        if any(isinstance(layer, LRN) for _, layer in self.layers):
            said["LRN alpha"] = "divided by its size"
        said["rounding"] = "floor for convolutions; pools as the file says"
        said["made by"] = f"{model.producer_name} {model.producer_version}".strip()[:80] or "?"
        stored = stored if isinstance(stored, int) and self.given[0] <= stored <= 4096 else None
        return Foreign(
            self.given, self.layers, pixels, self.softmax, self.inside, stored, classes if good else [], said,
            self.graph.external,
        )  # fmt: skip


def _input(graph, size):
    """(name, batch, (H, W, C), whether channels come last) of the one input that something takes."""
    used = [given for given in graph.inputs if given.name in graph.consumers]
    if len(used) != 1:
        raise Wrong(f"takes {len(used)} inputs; rawconv takes nets of one picture")
    dims = [d.dim_value if d.HasField("dim_value") else 0 for d in used[0].type.tensor_type.shape.dim]
    if len(dims) != 4:
        raise Wrong(f"takes an input of {len(dims)} dimensions, not (picture, channel, row, column)")
    last = dims[3] in (1, 3) and dims[1] not in (1, 3)
    batch, height, width, channels = dims if last else (dims[0], dims[2], dims[3], dims[1])
    if size and {height, width} - {0, size}:
        raise Wrong(f"takes pictures of {height}x{width}, not {size}", "Leave --size out.")
    if not size and 0 in (height, width):
        raise Wrong("leaves the size of its pictures open", "Name it: --size 224.")
    height, width = height or size, width or size
    if min(height, width) < 1 or max(height, width) > SIDE or channels not in (0, 1, 3):
        raise Wrong(f"takes pictures of {height}x{width} with {channels} channels, which are not RGB or grey")
    return used[0].name, max(1, batch), (height, width, channels or 3), last


RANGES = {"NominalRange_0_255": (0.0, 1.0), "Normalized_0_1": (0.0, 255.0), "Normalized_1_1": (127.5, 127.5)}


def _expected(about, producer, channels, inside):
    """(Pixels or None, why): ONNX's own words about pictures, else how nets of this producer are usually trained."""
    order = {"Bgr8": "bgr", "Rgb8": "rgb", "Gray8": "grey"}.get(about.get("Image.BitmapPixelFormat"))
    level = RANGES.get(about.get("Image.NominalPixelRange"))
    if order and level:
        return Pixels(order, (level[0],) * channels, (level[1],) * channels), ""
    kind = "caffe" if "caffe" in producer.lower() else "torch" if "pytorch" in producer.lower() else None
    if kind is None:
        return None, ""
    if inside or channels == 1:
        large = inside is not None and np.abs(inside[0]).max() > 1.5
        grey = Pixels("grey", (0.0,), (255.0,)) if channels == 1 else PIXELS["unit"]
        return grey._replace(std=(1.0,) * channels) if large else grey, f"assumed of {producer}"
    return PIXELS[kind], f"assumed of {producer}: as those of ImageNet"
