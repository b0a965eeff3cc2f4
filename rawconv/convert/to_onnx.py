"""A net of ours as an ONNX file: pixels in, class scores out, for onnxruntime and whatever else reads ONNX.

Its input is (N, 3, H, W), RGB in [0, 255], the centre crop of a picture; the mean is subtracted by
its first node. What ONNX has no word for is spelled out: a convolution that rounds up gets its
missing zeros as padding, LRN's alpha is multiplied by its size, a layer that covers its whole input
becomes Flatten and Gemm.
"""

import json
import math

import numpy as np

from ..data.preprocessing import stored_size
from ..errors import RawconvError
from ..files.storage import replace_file
from ..net import IMAGE
from .onnx_graph import onnx_package

OPSET, IR = 13, 8  # old enough for all readers of the last years
ON_MAPS = ("Conv", "MaxPool", "AveragePool", "GlobalAveragePool")
MOST_BYTES = (1 << 31) - (1 << 20)  # what a protobuf message can hold


def export(net, path):
    """Write the net to `path`, all or nothing, as float32.  RawconvError: it is too large, or onnx
    is not installed.
    """
    replace_file(path, to_onnx(net).SerializeToString())


def to_onnx(net):
    """The net as an onnx.ModelProto; its layers keep their names."""
    onnx = onnx_package()
    size = 4 * (sum(value.size for value in net.params.values()) + math.prod(net.shape))
    if size > MOST_BYTES:
        raise RawconvError(
            f"The net has {size / 1e9:.1f} GB of parameters, and an ONNX file can hold 2 GB."
        )
    graph = Writer()
    graph.add("mean", "Sub", _mean(net))
    graph.end(IMAGE)
    for node in net.nodes.values():
        if node.layer.to_onnx is None:
            raise RawconvError(
                f"Layer {node.name} is a {type(node.layer).__name__}, which cannot be exported."
            )
        graph.begin(node, net.shapes.get(node.inputs[0], net.shape), net.shapes[node.name])
        node.layer.to_onnx(graph, node.name)
        graph.end(node.name)
    if not graph.flat:
        graph.add("flatten", "Flatten")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    height, width, channels = net.shape
    scores = net.shapes[net.output]
    graph.nodes[-1].output[0] = "scores"
    body = helper.make_graph(
        graph.nodes, net.model or "net",
        [helper.make_tensor_value_info("pixels", kind, ["batch", channels, height, width])],
        [helper.make_tensor_value_info("scores", kind, ["batch", math.prod(scores)])],
        graph.weights,
    )  # fmt: skip
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(body, opset_imports=[opset], ir_version=IR, producer_name="rawconv")
    helper.set_model_props(model, {
        "Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "NominalRange_0_255",
        "rawconv": json.dumps({"model": net.model, "classes": net.classes, "stored": stored_size(net)}),
    })  # fmt: skip
    return model


class Writer:
    """The operators and weights so far; a layer adds its own to those of the nodes that it takes.

    shape: (H, W, C) of its input, or of the first of several; out: of its output.  values: the
    names of what goes into the next operator; flat: whether they are (N, H * W * C) and no maps.
    """

    def __init__(self):
        self.nodes, self.weights, self.values, self.flat = [], [], ["pixels"], False
        self.name, self.shape, self.out, self._made = "", (), (), {}

    def begin(self, node, shape, out):
        """From here on operators are those of `node`; RawconvError where it takes a vector and a map."""
        self.name, self.shape, self.out = node.name, shape, out
        self.values, flat = zip(*(self._made[name] for name in node.inputs), strict=True)
        if len(set(flat)) > 1:
            raise RawconvError(
                f"Layer {node.name} joins a fully connected layer and a map, which cannot be exported."
            )
        self.flat = flat[0]

    def end(self, name):
        """What was added since `begin` ends in the output of node `name`."""
        (value,) = self.values
        self._made[name] = value, self.flat

    def add(self, name, operator, *arrays, **about):
        """An operator that takes what the last one made, of several inputs all, and these arrays."""
        if operator in ON_MAPS and self.flat:
            where = "above a fully connected layer"
            raise RawconvError(
                f"Layer {self.name} is a {operator} {where}, which cannot be exported."
            )
        onnx, inputs = onnx_package(), list(self.values)
        for k, array in enumerate(arrays):
            inputs.append(f"{name}.{k}")
            self.weights.append(
                onnx.numpy_helper.from_array(np.asarray(array, np.float32, order="C"), inputs[-1])
            )
        self.nodes.append(onnx.helper.make_node(operator, inputs, [f"{name}.out"], name, **about))
        self.values = [f"{name}.out"]

    def add_product(self, name, weight, bias):
        """weight (F, H * W * C in the order C, H, W) @ input + bias: a fully connected layer."""
        if not self.flat:
            self.add(f"{name}.flatten", "Flatten")
        self.flat = True
        self.add(name, "Gemm", weight, bias, transB=1)


def _mean(net):
    """What the net subtracts from the pixels it sees: (1, C, 1, 1), or (1, C, H, W)."""
    if net.pixel_mean.ndim == 1:
        return net.pixel_mean.reshape(1, -1, 1, 1)
    top, left = (
        (have - want) // 2 for have, want in zip(net.pixel_mean.shape, net.shape[:2], strict=False)
    )
    mean = net.pixel_mean[top : top + net.shape[0], left : left + net.shape[1]].transpose(2, 0, 1)[
        None
    ]
    return mean[..., :1, :1] if (mean == mean[..., :1, :1]).all() else mean
