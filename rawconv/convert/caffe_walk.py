"""The walk over a Caffe net, from the picture up: each layer of the file makes one of ours (caffe_layers.py),
joins what others made, or goes into the convolution below it.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from ..files.messages import printable
from ..files.storage import Wrong
from ..layers.add import Add
from ..layers.concat import Concat
from ..layers.conv import Conv
from ..net import IMAGE
from . import parts
from .caffe_blobs import take
from .caffe_graph import kind, label
from .caffe_layers import LAYERS
from .caffe_refusals import ADVICE, TAKEN, WHAT
from .caffe_schema import message
from .names import LONGEST, fresh

PROD, SUM = 0, 1  # EltwiseOp
OWNERS = ("Convolution", "InnerProduct", "BatchNorm", "Scale")  # they have weights
SEVERAL = ("Eltwise", "Concat", "Scale")  # they may take several blobs


class Value(NamedTuple):
    """What a blob holds: the output of our layer number `layer` (IMAGE: the picture), of `shape` (H, W, C).

    flat: of two dimensions in the file, (N, H * W * C).  alone: only one layer takes it.
    """

    layer: int | str
    shape: tuple
    flat: bool = False
    alone: bool = True

    @property
    def rank(self):
        return 2 if self.flat else 4


class Made(NamedTuple):
    """A layer of ours under its name, and the numbers of the layers it takes."""

    name: str
    layer: object
    inputs: tuple


class Walk:
    """graph: a caffe_graph.Graph.  blobs: {name of a layer: [Blob]}.  made: [Made], from the bottom up.
    values: {number of a node in the graph, or the picture's blob: Value}."""

    def __init__(self, graph, blobs, dtype):
        self.graph, self.blobs, self.dtype = graph, blobs, dtype
        self.made, self.values, self.names = [], {}, {IMAGE: 0}
        self.owners, self.weights = set(), 0

    def run(self, nodes, picture, shape):
        """Make layers of the nodes with these numbers, the last of which makes the scores.

        picture: the name of the blob that is the picture, of `shape`.
        """
        counts = Counter(one for number in nodes for one in self.graph.nodes[number].inputs)
        self.values[picture] = Value(IMAGE, shape)
        for number in nodes:
            self.graph.check(number)
            value = self._apply(self.graph.nodes[number])
            self.values[number] = value._replace(alone=value.alone and counts[number] <= 1)

    def layers(self):
        """[(name, layer, *inputs)] of what was made; without inputs where it is a chain."""
        below = [(IMAGE,), *((number,) for number in range(len(self.made)))]
        if all(made.inputs == inputs for made, inputs in zip(self.made, below, strict=False)):
            return [(made.name, made.layer) for made in self.made]
        names = {number: made.name for number, made in enumerate(self.made)} | {IMAGE: IMAGE}
        return [(made.name, made.layer, *map(names.get, made.inputs)) for made in self.made]

    def _apply(self, node):
        layer, what, values = (
            node.layer,
            kind(node.layer),
            [self.values[one] for one in node.inputs],
        )
        if what not in (*LAYERS, *JOINTS):
            why = f": {WHAT[what]}" if what in WHAT else ""
            raise Wrong(f"has {label(layer)}{why}; rawconv takes nets of {TAKEN}", ADVICE)
        blobs = self.blobs.get(layer.name, [])
        try:
            self._check(layer, what)
            # parts.py refuses what is not finite in the end
            with np.errstate(all="ignore"):
                return JOINTS.get(what, _one)(self, layer, blobs, *values)
        except ValueError as error:
            raise Wrong(f"has {label(layer)}, which rawconv cannot take: {error}") from error

    def _check(self, layer, what):
        """ValueError where it takes or makes several blobs, or has the weights of another layer."""
        if len(layer.top) != 1:
            raise ValueError(f"it makes {len(layer.top)} blobs, where rawconv takes one")
        if len(layer.bottom) != 1 and (what not in SEVERAL or not layer.bottom):
            raise ValueError(f"it takes {len(layer.bottom)} blobs, where rawconv takes one")
        if what in OWNERS and layer.name in self.owners:
            raise ValueError("another layer has its name, and its weights")
        if what in OWNERS:
            self.owners.add(layer.name)

    def add(self, name, layer, *values):
        """The Value of a new layer over these."""
        shape = parts.checked_shape(layer, [value.shape for value in values], len(self.made))
        name = fresh(printable(str(name))[:LONGEST] or f"layer{len(self.made) + 1}", self.names)
        self.made.append(Made(name, layer, tuple(value.layer for value in values)))
        return Value(len(self.made) - 1, shape, values[0].flat)

    def affine(self, name, value, scale, shift):
        """scale * x + shift, one number a map: into the convolution that alone makes x, or a layer."""
        if scale.shape != (value.shape[2],) or (value.flat and value.shape[:2] != (1, 1)):
            raise ValueError(
                f"its {scale.size} numbers are not one for each of {value.shape[2]} maps"
            )
        if value.alone and value.layer != IMAGE and isinstance(self.made[value.layer].layer, Conv):
            parts.fold_batch_norm(self.made[value.layer].layer, scale, shift)
            return value
        self.weights += 2 * scale.size
        if self.weights > parts.MOST_MADE:
            raise ValueError("it would take too many weights, which are not in the file")
        return self.add(name, parts.own(parts.per_map(scale, shift), self.dtype), value)


# How a layer of the file becomes a Value: function(walk, its message, its blobs, *values)


def _one(walk, layer, blobs, x):
    """A layer of ours."""
    what = kind(layer)
    if x.flat and x.shape[:2] != (1, 1) and what not in ("InnerProduct", "ReLU", "Dropout"):
        raise ValueError("it takes maps that were flattened")
    made = walk.add(layer.name, LAYERS[what](layer, blobs, x.shape, walk.dtype), x)
    return made._replace(flat=x.flat or what == "InnerProduct")


def _batch_norm(walk, layer, blobs, x):
    """mean and variance come as sums, with their weight in the third blob."""
    about = layer.batch_norm_param
    if not about.use_global_stats:
        raise ValueError(
            "it norms by the numbers of each batch (use_global_stats: false); where the file was written in "
            "training, its deploy.prototxt says otherwise"
        )
    mean, variance, weight = (take(blobs, i, (-1,)).astype(np.float64) for i in range(3))
    weight = 1 / weight[0] if weight[0] else 0.0
    ones, zeros = np.ones(mean.shape), np.zeros(mean.shape)
    moments = parts.batch_norm(ones, zeros, mean * weight, variance * weight, about.eps)
    return walk.affine(layer.name, x, *moments)


def _scale(walk, layer, blobs, x, *others):
    about = layer.scale_param
    if others:
        raise ValueError(
            "it is a product of maps, as attention, gates and squeeze-and-excitation have; maps may only be added"
        )
    if about.num_axes not in (0, 1) or about.axis % x.rank != 1:
        raise ValueError(
            f"it scales {about.num_axes} axes from axis {about.axis} on, and not by one number a map"
        )
    shape = (1,) if about.num_axes == 0 else (-1,)
    factor = take(blobs, 0, shape)
    shift = take(blobs, 1, shape) if about.bias_term else np.zeros_like(factor)
    if about.num_axes == 0:
        factor, shift = (np.broadcast_to(one, x.shape[2]) for one in (factor, shift))
    return walk.affine(layer.name, x, factor, shift)


def _eltwise(walk, layer, blobs, *values):
    """A sum of maps, each times its coefficient."""
    about = layer.eltwise_param
    if about.operation != SUM:
        what = "product" if about.operation == PROD else "maximum"
        raise ValueError(f"it is a {what} of maps, which may only be added")
    if about.coeff and len(about.coeff) != len(values):
        raise ValueError(f"it has {len(about.coeff)} coefficients for {len(values)} blobs")
    _alike(values, "adds")
    scaled = []
    for name, value, factor in zip(
        layer.bottom, values, about.coeff or [1.0] * len(values), strict=True
    ):
        if factor != 1:
            factors = np.broadcast_to(np.float64(factor), value.shape[2])
            value = walk.affine(f"{layer.name}/{name}", value, factors, np.zeros_like(factors))
        scaled.append(value)
    return scaled[0] if len(scaled) == 1 else walk.add(layer.name, Add(), *scaled)


def _concat(walk, layer, blobs, *values):
    """Maps side by side."""
    about = layer.concat_param
    if about.HasField("axis") and about.HasField("concat_dim"):
        raise ValueError("it has both axis and concat_dim")
    axis = about.concat_dim if about.HasField("concat_dim") else about.axis
    _alike(values, "puts side by side")
    if axis % values[0].rank != 1:
        raise ValueError(
            f"it puts its blobs together along axis {axis}, which is not that of channels"
        )
    return values[0] if len(values) == 1 else walk.add(layer.name, Concat(), *values)


def _flatten(walk, layer, blobs, x):
    """Nothing: a fully connected layer takes the maps one after another, as Caffe lays them out."""
    about = getattr(layer, "flatten_param", message("FlattenParameter")())  # not in version 1
    if about.axis % x.rank != 1 or about.end_axis % x.rank != x.rank - 1:
        raise ValueError(
            f"it flattens axes {about.axis} to {about.end_axis}, and not all of a picture"
        )
    return x._replace(flat=True)


def _alike(values, does):
    """ValueError where blobs differ in how many dimensions they have."""
    if len({value.flat for value in values}) != 1:
        raise ValueError(f"it {does} what was flattened and what was not")


JOINTS = {
    "BatchNorm": _batch_norm, "Scale": _scale, "Eltwise": _eltwise, "Concat": _concat, "Flatten": _flatten,
}  # fmt: skip
