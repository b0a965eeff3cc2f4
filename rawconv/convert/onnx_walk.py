"""The walk over an ONNX graph, from its output down to the picture and up again: each tensor
becomes a Value, each operator (onnx_operators.py, onnx_shapes.py) makes layers of ours, or changes
how a value is to be read.
"""

import math
from typing import NamedTuple

import numpy as np

from ..files.storage import Wrong
from ..layers.conv import Conv
from ..net import IMAGE
from . import parts
from .onnx_graph import attributes, label
from .onnx_lrn import spelled_out
from .onnx_refusals import refusal

CHANGE = "Change that in the program that wrote it, and export it again."
SHARED = 1 << 14  # numbers in a constant that several operators may take
NO_PAD = (0, 0, 0, 0)
HUGE = 3e38  # a bound that is none
# may take several Values
SEVERAL = ("Add", "Sub", "Mul", "Div", "Sum", "Concat", "Gemm", "MatMul", "Max", "Min")


class Prepared(NamedTuple):
    """A picture on its way to the first layer: (x - mean) * scale of these channels of the file's input.

    mean, scale: one number a channel, (1,) or (C,); mean also a picture (H, W, C).  row: whether
    the channel axis of a single channel is gone, (N, H, W).
    """

    channels: tuple
    mean: np.ndarray
    scale: np.ndarray
    row: bool = False


class Value(NamedTuple):
    """What a tensor of the file holds: the output of our layer number `layer` (IMAGE: the picture),
    of `shape` (H, W, C), and how the file lays it out.

    last: the channels come last; flat: (N, H * W * C).  pad: (top, left, bottom, right) that a Pad
    filled with `fill`.
    alone: only one operator takes it.  positive: no number is below 0.  ending: "softmax", "log" or
    "sigmoid" if it is that of the layer's output.  prepared: a Prepared, of the picture only.
    """

    layer: int | str
    shape: tuple
    last: bool = False
    flat: bool = False
    pad: tuple = NO_PAD
    fill: float = 0.0
    alone: bool = True
    positive: bool = False
    ending: str = ""
    prepared: Prepared | None = None


class Made(NamedTuple):
    """A layer of ours, the node of the file that it comes from, and the numbers of the layers it takes."""

    layer: object
    node: object
    inputs: tuple
    weight: str = ""


