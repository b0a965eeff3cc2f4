"""The operators of ONNX that make layers: each takes the walk, its node, the node's attributes and
the Values of its inputs that are no constants, and returns the Value of its output; a ValueError
says what rawconv cannot take.
"""

import math

import numpy as np

from ..layers.dropout import Dropout
from ..layers.relu import ReLU
from ..net import IMAGE
from . import parts
from .onnx_arithmetic import ARITHMETIC
from .onnx_shapes import SHAPES, maps, row
from .onnx_walk import HUGE
from .onnx_windows import WINDOWS, padded, padding, together, window


def _conv(walk, node, about, x):
    channels = maps(x)[2]
    weight, bias = walk.weight(node, 1), walk.weight(node, 2)
    groups = about.get("group", 1)
    if weight.ndim != 4 or groups < 1 or weight.shape[1] * groups != channels:
        raise ValueError(
            f"its weight {weight.shape} in {groups} groups does not fit {channels} channels"
        )
    if "kernel_shape" in about and tuple(about["kernel_shape"]) != weight.shape[2:]:
        raise ValueError(f"its weight {weight.shape} is not of its kernel {about['kernel_shape']}")
    x, pad = padding(walk, node, x, 0.0)
    _, stride, own, dilation = window(about, padded(x.shape, pad), weight.shape[2:])
    layer = parts.conv(
        weight, bias, stride, together(pad, own), groups, view=True, dilation=dilation
    )
    return walk.add(node, layer, x, weight=node.input[1])


def _relu(walk, node, about, x, ceiling=None):
    return walk.add(node, ReLU(ceiling), x)._replace(positive=True)


def _clip(walk, node, about, x):
    """From 0 on, it is a ReLU, perhaps with a ceiling; without bounds, nothing."""
    low, high = (about.get(key, default) if len(node.input) <= place else walk.constant(node, place, default)
                 for place, (key, default) in enumerate((("min", -np.inf), ("max", np.inf)), 1))  # fmt: skip
    low, high = (float(np.asarray(bound).reshape(())) for bound in (low, high))
    if low <= -HUGE and high >= HUGE:
        return x
    if low != 0:
        raise ValueError(f"it cuts off below {low:g}, where a ReLU does below 0")
    return _relu(walk, node, about, x, high if high < HUGE else None)


def _extreme(walk, node, about, *values):
    """The maximum of 0 and x, or the minimum of a ceiling and what is above 0, as TensorFlow writes
    a ReLU6.
    """
    (x,) = values
    place = 1 if node.input[0] in walk.values else 0
    bound = float(walk.constant(node, place).reshape(()))
    if node.op_type == "Max" and bound == 0:
        return _relu(walk, node, about, x)
    below = walk.made[x.layer].layer if x.layer != IMAGE else None
    if node.op_type == "Min" and x.alone and isinstance(below, ReLU) and below.ceiling is None:
        walk.made[x.layer] = walk.made[x.layer]._replace(layer=ReLU(bound))
        return x
    raise ValueError("it is no ReLU: a maximum with 0, and above it a minimum with a ceiling")


def _batch_norm(walk, node, about, x):
    if about.get("training_mode", 0):
        raise ValueError("it is in training mode")
    arrays = [walk.weight(node, place) for place in range(1, 5)]
    scale, shift = parts.batch_norm(*arrays, about.get("epsilon", 1e-5))
    if scale.shape not in ((1,), x.shape[2:]):
        raise ValueError(f"its {scale.size} scales do not fit {x.shape[2]} maps")
    return walk.affine(node, x, scale, shift)


def _gemm(walk, node, about, *values):
    x = _first(node, values)
    if about.get("transA", 0):
        raise ValueError("its first matrix must be what comes before, not transposed")
    weight = walk.weight(node, 1)
    y = _fully(
        walk, node, x, weight if about.get("transB", 0) else weight.T, about.get("alpha", 1.0)
    )
    if (bias := walk.weight(node, 2)) is not None:
        return walk.affine(node, y, np.float64(1), about.get("beta", 1.0) * row(bias))
    return y


def _matmul(walk, node, about, *values):
    x = _first(node, values)
    return _fully(walk, node, x, walk.weight(node, 1).T)


def _first(node, values):
    """The value that a matrix product takes on its left; its right must be a constant."""
    if len(values) != 1:
        raise ValueError(
            "it multiplies what the picture makes with what the picture makes, as attention does"
        )
    return values[0]


def _fully(walk, node, x, weight, factor=1.0):
    """A fully connected layer of weight (F, H * W * C), in the order in which the maps were flattened."""
    height, width, channels = x.shape
    if not x.flat or weight.ndim != 2 or node.input[0] not in walk.values:
        raise ValueError("it needs (picture, number) on its left, and its weight two dimensions")
    if x.last and weight.shape[1] == math.prod(x.shape):
        weight = (
            weight.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(weight.shape)
        )
    weight = weight if factor == 1 else weight * np.float64(factor)
    return walk.add(
        node, parts.fully_connected(weight, None, x.shape, view=True), x, weight=node.input[1]
    )


def _dropout(walk, node, about, x):
    ratio, training = walk.constant(node, 1), walk.constant(node, 2)
    if training is not None and training.any():
        raise ValueError("it is in training mode")
    ratio = about.get("ratio", 0.5) if ratio is None else float(ratio.reshape(()))
    return walk.add(node, Dropout(round(float(ratio), 6)), x)._replace(positive=x.positive)


def _lrn(walk, node, about, x):
    maps(x)
    layer = parts.lrn(
        about["size"], about.get("alpha", 1e-4), about.get("beta", 0.75), about.get("bias", 1.0)
    )
    return walk.add(node, layer, x)


OPERATORS = {
    "Conv": _conv, "Relu": _relu, "LRN": _lrn, "BatchNormalization": _batch_norm, "Dropout": _dropout,
    "Gemm": _gemm, "MatMul": _matmul, "Clip": _clip, "Max": _extreme, "Min": _extreme,
} | WINDOWS | ARITHMETIC | SHAPES  # fmt: skip
