"""The operators of ONNX that make layers: each takes the walk, its node, the node's attributes and the Values of its
inputs that are no constants, and returns the Value of its output; a ValueError says what rawconv cannot take.
"""

import math

import numpy as np

from ..layers.add import Add
from ..layers.average_pool import AveragePool
from ..layers.concat import Concat
from ..layers.dropout import Dropout
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from ..net import IMAGE
from . import parts
from .onnx_lrn import spelled_out
from .onnx_refusals import product
from .onnx_shapes import SHAPES, maps, row, spatial_axes
from .onnx_walk import NO_PAD, Prepared

HUGE = 3e38  # a bound of a Clip that is none


def _conv(walk, node, about, x):
    channels = maps(x)[2]
    weight, bias = walk.weight(node, 1), walk.weight(node, 2)
    groups = about.get("group", 1)
    if weight.ndim != 4 or groups < 1 or weight.shape[1] * groups != channels:
        raise ValueError(f"its weight {weight.shape} in {groups} groups does not fit {channels} channels")
    if "kernel_shape" in about and tuple(about["kernel_shape"]) != weight.shape[2:]:
        raise ValueError(f"its weight {weight.shape} is not of its kernel {about['kernel_shape']}")
    x, pad = _padding(walk, node, x, 0.0)
    _, stride, own = _window(about, _padded(x.shape, pad), weight.shape[2:])
    layer = parts.conv(weight, bias, stride, _sum(pad, own), groups, view=True)
    return walk.add(node, layer, x, weight=node.input[1])


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
    if kind != "NOTSET":
        pad = _auto_pad(kind, shape, stride, size)
    return tuple(size), tuple(stride), tuple(pad)


