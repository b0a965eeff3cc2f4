"""One page that holds everything: every map with its strongest units, their ways down, the net and
its training.

    wanted = units_of_page(net, found)                      found: {layer object: top_activations.TopActivations}
    _, ways = project_winners(net, data.val, found, [], followed=wanted)
    page = report(net, info, data, data.val, Shown(found, {}, ways))
    open("report.html", "wb").write(page)

The page is page/report.html with the styles and ES modules beside it put in, and the data as JSON;
it asks for nothing from outside, and its policy forbids it to.  Names of classes and pictures may
come from anyone: they are data, never markup.  Equal nets and data give equal bytes.
"""

import math
import pathlib
import re
from typing import NamedTuple

import numpy as np

from ..machine.arrays import to_cpu
from ..visualize.images import display
from ..visualize.layer_table import parameter_count
from ..visualize.receptive_field import fields
from ..visualize.scan_record import fingerprint
from ..visualize.trace import goal
from ..visualize.units import cut_box, is_score, user_name
from . import pages, sheets
from .look import LOOK
from .one_file import fill
from .places import place_sheet
from .thumbnails import thumb_size

MAPS = 512  # of one layer
# of all tiles together: about 15 MB of page.  Nets with more have smaller tiles
PIXELS = 26_000_000
SMALLEST, LARGEST = 24, 96  # pixels of a tile
CURVES = (
    "epoch",
    "lr",
    "train_loss",
    "val_loss",
    "train_top1",
    "val_top1",
    "train_top5",
    "val_top5",
)


class Shown(NamedTuple):
    """What is on the page: {layer object: TopActivations} of a scan; {layer object: numbers of its
    maps or None}, where not all are shown; {Unit: winners.Way} of their units."""

    found: dict
    maps: dict
    ways: dict


def units_of_page(net, found, maps=None, count=9):
    """{Unit: (rows, columns) of its tile} of all that is on the page, for winners.project_winners.

    found, maps: as in Shown.  count: units of a map.
    """
    maps, count = _numbers(found, maps), _count(found, count)
    shapes = _shapes(net, {name: len(numbers) for name, numbers in maps.items()}, count)
    return {
        unit: shapes[name]
        for name, best in found.items() for unit in best.units(user_name(net, name), maps[name], count)
    }  # fmt: skip


def report(net, info, data, split, shown, look=LOOK, count=9, experiments=()):
    """The page, bytes.  info: as the checkpoint has it.  shown: the Shown of `split`.  count: units of a map.

    experiments: what experiments.experiments found of this net.
    """
    found, maps = shown.found, _numbers(shown.found, shown.maps)
    count = _count(found, count)
    shapes = _shapes(net, {name: len(numbers) for name, numbers in maps.items()}, count)
    about = {
        "model": net.model or "net", "data": data.name, "split": split_name(data, split), "pictures": len(split),
        "count": count, "classes": [words(name) for name in data.classes], "look": look.sentence(),
        "rules": look.rules._asdict(), "picture": net.shape[:2], "facts": facts(net, info), "history": history(info),
        "net": net_table(net), "filters": _filters(net), "experiments": list(experiments),
        "places": place_sheet(shown.ways),
        "layers": [
            _layer(net, split, name, best.first(count), maps[name], shown.ways, look, shapes[name])
            for name, best in found.items()
        ],
    }  # fmt: skip
    return fill(f"{about['model']} · {about['data']} · rawconv", about, "report")


def _numbers(found, maps):
    """{layer object: the numbers of its maps on the page}."""
    return {name: _shown(best, (maps or {}).get(name)) for name, best in found.items()}


def _count(found, count):
    return min(count, *(best.value.shape[1] for best in found.values()))


# ---------------------------------------------------------------------------------------------- layers, maps, units


def _shown(best, wanted):
    """The maps on the page: those wanted, else all; of more than MAPS the strongest."""
    everything = (
        range(len(best.value)) if len(best.value) <= MAPS else pages.choose(best, None, MAPS)
    )
    return list(everything if wanted is None else wanted)


