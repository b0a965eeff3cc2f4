"""An ONNX file as a graph: who makes a tensor, who takes it, and the constants, computed when they
are asked for.

Nothing is run: a constant is an initialiser, in the file or beside it, or comes from a few
operators that move numbers about, as those with which exporters compute the shape for a Reshape.
"""

import math
import os
import re
from collections import Counter

import numpy as np

from ..errors import RawconvError
from ..files.storage import Wrong, excess, open_regular

SINGLE = 4  # bytes of a number that ConstantOfShape makes, in the net: AlexNet's take 244 MB
# numbers that an operator which copies them may take in all: enough for shapes
MOST_MOVED = 1 << 10
DEEPEST = 100  # operators one after another in a constant


def onnx_package():
    """The onnx package; RawconvError, naming the extra, where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise RawconvError(
            "ONNX files need the onnx package: pip install 'rawconv[onnx]'."
        ) from error
    return onnx


class Graph:
    """The graph of a file.  model: the ModelProto.  name(node): for messages.

    producers: {tensor: node}.  consumers: {tensor: [nodes]}, each node once.
    """

    def __init__(self, path):
        onnx = onnx_package()
        from google.protobuf.message import DecodeError

        self.folder, self.size = os.path.dirname(os.path.abspath(path)), os.path.getsize(path)
        try:
            with open_regular(path) as file:
                self.model = onnx.load_model_from_string(file.read())
        except DecodeError as error:
            raise Wrong("is damaged or no ONNX file: it cannot be decoded") from error
        graph = self.model.graph
        if not graph.node:
            raise Wrong("is damaged or no ONNX file: its graph has no nodes")
        self.outputs = [output.name for output in graph.output]
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = [given for given in graph.input if given.name not in self.tensors]
        self.producers, self.consumers = self._producers(), _consumers(graph.node)
        self.external, self.shapes, self._known, self._constant, self._computed = (
            [],
            {},
            {},
            set(),
            0,
        )

    def _producers(self):
        """{tensor: node that makes it}."""
        made = [(name, node) for node in self.model.graph.node for name in node.output if name]
        tensors = [tensor.name for tensor in self.model.graph.initializer]
        names = [*(name for name, _ in made), *tensors, *(given.name for given in self.inputs)]
        if twice := next((name for name, count in Counter(names).items() if count > 1), None):
            raise Wrong(f"is damaged: it makes {twice!r:.80} twice")
        return dict(made)

    def opset(self):
        """The version of ONNX's own operators."""
        return max(
            (found.version for found in self.model.opset_import if found.domain in ("", "ai.onnx")),
            default=1,
        )

    def needed(self, output):
        """{id} of the nodes that the tensor `output` is made of."""
        found, waiting = set(), [output]
        while waiting:
            node = self.producers.get(waiting.pop())
            if node is not None and id(node) not in found:
                found.add(id(node))
                waiting += node.input
        return found

    def is_constant(self, name, depth=0):
        """Whether `constant` can have it: initialisers, what is computed from them, and shapes of
        known tensors.
        """
        if not name or name in self.tensors or name in self._constant:
            return True
        node = self.producers.get(name)
        if name in self.shapes or depth > DEEPEST or getattr(node, "op_type", None) not in COMPUTED:
            return False
        known = self._knows_shape(node) or all(
            self.is_constant(given, depth + 1) for given in node.input
        )
        if known:  # else not kept: it may be one once the shape of another tensor is known
            self._constant.add(name)
        return known

    def _knows_shape(self, node):
        """Whether it is the Shape of a tensor whose shape is known."""
        return node.op_type == "Shape" and node.input[0] in self.shapes

    def constant(self, name, depth=0):
        """The value of a constant tensor, perhaps a view that must not be written to.  Wrong where
        it is none.
        """
        if name not in self._known:
            if depth > DEEPEST:
                raise Wrong(f"computes {name!r:.80} in more than {DEEPEST} steps")
            tensor = self.tensors.get(name)
            self._known[name] = self._compute(name, depth) if tensor is None else self.array(tensor)
        return self._known[name]

    def _compute(self, name, depth):
        node = self.producers.get(name)
        if node is None or node.op_type not in COMPUTED:
            raise _no_constant(name, node)
        if self._knows_shape(node):
            return np.array(self.shapes[node.input[0]], np.int64)
        values = [self.constant(given, depth + 1) if given else None for given in node.input]
        size = sum(value.size for value in filter(_is_given, values))
        if size > MOST_MOVED and (node.op_type not in VIEWS or not all(map(_in_order, values[:1]))):
            raise Wrong(
                f"computes large constants with {label(node)}, which rawconv does not follow"
            )
        return COMPUTED[node.op_type](self, attributes(node), *values)

    def reserve(self, shape):
        """`shape` as a tuple, once it is clear that ConstantOfShape does not ask for too much."""
        shape = tuple(int(length) for length in shape)
        self._computed += math.prod(shape)
        if min(shape, default=1) < 0 or len(shape) > 8:
            raise Wrong(f"asks for a constant of shape {shape}, which is no sensible size")
        if what := excess(SINGLE * self._computed, self.size):
            raise Wrong(f"asks for a constant of shape {shape}, which would take {what}")
        return shape

    def array(self, tensor):
        """A TensorProto as an array.  Its size is checked against the bytes that are there."""
        helper = onnx_package().numpy_helper
        kind = onnx_package().TensorProto
        if tensor.data_type not in (
            kind.FLOAT,
            kind.DOUBLE,
            kind.FLOAT16,
            kind.BFLOAT16,
            kind.INT32,
            kind.INT64,
        ):
            name = (
                kind.DataType.Name(tensor.data_type)
                if tensor.data_type in kind.DataType.values()
                else "unknown"
            )
            raise Wrong(
                f"has the constant {tensor.name!r:.80} of type {name}; rawconv reads floats and integers"
            )
        if tensor.data_location == kind.EXTERNAL:
            return self._outside(tensor)
        if min(tensor.dims, default=1) < 0 or math.prod(tensor.dims) > self.size:
            raise Wrong(
                f"is damaged: it cannot hold {tensor.name!r:.80} of shape {tuple(tensor.dims)}"
            )
        array = helper.to_array(tensor)
        return array.astype(np.float32) if array.dtype.itemsize == 2 else array

    def _outside(self, tensor):
        """A tensor kept in another file of the same folder: only there, only as much as it has."""
        about = {entry.key: entry.value for entry in tensor.external_data}
        location = about.get("location", "")
        path = os.path.realpath(os.path.join(self.folder, location))
        # "" is the folder
        if os.path.dirname(path) != os.path.realpath(self.folder) or not os.path.isfile(path):
            raise Wrong(
                f"keeps {tensor.name!r:.80} in {location!r:.80}, which is no file in the same folder"
            )
        offset, length = _whole_numbers(about, tensor, location)
        dtype = np.dtype(onnx_package().helper.tensor_dtype_to_np_dtype(tensor.data_type))
        count = math.prod(tensor.dims)
        length = length or count * dtype.itemsize
        if min(tensor.dims, default=1) < 0 or length != count * dtype.itemsize:
            raise Wrong(
                f"is damaged: {length} bytes are no {tensor.name!r:.80} of shape {tuple(tensor.dims)}"
            )
        if offset + length > os.path.getsize(path):
            raise Wrong(
                f"needs {tensor.name!r:.80}, and {location} is too short for it",
                "Fetch both files again.",
            )
        if path not in self.external:
            self.external.append(path)
        array = np.fromfile(path, dtype.newbyteorder("<"), count, offset=offset).reshape(
            tuple(tensor.dims)
        )
        return array.astype(np.float32) if dtype.itemsize == 2 else array


