"""Layers as other libraries describe them -> ours, with their weights in our layout.

Theirs are NCHW: weight (F, C // groups, KH, KW), a fully connected one (F, C * H * W); ours (KH,
KW, C // groups, F). All of them become float32, or float64 where that is asked for.  ValueError,
saying what does not fit, before anything is allocated.
"""

import math

import numpy as np

from ..checkpoint.nodes import LARGEST_SIDE, MOST_LAYERS
from ..files.messages import shape_text
from ..files.schema import MOST_FILTERS
from ..layers.conv import Conv
from ..layers.lrn import LRN

MOST_MADE = 1 << 21  # weights that a reader makes and no file holds, together


def checked_shape(layer, shapes, count):
    """The shape (H, W, C) of what a layer makes of inputs of `shapes`; count: how many layers there are before it."""
    shape = layer.out_shape(*shapes)
    if max(shape[:2]) > LARGEST_SIDE or shape[2] > MOST_FILTERS:
        raise ValueError(f"its maps are of {shape_text(shape)}")
    if count >= MOST_LAYERS:
        raise ValueError(f"there are more than {MOST_LAYERS} layers, which rawconv does not take")
    return shape


def conv(
    weight,
    bias=None,
    stride=1,
    pad=0,
    groups=1,
    ceil_mode=False,
    view=False,
    dtype="float32",
    dilation=1,
):
    """A Conv of weight (F, C // groups, KH, KW) and bias (F,); None: zeros.  pad: as Conv's, (top,
    left, bottom, right) where it is four numbers.

    view: do not copy the weights yet; `own` does it, once a reader has seen that all its layers fit
    on one another.
    """
    if weight.ndim != 4 or 0 in weight.shape:
        raise ValueError(
            f"a convolution's weight has four dimensions, none of them 0, not {weight.shape}"
        )
    filters = weight.shape[0]
    if bias is not None and bias.shape != (filters,):
        raise ValueError(f"a bias of shape {bias.shape} does not fit {filters} filters")
    layer = Conv(filters, weight.shape[2:], stride, pad, groups, ceil_mode, "he", dilation)
    layer.weight = weight.transpose(2, 3, 1, 0)
    layer.bias = np.broadcast_to(np.float32(0), filters) if bias is None else bias
    return layer if view else own(layer, dtype)


def own(layer, dtype="float32"):
    """The Conv with parameters of its own, finite and of this dtype."""
    layer.weight, layer.bias = finite(layer.weight, dtype), finite(layer.bias, dtype)
    return layer


def fully_connected(weight, bias, shape, view=False):
    """A Conv over the whole of maps of `shape` (H, W, C), of weight (F, C * H * W): the maps one
    after another.
    """
    height, width, channels = shape
    if weight.ndim != 2 or weight.shape[1] != math.prod(shape):
        raise ValueError(
            f"a weight of shape {weight.shape} does not fit maps of {height}x{width}x{channels}"
        )
    return conv(weight.reshape(-1, channels, height, width), bias, view=view)


def lrn(size, alpha, beta, k):
    """An LRN whose alpha is divided by `size`, as those of Caffe, PyTorch and ONNX are."""
    return LRN(size, alpha / size, beta, k)


def per_map(scale, shift):
    """A Conv of 1x1 that turns x into scale * x + shift, one number a map each; `own` copies them."""
    return conv(scale.reshape(-1, 1, 1, 1), shift, groups=scale.size, view=True)


def fold_batch_norm(layer, scale, shift):
    """Turn a Conv's output y into scale * y + shift, one number a filter each, by its parameters alone."""
    if scale.shape != layer.bias.shape or shift.shape != layer.bias.shape:
        raise ValueError(
            f"{scale.size} scales and {shift.size} shifts do not fit {layer.filters} filters"
        )
    dtype = layer.weight.dtype
    if (scale != 1).any():
        layer.weight = finite(layer.weight * scale, dtype)
    layer.bias = finite(layer.bias * scale + shift, dtype)


def batch_norm(weight, bias, mean, variance, epsilon):
    """(scale, shift) of y = weight * (x - mean) / sqrt(variance + epsilon) + bias, in float64."""
    weight, bias, mean, variance = (
        np.asarray(a, np.float64) for a in (weight, bias, mean, variance)
    )
    if len({a.shape for a in (weight, bias, mean, variance)}) > 1:
        raise ValueError("a batch norm's four arrays differ in shape")
    with np.errstate(all="ignore"):  # fold_batch_norm refuses what is not finite
        scale = weight / np.sqrt(variance + epsilon)
        return scale, bias - mean * scale


def finite(array, dtype="float32"):
    """`array` in this dtype, in C order and the caller's own.  ValueError where a number is not finite."""
    with np.errstate(over="ignore"):
        array = np.array(array, dtype, order="C")
    if not np.isfinite(array).all():
        raise ValueError("some of its weights are not finite numbers")
    return array