def _shapes(net, shown, count):
    """The largest tile that keeps the page's pixels below PIXELS, as {layer: (rows, columns)}."""
    sizes, every = fields(net), range(LARGEST, SMALLEST - 1, -8)
    for limit in every:
        tiles = {name: bounded(net, sizes[name], limit) for name in shown}
        if (
            limit == every[-1]
            or sum(2 * count * shown[n] * h * w for n, (h, w) in tiles.items()) <= PIXELS
        ):
            return tiles


def bounded(net, field, limit):
    height, width = (
        min(size, length) for size, length in zip(field.size, net.shape[:2], strict=True)
    )
    scale = min(1, limit / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _layer(net, split, name, best, numbers, ways, look, shape):
    field, given = fields(net)[name], user_name(net, name)
    rows = {
        number: [(unit, ways[unit]) for unit in best.units(given, [number])] for number in numbers
    }
    return {
        "name": given, "object": name, "shape": net.shapes[name], "field": field.size,
        "tile": shape, "shrunk": shape != bounded(net, field, max(net.shape)), "cell": sheets.cell_size(shape),
        "score": is_score(net, name), "patches": look.patches,
        "whole": cut_box(field.box(0, 0), net.shape) == (0, 0, *net.shape[:2]),
        "steps": [{**step, "skipped": _skipped(step["verb"], look.rules)} for step in steps(net, name)],
        "maps": [_map(net, split, name, best, number, rows[number], shape) for number in numbers],
    }  # fmt: skip


def steps(net, name):
    """[{"layer", "verb", "shape": of r below it, "thumb": (h, w)}] of the way down from layer
    object `name`; of a layer with several inputs one for each, with "to", where it leads.
    """
    if name not in net.nodes:
        raise ValueError(f"There is no layer {name!r}.")
    return [
        {"layer": node.name, "verb": node.layer.verb, "shape": shape, "thumb": thumb_size(shape)}
        | ({"to": goal(below)} if node.layer.joins else {})
        for node in reversed(net.path(name))
        for below in node.inputs
        for shape in (tuple(net.shapes.get(below, net.shape)),)
    ]


def _skipped(verb, rules):
    """Whether a step leaves r as it is."""
    return verb == "dropout" or (verb == "norm" and rules.lrn == "identity")


def _map(net, split, name, best, number, rows, shape):
    """A map's number, title, units and, where it is alive, their tiles and the strongest one's steps."""
    dead = rows[0][1].tile.dead
    found = {
        "n": number, "dead": dead, "title": _title(net, name, number),
        "units": [_unit(net, split, best, rank, *row) for rank, row in enumerate(rows)],
    }  # fmt: skip
    if dead:
        return found
    tiles, steps = [way.tile for _, way in rows], rows[0][1].steps
    patches = [tile.patch for tile in tiles if tile.patch is not None]
    found["sheet"] = sheets.sheet(
        [[tile.projection for tile in tiles], patches][: 2 if patches else 1], shape
    )
    found["path"] = sheets.grey_sheet([step.pixels for step in steps])
    found["strongest"] = [step.maps for step in steps]
    return found


def _title(net, name, number):
    return words(net.classes[number]) if is_score(net, name) and net.classes else f"map {number}"


def _unit(net, split, best, rank, unit, way):
    return {
        "value": short(best.value[unit.channel, rank], 6), "y": unit.y, "x": unit.x,
        "class": int(best.label[unit.channel, rank]), "picture": split.names[unit.image], "image": unit.image,
        "box": unit.box(net), "dead": way.tile.dead, "energy": [short(value) for value in way.energy],
        "share": [short(value) for value in way.share],
    } | ({"empty": True} if way.tile.empty else {})  # fmt: skip


def short(value, digits=4):
    """A number of so many digits; whole where it is: what rounding left of it says nothing."""
    value = float(f"{value:.{digits}g}")
    return int(value) if value == int(value) else value


# ---------------------------------------------------------------------------------------------- the net


def words(name):
    """A class as people say it: n02129165_lion is "lion"."""
    return re.sub(r"^n\d{8}_", "", name).replace("_", " ")


def split_name(data, split):
    """What the pictures scanned are called."""
    return "training" if split is data.train and split is not data.val else "validation"


def net_table(net):
    """[{layer, type, window, output, field, parameters}] from the bottom up."""
    sizes, rows = fields(net), []
    for name, layer in net.layers:
        rows.append({
            "layer": name, "type": type(layer).__name__, "output": list(net.shapes[name]),
            "window": _window(layer.window) if layer.window else "", "field": list(sizes[name].size),
            "parameters": parameter_count(layer),
        })  # fmt: skip
    return rows


def _window(window):
    (height, width), (down, right), pad = window.size, window.stride, window.pad
    text = f"{height}×{width}"
    text += f", stride {down}" if (down, right) != (1, 1) else ""
    text += f", dilation {window.dilation[0]}" if window.is_dilated else ""
    return text + (f", pad {max(pad)}" if any(pad) else "")


def history(info):
    """The rows of the training log that can be drawn; what a foreign file says instead is left out."""
    rows = info.get("history")
    rows = rows if isinstance(rows, list) else []
    rows = [
        row
        for row in rows
        if isinstance(row, dict) and all(_is_number(row.get(key)) for key in CURVES)
    ]
    return [{key: short(row[key], 5) for key in CURVES} for row in rows]


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)


