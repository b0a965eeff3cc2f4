"""Units of a net and how a user names them and their layers: "conv4", plain "4", "conv4:17", "conv4:17:3:5".

unit = parse_unit(net, "conv4:17:3:5")          Unit(image=0, layer="conv4", channel=17, y=3, x=5)
parse_unit(net, "scores:ladybug")               a class score, by the name of the class (class_number.py)
str(unit)                                       conv4:17:3:5
unit.box(net)                                   the receptive field in the image: (top, left, bottom, right)
unit.shown_box(net)                             what figures show of it
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError
from ..files import html_text
from ..net import Net, last_under
from .class_number import class_number
from .receptive_field import Field, fields

if TYPE_CHECKING:
    from typing import Any

MOST_LISTED = 60  # names of layers in a message


class Unit(NamedTuple):
    """One unit of a net in one image, or a whole feature map.

    image: the image's row in a ForwardPass, or a sample's number in a split of a data set.
    layer: its name as users give it, "conv4".  channel: the number of the feature map.
    y, x: row and column in the feature map; None: its strongest place, which ForwardPass.unit finds.
    whole: the whole feature map, written conv4:17:*; y and x are None then.
    """

    image: int
    layer: str
    channel: int
    y: int | None = None
    x: int | None = None
    whole: bool = False

    def __str__(self) -> str:
        place = ":*" if self.whole else "" if self.y is None else f":{self.y}:{self.x}"
        return f"{self.layer}:{self.channel}{place}"

    def _repr_html_(self) -> str:
        place = "its strongest place" if self.y is None else f"row {self.y}, column {self.x}"
        place = "all of it" if self.whole else place
        words = f"feature map {self.channel} of {self.layer}, {place}, in picture {self.image}"
        return html_text.title(str(self), words)

    def box(self, net: Net) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of its receptive field, the last two exclusive; may leave the image."""
        return field_box(self, fields(net)[layer_object(net, self.layer)], net.shape)

    def shown_box(self, net: Net) -> tuple[int, int, int, int]:
        """Box that figures show: its receptive field, but the image's own rows (columns) where the
        field has more.
        """
        return cut_box(self.box(net), net.shape)

    def inner_box(self, net: Net) -> tuple[int, int, int, int]:
        """Part of shown_box that lies in the image."""
        sides = zip(self.shown_box(net), net.shape[:2] * 2, strict=True)
        top, left, bottom, right = (min(max(0, side), length) for side, length in sides)
        return top, left, bottom, right


