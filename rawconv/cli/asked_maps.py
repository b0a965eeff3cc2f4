"""What --layer and --units mean in a net: names of layers and numbers of maps."""

import re

from ..errors import UsageError


def layer_objects(net, layers, units):
    """The layer objects asked for, each once; by default those of all convolutions, or the class
    scores where `units` are names of classes.
    """
    from ..visualize.units import layer_names, layer_object

    names = layer_names(net)
    if not layers and units and _has_names(units) and net.has_scores:
        layers = ["scores"]
    every = [name for name in names if name in net.convolutions] or list(names)
    return list(dict.fromkeys(layer_object(net, layer) for layer in layers or every))


def _has_names(units):
    """Whether --units are names of classes and not numbers of maps."""
    from ..visualize.random_maps import is_random

    return units != "all" and not is_random(units) and re.search(r"[^\d\s,-]", units)


def map_numbers(units, net, name, seed):
    """ "3,17,40-47" or "all" -> map numbers of a layer; "random:18" -> RandomMaps by a seed; of the
    class scores also names; None -> None.
    """
    from ..visualize.class_number import class_number, is_class
    from ..visualize.random_maps import draw, is_random
    from ..visualize.units import is_score, user_name

    if units is None:
        return None
    if units == "all":
        return list(range(net.shapes[name][2]))
    if is_random(units):
        return draw(units, net.shapes[name][2], seed)
    layer, numbers = user_name(net, name), []
    parts = [units] if is_score(net, name) and is_class(net, units) else units.split(",")
    for part in parts:
        part = part.strip().removeprefix("scores:")
        if is_score(net, name) and _has_names(part):
            numbers.append(class_number(net, part))
        elif _has_names(part):
            raise UsageError(
                f"--units {units} is no list of maps of {layer}; write 3,17,40-47 or all. Names of classes are for "
                "--layer scores."
            )
        else:
            numbers += _range(part, units, layer, net.shapes[name][2])
    return list(dict.fromkeys(numbers))


def _range(part, units, layer, count):
    """The map numbers of "17" or "40-47", a part of --units, in a layer of `count` maps."""
    match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
    if not match:
        raise UsageError(f"--units {units} is no list of maps; write 3,17,40-47 or all.")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise UsageError(f"--units {units}: {first}-{last} runs backwards; write {last}-{first}.")
    if last >= count:
        raise UsageError(f"--units {units}: {layer} has the maps 0 to {count - 1}.")
    return range(first, last + 1)