class Walk:
    """graph: a Graph.  values: {tensor: Value}.  made: [Made], from the bottom up.  folds: {number
    of a Conv in it: [(scale, shift)]}, still to be folded in.  inside: (mean, scale) with which the
    file itself prepares a picture.  image: the tensor that is the picture."""

    def __init__(self, graph, operators, image, batch):
        self.graph, self.operators, self.batch = graph, operators, batch
        self.values, self.made, self.folds, self.taken, self.weights = {}, [], {}, set(), 0
        self.inside, self.given, self.ended, self.output = None, image[1].shape, None, ""
        self.counts, self.image = {}, image[0]
        self._put(*image)

    def run(self, output):
        """The Value of the tensor `output`."""
        self.output, self.counts = output, self._counts(self.graph.needed(output))
        waiting, begun = [output], set()
        while waiting:
            tensor = waiting[-1]
            if self._known(tensor):
                waiting.pop()
                continue
            node = self.graph.producers.get(tensor)
            if node is None:
                raise Wrong(f"is damaged: nothing makes {tensor!r:.80}")
            missing = self._missing(node)
            if begun.intersection(missing):
                raise Wrong(
                    f"is damaged: {label(node)} needs what it makes itself: its graph goes round in a circle"
                )
            if missing:
                begun.add(tensor)
                waiting += reversed(missing)
                continue
            self._apply(node)
            if not self._known(tensor):
                raise Wrong(f"needs {tensor!r:.80}, the second output of {label(node)}", CHANGE)
            begun.discard(tensor)
        if output not in self.values:
            raise Wrong(f"ends in {output!r:.80}, which does not depend on the picture")
        return self.settled(self.values[output])

    def tensors(self):
        """{number of a layer: (the tensor that holds its output, its Value)}, of the layers that have one.

        It is the last of a layer's, behind the batch norm that was folded into it; probabilities and
        maps that wait for their padding are not its output.
        """
        return {
            value.layer: (tensor, value)
            for tensor, value in self.values.items()
            if value.layer != IMAGE and not any(value.pad) and not value.ending
        }

    def _counts(self, needed):
        """{tensor: how many of the nodes {id} that are needed take it}."""
        counts = {}
        for name, nodes in self.graph.consumers.items():
            counts[name] = sum(id(node) in needed for node in nodes if node.op_type != "Shape")
        return counts

    def _known(self, tensor):
        return not tensor or tensor in self.values or self.graph.is_constant(tensor)

    def _missing(self, node):
        """The tensors that are still needed before an operator.  An LRN spelled out ends in a Div,
        whose first input is all that has to be known."""
        if node.op_type == "Div" and self._known(node.input[0]) and spelled_out(self.graph, node):
            return []
        missing = [name for name in node.input if not self._known(name)]
        return missing[:1] if node.op_type == "Div" else missing

    def _apply(self, node):
        about, values = (
            attributes(node),
            [self.values[name] for name in node.input if name in self.values],
        )
        operator = self.operators.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if operator is None:
            raise Wrong(f"has {label(node)}{refusal(node, self)}", "Export a net of these.")
        self._check_after(values, node)
        try:
            self._check_operands(values, node)
            with np.errstate(all="ignore"):  # parts.py refuses what is not finite in the end
                value = operator(self, node, about, *values)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise Wrong(f"has {label(node)}, which rawconv cannot take: {error}", CHANGE) from error
        if value.ending and self.ended is None:
            self.ended = node
        self._put(node.output[0], value)

    def _check_operands(self, values, node):
        if node.op_type not in SEVERAL and (len(values) != 1 or node.input[0] not in self.values):
            raise ValueError(
                f"it takes {len(values)} tensors made of the picture, and not as its first alone"
            )

    def _check_after(self, values, node):
        """Wrong where an operator that computes takes probabilities."""
        value = next((value for value in values if value.ending), None)
        if value is None or node.op_type in ("Flatten", "Reshape", "Squeeze", "Identity", "Cast"):
            return
        if value.ending == "sigmoid" or node.op_type in ("Mul", "MatMul"):
            raise Wrong(
                f"has {label(self.ended)}{refusal(self.ended, self, node)}",
                "Export a net of these.",
            )
        raise Wrong(
            f"has {label(node)} after its softmax, where rawconv takes nothing more", CHANGE
        )

    def _put(self, tensor, value):
        self.values[tensor] = value._replace(alone=value.alone and self.counts.get(tensor, 1) <= 1)
        self.graph.shapes[tensor] = self.dims(value)

    def dims(self, value):
        """The shape of a value in the file."""
        height, width, channels = value.shape
        if value.flat:
            return self.batch, math.prod(value.shape)
        height, width = height + value.pad[0] + value.pad[2], width + value.pad[1] + value.pad[3]
        if value.prepared is not None and value.prepared.row:
            return self.batch, height, width
        return (
            (self.batch, height, width, channels)
            if value.last
            else (self.batch, channels, height, width)
        )

    # Constants

    def constant(self, node, place, default=None):
        """The value of an input of a node that is constant; `default` where it is left out."""
        if len(node.input) <= place or not node.input[place]:
            return default
        if node.input[place] in self.values:
            raise ValueError(
                f"its input {place} is made of the picture, where rawconv takes a constant"
            )
        return self.graph.constant(node.input[place])

    def weight(self, node, place):
        """A constant input that becomes a parameter: floats, and large ones for one layer only,
        which copies them.
        """
        value = self.constant(node, place)
        if value is None:
            return None
        name = node.input[place]
        if value.dtype.kind != "f" or (value.size > SHARED and name in self.taken):
            raise ValueError(
                f"its weights {name!r:.80} are no floats, or another operator has them too"
            )
        self.taken.add(name)
        return value

    def reserve(self, count):
        """ValueError where `count` more weights, which are in no file, are too many."""
        self.weights += count
        if self.weights > parts.MOST_MADE:
            raise ValueError("it would take too many weights, which are not in the file")

    # Layers

    def add(self, node, layer, *inputs, weight=""):
        """The Value of a new layer over these; it lies as the first of them does.  weight: the name
        of its weight.
        """
        inputs = [self.settled(value, node) for value in inputs]
        return self._append(node, layer, inputs, weight)

    def _append(self, node, layer, inputs, weight=""):
        for value in inputs:
            self._check_image(value)
        shape = parts.checked_shape(layer, [value.shape for value in inputs], len(self.made))
        self.made.append(Made(layer, node, tuple(value.layer for value in inputs), weight))
        return Value(len(self.made) - 1, shape, inputs[0].last, inputs[0].flat)

    def _check_image(self, value):
        """Note how the file prepares a picture: all layers that take it must get the same."""
        if value.layer != IMAGE:
            return
        channels, mean, scale, row = value.prepared
        if row or channels != tuple(range(self.given[2])):
            raise ValueError(
                f"it takes the channels {', '.join(map(str, channels))} of the picture, not all in order"
            )
        if self.inside is None:
            self.inside = mean, scale
        if not all(map(self._same, (mean, scale), self.inside)):
            raise ValueError("it takes the picture prepared in another way than another layer")

    def _same(self, numbers, others):
        return np.array_equal(
            np.broadcast_to(numbers, self.given), np.broadcast_to(others, self.given)
        )

    def settled(self, value, node=None):
        """The value with the zeros around it in its map: for what does not pad by itself, a
        convolution of 1x1.
        """
        if not any(value.pad):
            return value
        if value.fill != 0 or value.flat or value.last:
            raise ValueError(f"it takes a map that was padded by {value.fill:g}, not by 0")
        channels, bare = value.shape[2], value._replace(pad=NO_PAD)
        self.reserve(2 * channels)
        layer = parts.conv(
            np.ones((channels, 1, 1, 1), np.float32), None, 1, value.pad, channels, view=True
        )
        return self._append(node, layer, [bare])._replace(alone=False, positive=value.positive)

    def affine(self, node, value, scale, shift):
        """scale * x + shift, one number a map: of the picture, into the convolution that alone
        makes x, or a layer.
        """
        if value.layer == IMAGE:
            return self._prepare(value, scale, shift)
        channels = value.shape[2]
        if value.flat and value.shape[:2] != (1, 1):
            raise ValueError("it is not one number a map")
        scale, shift = (
            np.broadcast_to(np.asarray(numbers), (channels,)) for numbers in (scale, shift)
        )
        if value.alone and not any(value.pad) and isinstance(self.made[value.layer].layer, Conv):
            self.folds.setdefault(value.layer, []).append((scale, shift))
            return value._replace(positive=False)
        self.reserve(2 * channels)
        return self.add(node, parts.per_map(scale, shift), value)

    def _prepare(self, value, scale, shift):
        channels, mean, before, row = value.prepared
        if any(value.pad):
            raise ValueError("it changes a picture that was padded before")
        if np.ndim(scale) > 1 or not np.all(scale):
            raise ValueError("it scales the input by 0, or by more than one number a channel")
        return value._replace(
            prepared=Prepared(channels, mean - shift / before, before * scale, row)
        )
