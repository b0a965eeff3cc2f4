"""How a user names the layers and units of a net: "conv4", plain "4", "conv4:17", "conv4:17:3:5"."""

from __future__ import annotations

import re

from ..errors import UsageError
from ..layers.add import Add
from ..layers.average_pool import AveragePool
from ..layers.concat import Concat
from ..layers.conv import Conv
from ..layers.max_pool import MaxPool
from ..layers.relu import ReLU
from ..net import Net


def layer_names(net: Net) -> dict[str, str]:
    """{name a user gives: layer object}.  conv4 and fc6 mean the ReLU after them; the last layer is `scores`."""
    names = {}
    for name, layer in net.layers:
        if isinstance(layer, Conv | Add):
            above = net.consumers[name]
            names[name] = above[0] if len(above) == 1 and isinstance(net[above[0]], ReLU) else name
        elif isinstance(layer, MaxPool | AveragePool | Concat):
            names[name] = name
    return {"scores" if name == net.output else name: found for name, found in names.items()}


def layer_object(net: Net, layer: str | int) -> str:
    """The layer object that `layer` names: "conv4" or plain "4" (relu4), "pool5", "fc6", "scores", or an object."""
    names, layer = layer_names(net), str(layer)
    if layer in names:
        return names[layer]
    numbered = [name for name in net.shapes if name in (f"conv{layer}", f"fc{layer}")] if layer.isdigit() else []
    layer = numbered[0] if numbered else layer
    if layer in net.shapes:
        return names.get(layer, layer)
    raise UsageError(f"There is no layer {layer!r} in this net; the layers are {', '.join(names)}.")


def user_name(net: Net, name: str) -> str:
    """The name a user gives to a layer object: conv4 for relu4."""
    return next((given for given, found in layer_names(net).items() if found == name), name)


def parse_unit(net: Net, unit: str) -> tuple:
    """ "conv4:17", "conv4:17:3:5" or "conv4:17:*" -> (layer object, map, None or (y, x) or "*")."""
    layer, *numbers = str(unit).split(":")
    name = layer_object(net, layer)
    place = "*" if numbers[1:] == ["*"] else None
    numbers = numbers[:1] if place else numbers
    if len(numbers) not in (1, 3) or not all(re.fullmatch(r"\d{1,9}", part) for part in numbers):
        raise UsageError(f"{unit!r} is not a unit; write conv4:17 (its strongest place), conv4:17:y:x or conv4:17:*.")
    number, *where = map(int, numbers)
    height, width, maps = net.shapes[name]
    if number >= maps:
        raise UsageError(f"{unit!r}: layer {layer} has {maps} maps, 0 to {maps - 1}.")
    if where and (where[0] >= height or where[1] >= width):
        raise UsageError(
            f"{unit!r}: a map of layer {layer} has {height}x{width} places, 0:0 to {height - 1}:{width - 1}."
        )
    return name, number, tuple(where) or place


def is_score(net, name):
    """Whether layer object `name` is the class scores: the last layer, with no ReLU on it."""
    return name == net.output and isinstance(net[name], Conv)
