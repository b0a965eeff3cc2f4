"""The operators of ONNX that take several values, or a value and a constant: sums, scales, shifts,
concatenations.
"""

import math

import numpy as np

from ..layers.add import Add
from ..layers.concat import Concat
from .onnx_lrn import spelled_out
from .onnx_refusals import product
from .onnx_walk import Prepared


def _arithmetic(walk, node, about, *values):
    """Add, Sub, Mul, Div: of a constant a scale and shift (of the picture, or of maps); of several
    values a sum.
    """
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
    value = _as_image(value, rank, dims, x)
    if any(have not in (1, want) for have, want in zip(value.shape, x.shape, strict=True)):
        raise ValueError(f"its constant does not fit maps of {x.shape}")
    return value.reshape(-1) if value.shape[:2] == (1, 1) else np.broadcast_to(value, x.shape)


def _as_image(value, rank, dims, x):
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
    return walk.add(node, Concat(), *values)._replace(
        positive=all(value.positive for value in values)
    )


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
    """ValueError where values are not laid out alike, so that what a layer of ours makes of them is
    something else.
    """
    if any((value.last, value.flat) != (values[0].last, values[0].flat) for value in values):
        raise ValueError(f"it {does} what was flattened and what was not")
    if values[0].flat and any(value.shape[:2] != (1, 1) for value in values):
        raise ValueError(f"it {does} flattened maps")


ARITHMETIC = {
    "Add": _arithmetic, "Sub": _arithmetic, "Mul": _arithmetic, "Div": _arithmetic, "Sum": _sum_of, "Concat": _concat,
}  # fmt: skip
