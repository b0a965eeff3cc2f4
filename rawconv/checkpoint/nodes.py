"""The layers in a checkpoint: a group for each node, how they are written, and how they are read
with nothing trusted.

    write_nodes(group, net)                        /layers, and write_momentum /optimizer
    nodes, weights = read_nodes(group, shape, 2)   no array is read yet: `weights` are datasets of the shapes that fit

What a layer's settings may be stands with its class (`limits`); version_1.py says what version 1
called otherwise.
"""

from __future__ import annotations

import json
import math
from typing import Any

import h5py
import numpy as np

from ..files import schema
from ..files.hdf5_names import escape_name, plain_name
from ..files.schema import NEWER, parse
from ..files.storage import FLOATS, Group, Wrong, excess, fixed_text
from ..layers import Layer, registry
from ..machine.arrays import Array, to_cpu
from ..net import IMAGE, Net
from . import version_1

Arrays = dict[tuple[str, str], Any]  # {(layer name, parameter name): array or dataset}

LARGEST_SIDE, MOST_LAYERS = 1 << 14, 1 << 12
# bytes of a pixel or a number of a map: as it comes, in float32, and once more on its way
COPIES = 12


def write_nodes(group: h5py.Group, net: Net) -> None:
    """Write every node of a net into a group of its own, with the parameters of its layer."""
    before = IMAGE
    for i, (name, layer, inputs) in enumerate(net.nodes.values()):
        part = group.create_group(group_name(i, name))
        part.attrs.update(
            type=fixed_text(type(layer).__name__), settings=fixed_text(json.dumps(layer.settings))
        )
        if inputs != (before,):
            part.attrs["inputs"] = fixed_text(json.dumps(inputs))
        before = name
        for key, value in layer.params.items():
            part[key] = floats(value)


def write_momentum(group: h5py.Group, net: Net, momentum: Arrays) -> None:
    """Write {(layer name, parameter name): array}, each beside the name of its node."""
    places = {name: i for i, (name, _) in enumerate(net.layers)}
    for (name, key), value in momentum.items():
        group.require_group(group_name(places[name], name))[key] = floats(value)


def group_name(index: int, name: str) -> str:
    """Return the name of a node's group, 02_fire4%2Fconcat: a slash would make two groups of it."""
    return f"{index:02d}_{escape_name(name)}"


def layer_name(group: str) -> str:
    """Return the reverse: the name of the node in the group of this name."""
    return plain_name(group.split("_", 1)[1])


def floats(array: Array) -> np.ndarray:
    """Return the array as it is written.  ValueError: it holds neither float32 nor float64."""
    array = to_cpu(array)
    if array.dtype not in FLOATS:
        raise ValueError(f"A checkpoint holds float32 or float64, not {array.dtype}.")
    return np.ascontiguousarray(array)


def read_nodes(group: Group, shape: tuple, version: int) -> tuple[list[tuple], Arrays]:
    """Read the layers of a net for images of `shape`: [(name, layer, *inputs)], without parameters,
    and their datasets.

    {(layer name, parameter name): dataset}: none is read yet, and their shapes fit.  Wrong where
    anything does not.
    """
    nodes, weights, shapes, before = [], {}, {IMAGE: shape}, IMAGE
    for name, part in _in_order(group):
        layer, inputs = _read_layer(name, part, version), _read_inputs(name, part, before)
        _check_inputs(name, layer, inputs, shapes)
        below, before = [shapes[below] for below in inputs], name
        shape = shapes[name] = layer.out_shape(*below)
        check_shape(shape, f"the maps of layer {name}")
        check_room(shape, part.size, f"the maps of layer {name}")
        check_room(_padded(layer, below[0]), part.size, f"the padded maps below layer {name}")
        nodes.append((name, layer, *inputs))
        if layer.params:
            for key, size in layer.param_shapes(below[0]).items():
                weights[name, key] = part.numbers(key, size)
    if not nodes or len({data.dtype for data in weights.values()}) > 1:
        raise Wrong("is damaged: it has no layers, or weights of two dtypes")
    return nodes, weights


def _check_inputs(name, layer, inputs, shapes):
    """Wrong where a layer's name is taken, or its inputs are not layers before it; shapes: {layer:
    ...} of those.
    """
    if name in shapes:
        raise Wrong(f"is damaged: it has two layers of one name, {name}")
    if missing := [below for below in inputs if below not in shapes]:
        raise Wrong(
            f"is damaged: layer {name} takes the output of {missing[0]!r:.80}, which is no layer before it"
        )
    if len(inputs) != 1 and not layer.joins:
        raise Wrong(f"is damaged: layer {name} has {len(inputs)} inputs")


def _read_inputs(name, group, before):
    """The names of the layers that a layer takes the outputs of."""
    where = f"inputs of layer {name}"
    return parse(group.text("inputs"), schema.INPUTS, where) if group.has("inputs") else [before]


def _in_order(group):
    """(layer name, group) of 00_conv1, 01_relu1, ... in this order."""
    names = group.names(MOST_LAYERS)
    for i in range(len(names)):
        names_at = [name for name in names if name.startswith(f"{i:02d}_")]
        if len(names_at) != 1:
            raise Wrong(f"is damaged: it has {len(names_at)} layers with number {i}")
        yield layer_name(names_at[0]), group.group(names_at[0])


def _read_layer(name, group, version):
    kind = group.text("type")
    if kind not in registry.by_name():
        raise Wrong(
            f"has a layer {name} of type {kind!r:.80}, which this rawconv does not know", NEWER
        )
    layer, where = registry.by_name()[kind], f"layer {name}"
    settings = parse(group.text("settings"), schema.OBJECT, where)
    settings = settings if version > 1 else version_1.settings(settings)
    schema.check(layer.limits, settings, where)
    return layer(**settings)


def read_momentum(group: Group, nodes: list[tuple], weights: Arrays) -> Arrays:
    """Find {(layer name, parameter name): dataset} of the parameters that have momentum, in their
    shape and dtype.
    """
    places = {name: group_name(i, name) for i, (name, *_) in enumerate(nodes)}
    momentum = {}
    for (name, key), data in weights.items():
        if places[name] in group and key in (part := group.group(places[name])):
            momentum[name, key] = part.numbers(key, data.shape, data.dtype)
    return momentum


def check_layer(layer: Layer, shape: tuple) -> None:
    """Raise Wrong where a checkpoint could not hold this layer, which makes maps of `shape` (H, W, C)."""
    settings = json.loads(json.dumps(layer.settings))
    if wrong := next(schema.faults(layer.limits, settings, "it"), None):
        raise Wrong(wrong)
    check_shape(shape, "its maps")


def check_shape(shape: tuple, what: str) -> None:
    """Raise Wrong where images or maps, `what` in words, cannot be of this shape (H, W, C)."""
    if min(shape) < 1 or max(shape[:2]) > LARGEST_SIDE or shape[2] > schema.MOST_FILTERS:
        raise Wrong(f"says that {what} are of {shape}, which is no sensible size")


def check_room(shape: tuple, size: int, what: str) -> None:
    """Raise Wrong where maps or a picture of this shape would take more than a file of `size` bytes
    may ask for.
    """
    if excess_text := excess(COPIES * math.prod(shape), size):
        raise Wrong(
            f"says that {what} are of {shape}, which would take {excess_text}",
            "Use another checkpoint.",
        )


def _padded(layer, shape):
    """The shape of a layer's input with its padding."""
    top, left, bottom, right = layer.window.pad if layer.window else (0, 0, 0, 0)
    return shape[0] + top + bottom, shape[1] + left + right, shape[2]