def _whole_numbers(about, tensor, location):
    """(offset, length) of a tensor in another file."""
    numbers = [about.get(key, "0") for key in ("offset", "length")]
    if not all(re.fullmatch(r"\d{1,18}", number) for number in numbers):
        raise Wrong(f"is damaged: {tensor.name!r:.80} has no sensible place in {location}")
    return map(int, numbers)


def _is_given(value):
    return value is not None


def _no_constant(name, node):
    how = f", which {label(node)} makes" if node else ""
    return Wrong(
        f"needs the constant {name!r:.80}{how}; rawconv reads initialisers and {', '.join(COMPUTED)}"
    )


def _consumers(nodes):
    """{tensor: [nodes that take it]}."""
    consumers = {}
    for node in nodes:
        for name in dict.fromkeys(node.input):
            consumers.setdefault(name, []).append(node)
    return consumers


def _in_order(array):
    """Whether a Reshape of it makes a view: it is contiguous, or one number everywhere."""
    return array.flags.c_contiguous or not any(array.strides)


def label(node):
    """A node in words: its operator, and its name or that of what it makes."""
    name = node.name or next(iter(node.output), "")
    return f"node {name!r:.80} ({node.op_type:.40})"


def attributes(node):
    """{name: value}, texts as str, tensors and graphs as they are."""
    onnx = onnx_package()
    found = {}
    for one in node.attribute:
        if one.type not in (onnx.AttributeProto.TENSOR, onnx.AttributeProto.GRAPH):
            value = onnx.helper.get_attribute_value(one)
            found[one.name] = (
                value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            )
        else:
            found[one.name] = one.t if one.type == onnx.AttributeProto.TENSOR else one.g
    return found