def _auto_pad(kind, shape, stride, size):
    """[top, left, bottom, right] that auto_pad comes to on maps of this shape."""
    if kind == "VALID":
        return [0, 0, 0, 0]
    if kind not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {kind!r:.40} is unknown")
    total = [max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in zip(shape[:2], stride, size, strict=False)]
    less, more = [n // 2 for n in total], [n - n // 2 for n in total]
    return less + more if kind == "SAME_UPPER" else more + less


def _sum(first, second):
    return tuple(a + b for a, b in zip(first, second, strict=True))


def _padded(shape, pad):
    return shape[0] + pad[0] + pad[2], shape[1] + pad[1] + pad[3], shape[2]


def _padding(walk, node, x, fill):
    """(x without what a Pad put around it, that padding), where it is of `fill`; else (x with it in its map, none)."""
    if any(x.pad) and x.fill == fill:
        return x._replace(pad=NO_PAD), x.pad
    return walk.settled(x, node), NO_PAD


def _max_pool(walk, node, about, x):
    """A border of 0 around what has no number below it is as good as none: the same maxima."""
    maps(x)
    x, pad = _padding(walk, node, x, 0.0 if x.positive else -np.inf)
    size, stride, own = _window(about, _padded(x.shape, pad), about["kernel_shape"])
    layer = MaxPool(size, stride, _sum(pad, own), bool(about.get("ceil_mode", 0)))
    return walk.add(node, layer, x)._replace(positive=x.positive)


def _average_pool(walk, node, about, x):
    """What is counted of a window that hangs over: its cells in the map, or with count_include_pad in its padding."""
    maps(x)
    x, around = _padding(walk, node, x, 0.0)
    size, stride, pad = _window(about, _padded(x.shape, around), about["kernel_shape"])
    if any(around) and any(pad):
        raise ValueError("it pads what was padded before")
    if size == (1, 1) and stride == (1, 1) and not any(around) and not any(pad):
        return x  # an AdaptiveAvgPool to the size that is there already
    count = "padded" if any(around) or about.get("count_include_pad", 0) else "map"
    return _average(walk, node, x, size, stride, _sum(around, pad), bool(about.get("ceil_mode", 0)), count)


def _average(walk, node, x, *about):
    return walk.add(node, AveragePool(*about), x)._replace(positive=x.positive)


def _global_average(walk, node, about, x):
    return _average(walk, node, x, maps(x)[:2])


def _global_max(walk, node, about, x):
    return walk.add(node, MaxPool(maps(x)[:2], 1), x)._replace(positive=x.positive)


def _reduce(walk, node, about, x):
    """The mean or the maximum over rows and columns: how PyTorch's newer exporter writes a global pool."""
    axes = about.get("axes") if len(node.input) < 2 else walk.constant(node, 1)
    if x.flat or axes is None or tuple(sorted(int(n) % 4 for n in axes)) != spatial_axes(x):
        raise ValueError("it reduces others than rows and columns")
    if node.op_type == "ReduceMean":
        y = _average(walk, node, x, x.shape[:2])
    else:
        y = walk.add(node, MaxPool(x.shape[:2], 1), x)._replace(positive=x.positive)
    return y._replace(flat=not about.get("keepdims", 1))


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
    """The maximum of 0 and x, or the minimum of a ceiling and what is above 0, as TensorFlow writes a ReLU6."""
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
    y = _fully(walk, node, x, weight if about.get("transB", 0) else weight.T, about.get("alpha", 1.0))
    if (bias := walk.weight(node, 2)) is not None:
        return walk.affine(node, y, np.float64(1), about.get("beta", 1.0) * row(bias))
    return y


def _matmul(walk, node, about, *values):
    x = _first(node, values)
    return _fully(walk, node, x, walk.weight(node, 1).T)


def _first(node, values):
    """The value that a matrix product takes on its left; its right must be a constant."""
    if len(values) != 1:
        raise ValueError("it multiplies what the picture makes with what the picture makes, as attention does")
    return values[0]


def _fully(walk, node, x, weight, factor=1.0):
    """A fully connected layer of weight (F, H * W * C), in the order in which the maps were flattened."""
    height, width, channels = x.shape
    if not x.flat or weight.ndim != 2 or node.input[0] not in walk.values:
        raise ValueError("it needs (picture, number) on its left, and its weight two dimensions")
    if x.last and weight.shape[1] == math.prod(x.shape):
        weight = weight.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(weight.shape)
    weight = weight if factor == 1 else weight * np.float64(factor)
    return walk.add(node, parts.fully_connected(weight, None, x.shape, view=True), x, weight=node.input[1])


def _arithmetic(walk, node, about, *values):
    """Add, Sub, Mul, Div: of a constant a scale and shift (of the picture, or of maps); of several values a sum."""
    operator = node.op_type
    if operator == "Div" and (lrn := spelled_out(walk.graph, node)):
        return walk.add(node, lrn, values[0])
    if len(values) != 1:
        if operator != "Add":
            raise ValueError(product(node, walk))
        return _sum_of(walk, node, about, *values)
    (x,) = values
    second = node.input[0] in walk.values
    if not second and operator in ("Sub", "Div"):
        raise ValueError("it takes what comes before as its second operand")
    number = _broadcast(walk, x, walk.constant(node, int(second)), about)
    scale, shift = _scale_and_shift(operator, number)
    if np.ndim(number) > 1 and not (x.prepared and operator in ("Add", "Sub")):
        raise ValueError("it is not one number a map")
    return walk.affine(node, x, np.asarray(scale), np.asarray(shift))


def _scale_and_shift(operator, number):
    if operator == "Div":
        if not number.all():
            raise ValueError("it divides by 0")
        return 1 / number, 0.0
    return {"Mul": (number, 0.0), "Add": (1.0, number), "Sub": (1.0, -number)}[operator]


def _broadcast(walk, x, value, about):
    """A constant operand as one number a channel, (1,) or (C,), or a picture (H, W, C)."""
    dims = walk.dims(x)
    value, rank = value.astype(np.float64), len(dims)
    if about.get("broadcast") and "axis" in about:
        value = value.reshape(value.shape + (1,) * (rank - about["axis"] % rank - value.ndim))
    if value.size == 1:
        return value.reshape(1)
    value = _as_picture(value, rank, dims, x)
    if any(have not in (1, want) for have, want in zip(value.shape, x.shape, strict=True)):
        raise ValueError(f"its constant does not fit maps of {x.shape}")
    return value.reshape(-1) if value.shape[:2] == (1, 1) else np.broadcast_to(value, x.shape)


def _as_picture(value, rank, dims, x):
    """A constant operand with three dimensions: rows, columns, channels."""
    if value.ndim > rank or value.size > math.prod(x.shape):
        raise ValueError(f"a constant of shape {value.shape} does not fit {dims}")
    value = value.reshape((1,) * (rank - value.ndim) + value.shape)
    if x.flat and x.shape[:2] != (1, 1) and value.size > 1:
        raise ValueError("its constant is not one number a map")
    if len(value) != 1 or rank == 3:
        raise ValueError("its constant differs from picture to picture")
    if x.flat:
        return value.reshape(1, 1, -1)
    return value[0] if x.last else value[0].transpose(1, 2, 0)


def _sum_of(walk, node, about, *values):
    """A sum of maps."""
    if len(values) != len(node.input):
        raise ValueError("it adds a constant to several maps")
    if len(values) == 1:
        return values[0]
    _alike(values, "adds")
    return walk.add(node, Add(), *values)._replace(positive=all(value.positive for value in values))


def _concat(walk, node, about, *values):
    """Maps side by side; or the channels of a picture, which some nets prepare one by one."""
    axis, rank = about["axis"], len(walk.dims(values[0]))
    if len(values) != len(node.input):
        raise ValueError("it puts constants beside maps")
    if axis % rank != (rank - 1 if values[0].last or values[0].flat else 1):
        raise ValueError("it does not put them side by side along the channels")
    if len(values) == 1:
        return values[0]
    if all(value.prepared and not value.prepared.row for value in values):
        return _beside(values)
    _alike(values, "puts side by side")
    return walk.add(node, Concat(), *values)._replace(positive=all(value.positive for value in values))


def _beside(values):
    """The picture whose channels these are."""
    parts_of = [value.prepared for value in values]
    channels = sum((one.channels for one in parts_of), ())
    mean, scale = (
        np.concatenate([np.broadcast_to(getattr(one, name), len(one.channels)) for one in parts_of])
        for name in ("mean", "scale")
    )
    shape = (*values[0].shape[:2], len(channels))
    return values[0]._replace(shape=shape, prepared=Prepared(channels, mean, scale))


def _alike(values, does):
    """ValueError where values are not laid out alike, so that what a layer of ours makes of them is something else."""
    if any((value.last, value.flat) != (values[0].last, values[0].flat) for value in values):
        raise ValueError(f"it {does} what was flattened and what was not")
    if values[0].flat and any(value.shape[:2] != (1, 1) for value in values):
        raise ValueError(f"it {does} flattened maps")


def _pad(walk, node, about, x):
    """Zeros around maps (or what is less than all, for a maximum), which the next layer takes for its own padding."""
    if about.get("mode", "constant") != "constant":
        raise ValueError(f"it pads by {about['mode']!r:.40}, where rawconv has constants only")
    pads, fill = walk.constant(node, 1), walk.constant(node, 2, 0.0)
    if pads is None:  # as attributes, in older versions
        pads, fill = about.get("pads"), about.get("value", 0.0)
    ends = _pad_ends(pads, walk.constant(node, 3, range(4)), x)
    rows, columns = (ends.pop(axis, (0, 0)) for axis in spatial_axes(x))
    if any(map(any, ends.values())) or min(*rows, *columns) < 0:
        raise ValueError("it pads others than rows and columns, or cuts off")
    pad, fill = (rows[0], columns[0], rows[1], columns[1]), float(np.asarray(fill).reshape(()))
    if not any(pad):
        return x
    fill = -np.inf if fill <= -HUGE else fill
    if any(x.pad) and fill != x.fill:
        x = walk.settled(x, node)
    return x._replace(pad=_sum(x.pad, pad), fill=fill)


def _pad_ends(pads, axes, x):
    """{axis: (before, after)} of a Pad around maps x."""
    if x.flat or len(pads) != 2 * len(axes):
        raise ValueError("it pads what is no map")
    return {int(axis) % 4: (int(pads[i]), int(pads[i + len(axes)])) for i, axis in enumerate(axes)}


def _dropout(walk, node, about, x):
    ratio, training = walk.constant(node, 1), walk.constant(node, 2)
    if training is not None and training.any():
        raise ValueError("it is in training mode")
    ratio = about.get("ratio", 0.5) if ratio is None else float(ratio.reshape(()))
    return walk.add(node, Dropout(round(float(ratio), 6)), x)._replace(positive=x.positive)


def _lrn(walk, node, about, x):
    maps(x)
    layer = parts.lrn(about["size"], about.get("alpha", 1e-4), about.get("beta", 0.75), about.get("bias", 1.0))
    return walk.add(node, layer, x)


OPERATORS = {
    "Conv": _conv, "Relu": _relu, "LRN": _lrn,
    "MaxPool": _max_pool, "AveragePool": _average_pool, "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max, "ReduceMean": _reduce, "ReduceMax": _reduce,
    "BatchNormalization": _batch_norm, "Dropout": _dropout, "Gemm": _gemm, "MatMul": _matmul,
    "Add": _arithmetic, "Sub": _arithmetic, "Mul": _arithmetic, "Div": _arithmetic, "Sum": _sum_of,
    "Concat": _concat, "Pad": _pad, "Clip": _clip, "Max": _extreme, "Min": _extreme,
} | SHAPES  # fmt: skip