def facts(net, info):
    """[[what, in words]]: the checkpoint at a glance."""
    rows = history(info)
    found = [["Model", net.model or "a net"], ["Parameters", f"{parameter_count(net):,}"]]
    found.append(["Input", f"{net.shape[0]}×{net.shape[1]} pixels, {net.shape[2]} channels"])
    if net.classes:
        found.append(["Classes", f"{len(net.classes):,}"])
    if rows:
        last = rows[-1]
        found.append(["Validation top-1", f"{last['val_top1']:.1%}"])
        if len(net.classes) > 5:  # else it is never wrong
            found.append(["Validation top-5", f"{last['val_top5']:.1%}"])
        found.append(["Epochs trained", f"{last['epoch']:g}"])
    found += _training_facts(info)
    return [*found, ["Arithmetic", str(net.dtype)], ["Fingerprint", fingerprint(net)[:16]]]


def _training_facts(info):
    """[[what, in words]] of data, recipe and seed, as far as a foreign file has them."""
    data, recipe, found = info.get("data"), info.get("recipe"), []
    if isinstance(data, str):
        found.append(["Trained on", pathlib.PurePath(data).name or data])
    for key, value in recipe.items() if isinstance(recipe, dict) else ():
        found.append(
            [f"Recipe: {str(key)[:40]}", f"{value:g}" if _is_number(value) else str(value)[:80]]
        )
    if "seed" in info:
        found.append(["Seed", str(info["seed"])[:40]])
    return found


def _filters(net):
    """The first layer's filters as tiles of one sheet, eight in a row: only where they look at colours."""
    name, layer = net.layers[0]
    if not layer.params or to_cpu(layer.weight).shape[2] != 3:
        return None
    images = display(np.moveaxis(to_cpu(layer.weight), 3, 0))
    shape, rows = images.shape[1:3], [images[k : k + 8] for k in range(0, len(images), 8)]
    rows[-1] = np.concatenate(
        [rows[-1], np.full((8 - len(rows[-1]), *images.shape[1:]), 128, np.uint8)]
    )
    return {
        "layer": name, "count": len(images), "tile": shape, "cell": sheets.cell_size(shape),
        "sheet": sheets.sheet(rows, shape), "columns": 8,
    }  # fmt: skip
