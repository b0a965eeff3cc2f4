"""A net of ours as an ONNX file: pixels in, class scores out, for onnxruntime and whatever else reads ONNX.

Its input is (N, 3, H, W), RGB in [0, 255], the centre crop of a picture; the mean is subtracted by its first node.
What ONNX has no word for is spelled out: a convolution that rounds up gets its missing zeros as padding, LRN's alpha is
multiplied by its size, a layer that covers its whole input becomes Flatten and Gemm.
"""

import json
import math

import numpy as np

from ..data.preprocessing import stored_size
from ..errors import RawconvError
from ..files.storage import replace_file
from ..layers.add import Add
from ..layers.average_pool import AveragePool
from ..layers.concat import Concat
from ..layers.conv import Conv
from ..layers.dropout import Dropout
from ..layers.lrn import LRN
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from ..machine.arrays import to_cpu
from ..net import IMAGE
from .onnx_graph import onnx_package

OPSET, IR = 13, 8  # old enough for all readers of the last years
MOST_BYTES = (1 << 31) - (1 << 20)  # what a protobuf message can hold


def export(net, path):
    """Write the net to `path`, all or nothing, as float32.  RawconvError: it is too large, or onnx is not installed."""
    replace_file(path, to_onnx(net).SerializeToString())


def to_onnx(net):
    """The net as an onnx.ModelProto; its layers keep their names."""
    onnx = onnx_package()
    size = 4 * (sum(value.size for value in net.params.values()) + math.prod(net.shape))
    if size > MOST_BYTES:
        raise RawconvError(f"The net has {size / 1e9:.1f} GB of parameters, and an ONNX file can hold 2 GB.")
    graph = Writer(net.shape)
    graph.add("mean", "Sub", _mean(net))
    graph.end(IMAGE)
    for node in net.nodes.values():
        graph.begin(node)
        WRITERS[type(node.layer)](graph, node.name, node.layer)
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
    """The nodes and weights so far.  value: the name of what the last made; shape: its (H, W, C); flat: whether it is
    (N, H * W * C) instead.  made: the three of every layer.  inputs: those of the layer that is being written.
    """

    def __init__(self, shape):
        self.nodes, self.weights, self.value, self.shape, self.flat = [], [], "pixels", shape, False
        self.made, self.inputs = {}, []

    def begin(self, node):
        self.inputs = [self.made[name] for name in node.inputs]
        self.value, self.shape, self.flat = self.inputs[0]

    def end(self, name):
        self.made[name] = self.value, self.shape, self.flat

    def add(self, name, operator, *arrays, values=None, **about):
        """A node that takes what the last one made, or these values, and these arrays."""
        onnx, inputs = onnx_package(), list(values or [self.value])
        for k, array in enumerate(arrays):
            inputs.append(f"{name}.{k}")
            self.weights.append(onnx.numpy_helper.from_array(np.asarray(array, np.float32, order="C"), inputs[-1]))
        self.nodes.append(onnx.helper.make_node(operator, inputs, [f"{name}.out"], name, **about))
        self.value = f"{name}.out"


def _mean(net):
    """What the net subtracts from the pixels it sees: (1, C, 1, 1), or (1, C, H, W)."""
    if net.mean.ndim == 1:
        return net.mean.reshape(1, -1, 1, 1)
    top, left = ((have - want) // 2 for have, want in zip(net.mean.shape, net.shape[:2], strict=False))
    mean = net.mean[top : top + net.shape[0], left : left + net.shape[1]].transpose(2, 0, 1)[None]
    return mean[..., :1, :1] if (mean == mean[..., :1, :1]).all() else mean


def _conv(graph, name, layer):
    weight, bias = to_cpu(layer.weight).transpose(3, 2, 0, 1), to_cpu(layer.bias)
    window, shape, graph.shape = layer.window, graph.shape, layer.out_shape(graph.shape)
    if layer.groups == 1 and window.size == shape[:2] and not any(window.pad):
        if not graph.flat:
            graph.add(f"{name}.flatten", "Flatten")
        graph.flat = True
        return graph.add(name, "Gemm", weight.reshape(len(weight), -1), bias, transB=1)
    if graph.flat:
        raise RawconvError(f"Layer {name} is a convolution after a fully connected layer, which cannot be exported.")
    graph.add(name, "Conv", weight, bias, group=layer.groups, kernel_shape=window.size, strides=window.stride,
              pads=_pads(window, shape, graph.shape))  # fmt: skip


def _pads(window, shape, out):
    """(top, left, bottom, right) with which rounding down gives the size `out`."""
    ends = [
        max(0, (count - 1) * stride + size - length - before)
        for count, stride, size, length, before in zip(
            out, window.stride, window.size, shape[:2], window.pad[:2], strict=False
        )
    ]
    return [*window.pad[:2], *ends]


def _pool(graph, name, layer):
    shape, graph.shape = graph.shape, layer.out_shape(graph.shape)
    window = layer.window
    counted = window.out_size(*shape[:2]) == graph.shape[:2]  # no last window is dropped, which not all readers do
    ceil = window.ceil_mode and counted
    pads = window.pad if counted else _pads(window, shape, graph.shape)
    graph.add(name, "MaxPool", kernel_shape=window.size, strides=window.stride, pads=pads, ceil_mode=int(ceil))


def _average_pool(graph, name, layer):
    """ONNX counts the cells inside the map or all of the window; on windows that hang over, not all readers agree."""
    shape, graph.shape = graph.shape, layer.out_shape(graph.shape)
    window = layer.window
    if window.size == shape[:2] and not any(window.pad):
        return graph.add(name, "GlobalAveragePool")
    counts, pads = layer.counts(shape[:2]), _pads(window, shape, graph.shape)
    inside = (counts == AveragePool(*window, "map").counts(shape[:2])).all()
    if not inside and (counts != math.prod(window.size)).any():
        raise RawconvError(f"Layer {name} averages windows that hang over its padded map, which cannot be exported.")
    graph.add(name, "AveragePool", kernel_shape=window.size, strides=window.stride, pads=pads,
              count_include_pad=int(not inside))  # fmt: skip


def _relu(graph, name, layer):
    if layer.ceiling is None:
        return graph.add(name, "Relu")
    graph.add(name, "Clip", np.float32(0), np.float32(layer.ceiling))


def _lrn(graph, name, layer):
    graph.add(name, "LRN", size=layer.size, alpha=layer.alpha * layer.size, beta=layer.beta, bias=layer.k)


def _meet(operator, **about):
    """The writer of a layer of several inputs."""

    def write(graph, name, layer):
        values, shapes, flat = zip(*graph.inputs, strict=True)
        if len(set(flat)) > 1:
            raise RawconvError(f"Layer {name} joins a fully connected layer and a map, which cannot be exported.")
        graph.shape = layer.out_shape(*shapes)
        graph.add(name, operator, values=values, **about)

    return write


WRITERS = {
    Add: _meet("Sum"), Concat: _meet("Concat", axis=1),
    Conv: _conv, MaxPool: _pool, AveragePool: _average_pool, LRN: _lrn,
    ReLU: _relu,
    Dropout: lambda graph, name, layer: graph.add(name, "Dropout", np.float32(layer.rate)),
}  # fmt: skip
