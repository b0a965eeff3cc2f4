"""The layers of Caffe that are one of ours each: function(its message, its blobs, shape (H, W, C) of
what it takes, dtype of parameters) returns the layer.  ValueError: not supported.

What joins blobs, or is one number a map, is in caffe_walk.py.
"""

from ..files.schema import LARGEST_WINDOW
from ..layers.average_pool import AveragePool
from ..layers.dropout import Dropout
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from . import parts
from .caffe_blobs import take

MAX, AVERAGE, FLOOR = 0, 1, 1  # PoolMethod, RoundMode


def convolution(layer, blobs, shape, dtype):
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
    weight = take(blobs, 0, (about.num_output, -1, *size))
    bias = take(blobs, 1, (about.num_output,)) if about.bias_term else None
    if weight.shape[1] * about.group != shape[2]:
        raise ValueError(
            f"its filters see {weight.shape[1] * about.group} channels, and there are {shape[2]}"
        )
    return parts.conv(weight, bias, stride, pad, about.group, dtype=dtype, dilation=dilation)


def inner_product(layer, blobs, shape, dtype):
    about = layer.inner_product_param
    if about.axis != 1:
        raise ValueError(
            f"it keeps axes before axis {about.axis}, where rawconv takes all of a picture"
        )
    weight = take(blobs, 0, (-1, about.num_output) if about.transpose else (about.num_output, -1))
    bias = take(blobs, 1, (about.num_output,)) if about.bias_term else None
    made = parts.fully_connected(weight.T if about.transpose else weight, bias, shape, view=True)
    return parts.own(made, dtype)


def pooling(layer, blobs, shape, dtype):
    """Caffe rounds up, and drops a last window that would begin in the padding: as ours do."""
    about = layer.pooling_param
    size, stride, pad = _window(about)
    if about.global_pooling:
        size, stride, pad = shape[:2], (1, 1), (0, 0)
    if about.pool not in (MAX, AVERAGE):
        raise ValueError("rawconv has no stochastic pooling")
    window = size, stride, pad, rounds_up(about)
    pool = MaxPool(*window) if about.pool == MAX else AveragePool(*window, "padded")
    if pool.out_shape(shape)[:2] != pool.window.out_size(*shape[:2]) and not any(pad):
        raise ValueError("its last window lies outside the map, and Caffe makes no number of that")
    return pool


def rounds_up(about):
    """Whether the size of a pool's maps is rounded up: BVLC's Caffe has round_mode for it, forks ceil_mode."""
    if about.HasField("round_mode") and about.HasField("ceil_mode"):
        raise ValueError("it has both round_mode and ceil_mode")
    return about.ceil_mode if about.HasField("ceil_mode") else about.round_mode != FLOOR


def norm(layer, blobs, shape, dtype):
    about = layer.lrn_param
    if about.norm_region:
        raise ValueError("rawconv norms across channels, not within them")
    return parts.lrn(about.local_size, about.alpha, about.beta, about.k)


def rectify(layer, blobs, shape, dtype):
    if layer.relu_param.negative_slope:
        raise ValueError(
            f"its slope for negative numbers is {layer.relu_param.negative_slope:g}, not 0"
        )
    return ReLU()


def dropout(layer, blobs, shape, dtype):
    if not layer.dropout_param.scale_train:
        raise ValueError("it scales when the net is used and not in training (scale_train: false)")
    return Dropout(layer.dropout_param.dropout_ratio)


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
    "Dropout": dropout,
}  # fmt: skip
