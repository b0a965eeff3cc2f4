"""The operators of ONNX that a chain may hold: each adds a layer to it, or changes what comes next.

An operator is called with the chain, its node, and the node's attributes; a ValueError says what rawconv cannot take.
"""

import math

import numpy as np

from ..layers.conv import Conv
from ..layers.dropout import Dropout
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from . import parts

MOST_AVERAGED = 1 << 21  # weights of all averages together, which are made here and not in the file


def _conv(chain, node, about):
    channels = chain.maps(node)[2]
    weight, bias = chain.weight(node, 1), chain.weight(node, 2)
    groups = about.get("group", 1)
    if weight.ndim != 4 or groups < 1 or weight.shape[1] * groups != channels:
        raise ValueError(f"its weight {weight.shape} in {groups} groups does not fit {channels} channels")
    if "kernel_shape" in about and tuple(about["kernel_shape"]) != weight.shape[2:]:
        raise ValueError(f"its weight {weight.shape} is not of its kernel {about['kernel_shape']}")
    _, stride, pad = _window(about, chain.shape, weight.shape[2:])
    chain.add(node, parts.conv(weight, bias, stride, pad, groups, view=True))


def _window(about, shape, size):
    """(size, stride, pad) of an operator with a window; auto_pad as the padding it comes to."""
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"its window {tuple(size)} is not rows and columns")
    if set(about.get("dilations", [1])) != {1}:
        raise ValueError("it is dilated")
    stride, pad = about.get("strides", [1, 1]), about.get("pads", [0, 0, 0, 0])
    if len(stride) != 2 or len(pad) != 4 or min(stride) < 1:
        raise ValueError(f"strides {stride} and pads {pad} are not those of rows and columns")
    kind = about.get("auto_pad", "NOTSET")
    if kind in ("SAME_UPPER", "SAME_LOWER"):
        total = [max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in zip(shape[:2], stride, size, strict=True)]
        less, more = [n // 2 for n in total], [n - n // 2 for n in total]
        pad = less + more if kind == "SAME_UPPER" else more + less
    elif kind == "VALID":
        pad = [0, 0, 0, 0]
    elif kind != "NOTSET":
        raise ValueError(f"auto_pad {kind!r:.40} is unknown")
    return tuple(size), tuple(stride), tuple(pad)


def _max_pool(chain, node, about):
    chain.maps(node)
    window = _window(about, chain.shape, about["kernel_shape"])
    chain.add(node, MaxPool(*window, bool(about.get("ceil_mode", 0))))


def _average_pool(chain, node, about):
    height, width, _ = chain.maps(node)
    size, stride, pad = _window(about, chain.shape, about["kernel_shape"])
    if any(pad) and not about.get("count_include_pad", 0):
        raise ValueError("it leaves its padding out of the average, which is no convolution")
    room = (height + pad[0] + pad[2] - size[0], width + pad[1] + pad[3] - size[1])
    if about.get("ceil_mode", 0) and any(r % s for r, s in zip(room, stride, strict=True)):
        raise ValueError("its last windows hang over the end, where its average is no convolution")
    _average(chain, node, size, stride, pad)


def _global_average(chain, node, about):
    _average(chain, node, chain.maps(node)[:2])


def _reduce_mean(chain, node, about):
    """The mean over rows and columns: how PyTorch's newer exporter writes a global average."""
    axes = about.get("axes") if len(node.input) < 2 else chain.constant(node, 1)
    if chain.flat or axes is None or tuple(sorted(int(n) % 4 for n in axes)) != _rows(chain):
        raise ValueError("it averages over other than rows and columns")
    _average(chain, node, chain.shape[:2])
    chain.flat = not about.get("keepdims", 1)


def _rows(chain):
    """The axes of rows and columns."""
    return (1, 2) if chain.last else (2, 3)


def _average(chain, node, size, stride=1, pad=0):
    chain.averaged += chain.shape[2] * math.prod(size)
    if chain.averaged > MOST_AVERAGED:
        raise ValueError(f"its window {size} is too large")
    chain.add(node, parts.average(chain.shape[2], size, stride, pad))


def _batch_norm(chain, node, about):
    if about.get("training_mode", 0):
        raise ValueError("it is in training mode")
    arrays = [chain.weight(node, place) for place in range(1, 5)]
    _fold(chain, *parts.batch_norm(*arrays, about.get("epsilon", 1e-5)))


def _fold(chain, scale, shift):
    """scale * y + shift into the convolution that made y."""
    if not chain.layers or not isinstance(chain.layers[-1][1], Conv):
        raise ValueError("it does not follow a convolution or fully connected layer, into which it could be folded")
    layer = chain.layers[-1][1]
    scale, shift = (np.broadcast_to(numbers, (layer.filters,)) for numbers in (scale, shift))
    parts.fold_batch_norm(layer, scale, shift)


def _gemm(chain, node, about):
    if about.get("transA", 0) or node.input[0] != chain.tensor:
        raise ValueError("its first matrix must be what comes before, not transposed")
    weight = chain.weight(node, 1)
    _fully(chain, node, weight if about.get("transB", 0) else weight.T, about.get("alpha", 1.0))
    if (bias := chain.weight(node, 2)) is not None:
        _fold(chain, np.float64(1), about.get("beta", 1.0) * _row(bias))


def _matmul(chain, node, about):
    if node.input[0] != chain.tensor:
        raise ValueError("its first matrix must be what comes before")
    _fully(chain, node, chain.weight(node, 1).T)


def _fully(chain, node, weight, factor=1.0):
    """A fully connected layer of weight (F, H * W * C), in the order in which the maps were flattened."""
    height, width, channels = chain.shape
    if not chain.flat or weight.ndim != 2:
        raise ValueError("it needs (picture, number), and its weight two dimensions")
    if chain.last and weight.shape[1] == math.prod(chain.shape):
        weight = weight.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(weight.shape)
    weight = weight if factor == 1 else weight * np.float64(factor)
    chain.add(node, parts.fully_connected(weight, None, chain.shape, view=True))


def _row(bias):
    """A bias of shape (F,), (1, F), (1,) or () as one row."""
    if bias.ndim > 1 and bias.shape[0] != 1:
        raise ValueError(f"a bias of shape {bias.shape} is not one number a class")
    return bias.reshape(-1).astype(np.float64)


def _arithmetic(chain, node, about):
    """Add, Sub, Mul, Div with a constant: preprocessing of the input, or scale and shift of a convolution."""
    operator, second = node.op_type, node.input[0] == chain.tensor
    if not second and operator in ("Sub", "Div"):
        raise ValueError("it takes what comes before as its second operand")
    number = _broadcast(chain, chain.constant(node, 1 if second else 0), about)
    scale = {"Mul": number, "Div": 1 / number if operator == "Div" and number.all() else None}.get(operator, 1.0)
    shift = {"Add": number, "Sub": -number}.get(operator, 0.0)
    if scale is None:
        raise ValueError("it divides by 0")
    if chain.layers:
        if np.ndim(number) > 1:
            raise ValueError("it is not one number a map")
        return _fold(chain, np.asarray(scale), np.asarray(shift))
    mean, before = chain.inside or (np.zeros(1), np.ones(1))
    if np.ndim(scale) > 1 or not np.all(scale):
        raise ValueError("it scales the input by 0, or by more than one number a channel")
    chain.inside = (mean - shift / before, before * scale)


def _broadcast(chain, value, about):
    """A constant operand as one number a channel, (1,) or (C,), or a picture (H, W, C)."""
    value, rank = value.astype(np.float64), len(chain.dims)
    if about.get("broadcast") and "axis" in about:
        value = value.reshape(value.shape + (1,) * (rank - about["axis"] % rank - value.ndim))
    if value.ndim > rank or value.size > math.prod(chain.shape):
        raise ValueError(f"a constant of shape {value.shape} does not fit {chain.dims}")
    value = value.reshape((1,) * (rank - value.ndim) + value.shape)
    if chain.flat and chain.shape[:2] != (1, 1) and value.size > 1:
        raise ValueError("its constant is not one number a map")
    if len(value) != 1:
        raise ValueError("its constant differs from picture to picture")
    value = value.reshape(1, 1, -1) if chain.flat else value[0] if chain.last else value[0].transpose(1, 2, 0)
    if any(have not in (1, want) for have, want in zip(value.shape, chain.shape, strict=True)):
        raise ValueError(f"its constant does not fit maps of {chain.shape}")
    return value.reshape(-1) if value.shape[:2] == (1, 1) else np.broadcast_to(value, chain.shape)


def _flatten(chain, node, about):
    if about.get("axis", 1) not in (1, 1 - len(chain.dims)):
        raise ValueError("it does not keep pictures apart")
    chain.flat = True


def _reshape(chain, node, about):
    given = chain.constant(node, 1)
    shape = [int(n) for n in (about["shape"] if given is None else given)]
    have = chain.dims
    shape = [have[i] if n == 0 and i < len(have) else n for i, n in enumerate(shape)]
    if len(shape) == 4 and all(n in (-1, h) for n, h in zip(shape[1:], have[1:], strict=False)) and len(have) == 4:
        return
    flat = math.prod(chain.shape)
    if len(shape) == 4 and chain.flat and shape[1:] == [flat, 1, 1] and chain.shape[:2] == (1, 1):
        chain.flat = chain.last = False
        return
    if len(shape) != 2 or shape[1] not in (flat, -1) or (shape[1] == -1 and shape[0] not in (1, chain.batch)):
        raise ValueError(f"to {shape}; rawconv takes one that flattens {have} to (picture, {flat})")
    chain.flat = True


def _squeeze(chain, node, about):
    axes = about.get("axes") if len(node.input) < 2 else chain.constant(node, 1)
    if (
        chain.flat
        or chain.shape[:2] != (1, 1)
        or axes is None
        or tuple(sorted(int(n) % 4 for n in axes)) != _rows(chain)
    ):
        raise ValueError("it removes other than the rows and columns of 1x1 maps")
    chain.flat = True


def _transpose(chain, node, about):
    perm = tuple(about.get("perm", ()))
    if chain.flat or perm != ((0, 3, 1, 2) if chain.last else (0, 2, 3, 1)):
        raise ValueError(f"to {perm}; rawconv takes those that move the channels to the front or back")
    chain.last = not chain.last


def _softmax(chain, node, about):
    rank = len(chain.dims)
    axis = about.get("axis", 1 if chain.graph.opset() < 13 else -1) % rank
    if chain.softmax or chain.shape[:2] != (1, 1) or axis != (rank - 1 if chain.flat or chain.last else 1):
        raise ValueError("it is not one softmax over the classes at the end")
    chain.softmax = "log" if node.op_type == "LogSoftmax" else "softmax"


def _dropout(chain, node, about):
    ratio, training = chain.constant(node, 1), chain.constant(node, 2)
    if training is not None and training.any():
        raise ValueError("it is in training mode")
    ratio = about.get("ratio", 0.5) if ratio is None else float(ratio.reshape(()))
    chain.add(node, Dropout(round(float(ratio), 6)))


def _lrn(chain, node, about):
    chain.maps(node)
    layer = parts.lrn(about["size"], about.get("alpha", 1e-4), about.get("beta", 0.75), about.get("bias", 1.0))
    chain.add(node, layer)


OPERATORS = {
    "Conv": _conv, "Relu": lambda chain, node, about: chain.add(node, ReLU()), "LRN": _lrn,
    "MaxPool": _max_pool, "AveragePool": _average_pool, "GlobalAveragePool": _global_average,
    "ReduceMean": _reduce_mean,
    "BatchNormalization": _batch_norm, "Dropout": _dropout, "Gemm": _gemm, "MatMul": _matmul,
    "Add": _arithmetic, "Sub": _arithmetic, "Mul": _arithmetic, "Div": _arithmetic,
    "Flatten": _flatten, "Reshape": _reshape, "Squeeze": _squeeze, "Transpose": _transpose,
    "Identity": lambda chain, node, about: None, "Softmax": _softmax, "LogSoftmax": _softmax,
}  # fmt: skip
AFTER_SOFTMAX = ("Flatten", "Reshape", "Squeeze", "Identity")
