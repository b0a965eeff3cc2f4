"""Each type of a Caffe layer that rawconv takes, as ours: function(its message, its blobs, shape
(H, W, C), layer below) returns a layer, or None where it has changed the layer below or has nothing
to do.  ValueError: not supported.
"""

import math

import numpy as np

from ..files.schema import LARGEST_WINDOW
from ..layers.average_pool import AveragePool
from ..layers.conv import Conv
from ..layers.dropout import Dropout
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from . import parts

MAX, AVERAGE, FLOOR = 0, 1, 1  # PoolMethod, RoundMode


def numbers(blob):
    """All numbers of a BlobProto, float32 or float64."""
    data, size = (b"".join(blob.data), 4) if blob.data else (b"".join(blob.double_data), 8)
    if len(data) % size:
        raise ValueError("its array is cut off in the middle of a number")
    return np.frombuffer(data, f"<f{size}")


def convolution(layer, blobs, shape, below):
    about = layer.convolution_param
    size, stride, pad = _window(about)
    dilation = (*about.dilation[:1], *about.dilation[-1:]) or (1, 1)
    if (
        len(about.dilation) > 2
        or not 1 <= min(dilation) <= max(dilation) <= LARGEST_WINDOW
        or about.axis != 1
    ):
        raise ValueError(
            f"its filters are dilated by {list(about.dilation)[:4]}, or its channels are not axis 1"
        )
    weight = _take(blobs, 0, (about.num_output, -1, *size))
    bias = _take(blobs, 1, (about.num_output,)) if about.bias_term else None
    if weight.shape[1] * about.group != shape[2]:
        raise ValueError(
            f"its filters see {weight.shape[1] * about.group} channels, and there are {shape[2]}"
        )
    return parts.conv(weight, bias, stride, pad, about.group, dilation=dilation)


def inner_product(layer, blobs, shape, below):
    about = layer.inner_product_param
    if about.axis != 1:
        raise ValueError(
            f"it keeps axes before axis {about.axis}, where rawconv takes all of a picture"
        )
    weight = _take(blobs, 0, (-1, about.num_output) if about.transpose else (about.num_output, -1))
    bias = _take(blobs, 1, (about.num_output,)) if about.bias_term else None
    return parts.fully_connected(weight.T if about.transpose else weight, bias, shape)


def pooling(layer, blobs, shape, below):
    """Caffe rounds up, and drops a last window that would begin in the padding: as ours do."""
    about = layer.pooling_param
    size, stride, pad = _window(about)
    if about.global_pooling:
        size, stride, pad = shape[:2], (1, 1), (0, 0)
    ceil_mode = about.round_mode != FLOOR
    pool = MaxPool(size, stride, pad, ceil_mode)
    kept, counted = pool.out_shape(shape)[:2], pool.window.out_size(*shape[:2])
    if about.pool == MAX:
        if kept != counted and not any(pad):
            raise ValueError(
                "its last window lies outside the map, which Caffe fills with the least number there is"
            )
        return pool
    if about.pool != AVERAGE:
        raise ValueError("rawconv has no stochastic pooling")
    return AveragePool(size, stride, pad, ceil_mode, "padded")


def norm(layer, blobs, shape, below):
    about = layer.lrn_param
    if about.norm_region:
        raise ValueError("rawconv norms across channels, not within them")
    return parts.lrn(about.local_size, about.alpha, about.beta, about.k)


def rectify(layer, blobs, shape, below):
    if layer.relu_param.negative_slope:
        raise ValueError(
            f"its slope for negative numbers is {layer.relu_param.negative_slope:g}, not 0"
        )
    return ReLU()


def dropout(layer, blobs, shape, below):
    return Dropout(layer.dropout_param.dropout_ratio)


def flatten(layer, blobs, shape, below):
    """Nothing: a fully connected layer takes the maps one after another, as Caffe lays them out."""


def batch_norm(layer, blobs, shape, below):
    """mean and variance come as sums, with their weight in the third blob."""
    mean, variance, weight = (_take(blobs, i, (-1,)).astype(np.float64) for i in range(3))
    weight = 1 / weight[0] if weight[0] else 0.0
    ones, zeros = np.ones(mean.shape), np.zeros(mean.shape)
    moments = parts.batch_norm(
        ones, zeros, mean * weight, variance * weight, layer.batch_norm_param.eps
    )
    parts.fold_batch_norm(_convolution_of(below), *moments)


def scale(layer, blobs, shape, below):
    factor = _take(blobs, 0, (-1,))
    shift = (
        _take(blobs, 1, (-1,))
        if layer.scale_param.bias_term
        else np.zeros(factor.shape, np.float32)
    )
    parts.fold_batch_norm(_convolution_of(below), factor, shift)


def _convolution_of(below):
    if not isinstance(below, Conv):
        raise ValueError(
            "it does not follow a convolution or a fully connected layer, which could take it in"
        )
    return below


def _take(blobs, index, shape):
    """Blob `index` in this shape, one of whose numbers may be -1."""
    if index >= len(blobs):
        raise ValueError(
            f"it has {len(blobs)} of the arrays that it needs, and no weights that rawconv could find"
        )
    found, known = numbers(blobs[index]), math.prod(n for n in shape if n > 0)
    if 0 in shape or len(found) == 0 or not _fits(len(found), known, -1 in shape):
        raise ValueError(f"it has {len(found)} numbers where a shape of {shape} is asked for")
    found = found.reshape(shape)
    dims = list(blobs[index].shape.dim)
    if dims and (len(dims) > 8 or math.prod(dims) != found.size):
        raise ValueError(f"it says that its {found.size} numbers are of shape {dims[:8]}")
    return found


def _fits(count, known, open_ended):
    """Whether so many numbers fill a shape whose lengths but perhaps one, which is open, make `known`."""
    return count % known == 0 if open_ended else count == known


def _window(about):
    """((KH, KW), (SH, SW), (PH, PW)): Caffe has one number for both, one each, or names with _h and _w."""
    found = []
    for name, both, default in (
        ("kernel", about.kernel_size, 0),
        ("stride", about.stride, 1),
        ("pad", about.pad, 0),
    ):
        if about.HasField(f"{name}_h") or about.HasField(f"{name}_w"):
            found.append((getattr(about, f"{name}_h"), getattr(about, f"{name}_w")))
        elif len(both) > 2:
            raise ValueError(f"its {name} is of {len(both)} dimensions")
        else:
            found.append((both[0], both[-1]) if both else (default, default))
        if max(found[-1]) > LARGEST_WINDOW:
            raise ValueError(f"its {name} is of {found[-1]}")
    return found


LAYERS = {
    "Convolution": convolution, "InnerProduct": inner_product, "ReLU": rectify, "Pooling": pooling, "LRN": norm,
    "Dropout": dropout, "Flatten": flatten, "BatchNorm": batch_norm, "Scale": scale,
}  # fmt: skip