# The operators in constants: (graph, attributes, *input values) -> value.  Up to opset 12 some
# inputs were attributes.


def _fill(graph, about, shape):
    value = graph.array(about["value"]) if "value" in about else np.zeros(1, np.float32)
    return np.broadcast_to(value.reshape(()), graph.reserve(shape))


def _constant(graph, about):
    if "value" in about:
        return graph.array(about["value"])
    key, kind = next((k, t) for k, t in (("value_int", int), ("value_ints", int), ("value_float", float),
                                         ("value_floats", float)) if k in about)  # fmt: skip
    return np.array(about[key], np.int64 if kind is int else np.float32)


def _reshape(graph, about, x, shape=None):
    shape = [int(length) for length in (about["shape"] if shape is None else shape)]
    return x.reshape([x.shape[i] if length == 0 else length for i, length in enumerate(shape)])


def _axes(about, axes):
    return tuple(int(axis) for axis in (about["axes"] if axes is None else axes))


def _slice(graph, about, x, starts=None, ends=None, axes=None, steps=None):
    starts, ends = (
        about[key] if value is None else value
        for key, value in (("starts", starts), ("ends", ends))
    )
    axes = about.get("axes", range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        part = [slice(None)] * x.ndim
        low = -x.shape[axis] - 1 if step < 0 else -x.shape[axis]
        end = None if step < 0 and end <= low else int(end)
        part[int(axis)] = slice(int(start), end, int(step))
        x = x[tuple(part)]
    return x


TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 11: np.float64}
COMPUTED = {
    "Constant": _constant,
    "ConstantOfShape": _fill,
    "Identity": lambda graph, about, x: x,
    "Reshape": _reshape,
    "Transpose": lambda graph, about, x: x.transpose(about.get("perm")),
    "Unsqueeze": lambda graph, about, x, axes=None: np.expand_dims(x, _axes(about, axes)),
    "Squeeze": lambda graph, about, x, axes=None: (
        x.squeeze() if axes is None and "axes" not in about else x.squeeze(_axes(about, axes))
    ),
    "Shape": lambda graph, about, x: np.array(x.shape, np.int64),
    "Cast": lambda graph, about, x: x.astype(TYPES[about["to"]]),
    "Gather": lambda graph, about, x, places: x.take(places, about.get("axis", 0)),
    "Concat": lambda graph, about, *x: np.concatenate(x, about["axis"]),
    "Slice": _slice,
    "Add": lambda graph, about, a, b: a + b,
    "Sub": lambda graph, about, a, b: a - b,
    "Mul": lambda graph, about, a, b: a * b,
    "Div": lambda graph, about, a, b: a // b if a.dtype.kind == "i" else a / b,
}
VIEWS = (
    "Constant",
    "ConstantOfShape",
    "Identity",
    "Reshape",
    "Transpose",
    "Unsqueeze",
    "Squeeze",
    "Shape",
)