def field_box(unit: Unit, field: Field, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Unit.box, where the Field of its layer is known; `shape` is the net's (H, W, C)."""
    return (
        (0, 0, shape[0], shape[1])
        if unit.y is None or unit.x is None
        else field.box(unit.y, unit.x)
    )


def cut_box(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the box, but all rows (columns) of an image of `shape` where the box has as many or more."""
    top, left, bottom, right = box
    height, width = shape[:2]
    top, bottom = (0, height) if bottom - top >= height else (top, bottom)
    left, right = (0, width) if right - left >= width else (left, right)
    return top, left, bottom, right


def layer_names(net: Net) -> dict[str, str]:
    """{name a user gives: layer object}.  conv4 and fc6 mean the ReLU after them; the last layer is
    `scores`, unless the net is a trunk, whose last layer keeps its name."""
    names = {}
    for name, layer in net.layers:
        if layer.named:
            names[name] = _relu_above(net, name) if layer.named == "rectified" else name
    return {
        "scores" if is_score(net, name) else name: layer_name for name, layer_name in names.items()
    }


def _relu_above(net: Net, name: str) -> str:
    """The rectifier that alone consumes a layer, perhaps after a batch norm of its own; else the
    layer itself.
    """
    above = net.consumers[name]
    if len(above) == 1 and net[above[0]].rectifier:
        return above[0]
    if (
        len(above) == 1
        and is_scale(net[above[0]])
        and (above_scale := _relu_above(net, above[0])) != above[0]
    ):
        return above_scale
    return name


def is_scale(layer: Any) -> bool:
    """Whether it is a batch norm that could not be folded: a filter of 1x1 for each map."""
    settings = layer.settings
    return settings.get("groups", 1) == settings.get("filters") != 1 and settings["size"] == (1, 1)


def layer_numbers(net: Net) -> dict[str, str]:
    """{"4": "conv4"}, ...: the layers that a user may give as plain numbers, from the bottom up."""
    candidates = ((name, kind) for name in net.nodes for kind in ("conv", "fc"))
    return {
        name[len(kind) :]: name for name, kind in candidates if re.fullmatch(rf"{kind}\d+", name)
    }


def layer_object(net: Net, layer: str | int) -> str:
    """Return the layer object that `layer` names: "conv4" or plain "4" (relu4), "pool5", "fc6",
    "scores", or an object.

    Of an imported net also what its nodes have in common, "layer2.0" or "fire4": the last of them,
    with its ReLU.
    """
    if object_name := _find(net, str(layer)):
        return object_name
    names = list(layer_names(net))
    more = f" and {len(names) - MOST_LISTED} others" if len(names) > MOST_LISTED else ""
    raise UsageError(
        f"There is no layer {str(layer)!r} in this net; the layers are {', '.join(names[:MOST_LISTED])}{more}."
    )


def _find(net: Net, layer: str) -> str | None:
    """Return the layer object that `layer` names, None where there is none."""
    names = layer_names(net)
    if layer in names:
        return names[layer]
    layer = layer_numbers(net).get(layer, layer)
    if layer in net.shapes:
        return names.get(layer, layer)
    last = last_under(layer, net.shapes) if layer else None
    return names.get(last, last) if last else None


def user_name(net: Net, name: str) -> str:
    """Return the name that a user gives to a layer object: conv4 for relu4."""
    return next(
        (user_layer for user_layer, layer_name in layer_names(net).items() if layer_name == name),
        name,
    )


def shown_name(net: Net, name: str) -> str:
    """Return what a figure calls a layer object: the user's name, and of a net that branches the node where it is
    another: "conv1 (node relu_conv1)".
    """
    user_layer = user_name(net, name)
    branches = any(len(above) > 1 for above in net.consumers.values())
    return f"{user_layer} (node {name})" if branches and user_layer != name else user_layer


def parse_unit(net: Net, text: str, image: int = 0) -> Unit:
    """ "conv4:17", "conv4:17:3:5", "conv4:17:*" or "scores:ladybug" -> Unit of that image.
    UsageError where the net has no such unit.
    """
    layer, numbers = _parts(net, str(text))
    name = layer_object(net, layer)
    if is_score(net, name) and (class_name := _class_name(numbers)):
        return Unit(image, user_name(net, name), class_number(net, class_name))
    whole = numbers[1:] == ["*"]
    numbers = numbers[:1] if whole else numbers
    if len(numbers) not in (1, 3) or not all(re.fullmatch(r"\d{1,9}", part) for part in numbers):
        raise UsageError(
            f"{text!r} is not a unit; write conv4:17 (its strongest place), conv4:17:y:x or conv4:17:*."
        )
    channel, *place = map(int, numbers)
    _check_inside(f"{text!r}", layer, net.shapes[name], channel, place)
    y, x = place or (None, None)
    return Unit(image, user_name(net, name), channel, y, x, whole)


def _check_inside(
    text: str, layer: str, shape: tuple[int, ...], channel: int, place: list[int]
) -> None:
    """UsageError where the feature maps of a layer, of `shape` (H, W, C), have no such channel or place."""
    height, width, maps = shape
    if channel >= maps:
        raise UsageError(f"{text}: layer {layer} has {maps} maps, 0 to {maps - 1}.")
    if place and (place[0] >= height or place[1] >= width):
        raise UsageError(
            f"{text}: a map of layer {layer} has {height}x{width} places, 0:0 to {height - 1}:{width - 1}."
        )


def _class_name(parts: list[str]) -> str:
    """Return the name in what follows "scores:", which may hold colons and end in a place; "" where
    that is numbers alone.
    """
    text = ":".join(parts)
    return re.sub(r":(0:0|\*)$", "", text) if re.search(r"[^\d:*]", text) else ""


def _parts(net: Net, text: str) -> tuple[str, list[str]]:
    """Return (layer, [numbers]) of a unit's text, read from the right: names of imported layers may
    hold colons.
    """
    parts = text.split(":")
    for count in (3, 2, 1):
        layer, numbers = ":".join(parts[:-count]), parts[-count:]
        if (count == 2) == (numbers[-1] == "*") and _find(net, layer):
            return layer, numbers
    return parts[0], parts[1:]


def unit_text(net: Net, unit: Unit) -> str:
    """Return a unit as a user writes it, "conv4:17:3:5", of a class score with the class's name: "scores:ladybug"."""
    if is_score(net, layer_object(net, unit.layer)) and net.classes:
        return f"{unit.layer}:{net.classes[unit.channel]}"
    return str(unit)


def is_score(net: Net, name: str) -> bool:
    """Whether layer object `name` is the class scores: the last layer, which is no ReLU, where the
    net has scores.
    """
    return name == net.output and net.has_scores and not net[name].rectifier
