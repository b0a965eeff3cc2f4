"""One page that holds everything: every map with its strongest units, their ways down, the net and its training.

    page = report(net, info, data, data.val, found)         found: {layer object: top_activations.TopActivations}
    open("report.html", "wb").write(page)

The page is page/report.html with report.css and the ES modules beside it put in, and the data as JSON; it asks for
nothing from outside, and its policy forbids it to.  Names of classes and pictures may come from anyone: they are data,
never markup.  Equal nets and data give equal bytes.
"""

import base64
import hashlib
import html
import json
import math
import pathlib
import re

import numpy as np

from ..files.progress import progress_bar
from ..machine.arrays import to_cpu
from ..visualize.images import display
from ..visualize.receptive_field import fields
from ..visualize.top_activations import fingerprint
from ..visualize.units import is_score, user_name
from . import pages, paths, sheets
from .modules import bundle

PAGE = pathlib.Path(__file__).parent / "page"
MAPS = 512  # of one layer
PIXELS = 26_000_000  # of all tiles together: about 15 MB of page.  Nets with more have smaller tiles
SMALLEST, LARGEST = 24, 96  # pixels of a tile
CURVES = ("epoch", "lr", "train_loss", "val_loss", "train_top1", "val_top1", "train_top5", "val_top5")


def report(net, info, data, split, found, maps=None, look=pages.LOOK, count=9, experiments=()):
    """The page, bytes.  maps: {layer object: map numbers to show}, where not all; info: as the checkpoint has it.

    experiments: what experiments.experiments found of this net.
    """
    maps = {name: _shown(found[name], (maps or {}).get(name)) for name in found}
    count = min(count, *(best.value.shape[1] for best in found.values()))
    side = _side(net, {name: len(numbers) for name, numbers in maps.items()}, count)
    about = {
        "model": net.model or "net", "data": data.name, "split": split_name(data, split), "pictures": len(split),
        "count": count, "classes": [_words(name) for name in data.classes], "look": look.sentence(),
        "rules": look.rules._asdict(), "picture": net.shape[:2], "facts": facts(net, info), "history": history(info),
        "net": net_table(net), "filters": _filters(net), "experiments": list(experiments),
        "layers": [_layer(net, split, name, best, maps[name], look, count, side) for name, best in found.items()],
    }  # fmt: skip
    return fill(f"{about['model']} · {about['data']} · rawconv", about)


def fill(title, about):
    """The template with its title, style, scripts and data.  Its policy names the hashes of style and script."""
    style, script = (PAGE / "report.css").read_text("utf-8"), bundle(PAGE, "main.js")
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    parts = {"title": html.escape(title), "policy": policy, "style": style, "script": script, "data": to_json(about)}
    page = (PAGE / "report.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page).encode("utf-8", "replace")


def _hash(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def to_json(value):
    """JSON that no HTML parser can take for markup: ASCII alone, and of that no <, > or &."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


# ---------------------------------------------------------------------------------------------- layers, maps, units


def _shown(best, wanted):
    """The maps on the page: those wanted, else all; of more than MAPS the strongest."""
    everything = range(len(best.value)) if len(best.value) <= MAPS else pages.choose(best, None, MAPS)
    return list(everything if wanted is None else wanted)


def _side(net, shown, count):
    """The largest tile that keeps the page's pixels below PIXELS, as {layer: (rows, columns)}."""
    sizes, every = fields(net), range(LARGEST, SMALLEST - 1, -8)
    for limit in every:
        tiles = {name: _bounded(net, sizes[name], limit) for name in shown}
        if limit == every[-1] or sum(2 * count * shown[n] * h * w for n, (h, w) in tiles.items()) <= PIXELS:
            return tiles


def _bounded(net, field, limit):
    height, width = (min(size, length) for size, length in zip(field.size, net.shape[:2], strict=True))
    scale = min(1, limit / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _layer(net, split, name, best, numbers, look, count, side):
    field, shape = fields(net)[name], side[name]
    down = paths.steps(net, name)
    ways = _ways(net, split, name, best, numbers, look, count)
    return {
        "name": user_name(net, name), "object": name, "shape": net.shapes[name], "field": field.size,
        "tile": shape, "shrunk": shape != _bounded(net, field, max(net.shape)), "cell": sheets.cell_size(shape),
        "score": is_score(net, name), "patches": look.patches,
        "whole": pages.window(field, net, 0, 0) == (0, 0, *net.shape[:2]),
        "steps": [{**step, "skipped": _skipped(step["verb"], look.rules)} for step in down],
        "maps": [_map(net, split, name, best, number, ways[number], shape, count) for number in numbers],
    }  # fmt: skip


def _skipped(verb, rules):
    """Whether a step leaves r as it is."""
    return verb == "dropout" or (verb == "norm" and rules.lrn == "identity")


def _ways(net, split, name, best, numbers, look, count):
    """{map: [(Tile, energy, share, sights) of each of its units]}."""
    wanted = [(m, rank) for m in numbers for rank in range(count)]
    units = [tuple(int(column[m, rank]) for column in (best.picture, best.y, best.x)) for m, rank in wanted]
    units = [(picture, m, y, x) for (picture, y, x), (m, _) in zip(units, wanted, strict=True)]
    watched = [rank == 0 and (best.value[m, 0] != 0 or is_score(net, name)) for m, rank in wanted]
    field, found = fields(net)[name], {m: [None] * count for m in numbers}
    words = f"report {user_name(net, name)}"
    with progress_bar(len(units), words, "units") as bar:
        for k, way in paths.follow(net, split, name, units, watched, look.rules):
            (m, rank), (_, _, y, x) = wanted[k], units[k]
            pages.check(best, name, m, rank, way.value)
            dead = way.value == 0 and not is_score(net, name)
            tile = pages.tile(way.r, way.picture, pages.window(field, net, y, x), look, dead)
            found[m][rank] = tile, way.energy, way.share, way.sights
            bar.update()
    return found


def _map(net, split, name, best, number, ways, shape, count):
    dead = ways[0][0].dead
    found = {
        "n": number, "dead": dead,
        "title": _words(net.classes[number]) if is_score(net, name) and net.classes else f"map {number}",
        "units": [
            _unit(net, split, name, best, number, rank, way) for rank, way in enumerate(ways)
        ],
    }  # fmt: skip
    if dead:
        return found
    tiles = [way[0] for way in ways]
    rows = [[tile.projection for tile in tiles], [tile.patch for tile in tiles if tile.patch is not None]]
    found["sheet"] = sheets.sheet([row for row in rows if row], shape)
    found["path"] = sheets.grey_sheet([sight.pixels for sight in ways[0][3]])
    found["strongest"] = [sight.maps for sight in ways[0][3]]
    return found


def _unit(net, split, name, best, number, rank, way):
    y, x = int(best.y[number, rank]), int(best.x[number, rank])
    tile, energy, share, _ = way
    return {
        "value": _short(best.value[number, rank], 6), "y": y, "x": x, "class": int(best.label[number, rank]),
        "picture": split.names[best.picture[number, rank]], "box": fields(net)[name].box(y, x), "dead": tile.dead,
        "energy": [_short(value) for value in energy], "share": [_short(value) for value in share],
    }  # fmt: skip


def _short(value, digits=4):
    """A number of so many digits; whole where it is: what rounding left of it says nothing."""
    value = float(f"{value:.{digits}g}")
    return int(value) if value == int(value) else value


# ---------------------------------------------------------------------------------------------- the net


def _words(name):
    """A class as people say it: n02129165_lion is "lion"."""
    return re.sub(r"^n\d{8}_", "", name).replace("_", " ")


def split_name(data, split):
    """What the pictures scanned are called."""
    return "training" if split is data.train and split is not data.val else "validation"


def net_table(net):
    """[{layer, type, window, output, field, parameters}] from the bottom up."""
    sizes, rows = fields(net), []
    for name, layer in net.layers:
        window = getattr(layer, "window", None)
        rows.append({
            "layer": name, "type": type(layer).__name__, "output": list(net.shapes[name]),
            "window": _window(window) if window is not None else "", "field": list(sizes[name].size),
            "parameters": sum(int(value.size) for value in layer.params.values()),
        })  # fmt: skip
    return rows


def _window(window):
    (height, width), (down, right), pad = window.size, window.stride, window.pad
    text = f"{height}×{width}"
    text += f", stride {down}" if (down, right) != (1, 1) else ""
    return text + (f", pad {max(pad)}" if any(pad) else "")


def history(info):
    """The rows of the training log that can be drawn; what a foreign file says instead is left out."""
    rows = info.get("history")
    rows = rows if isinstance(rows, list) else []
    rows = [row for row in rows if isinstance(row, dict) and all(_is_number(row.get(key)) for key in CURVES)]
    return [{key: _short(row[key], 5) for key in CURVES} for row in rows]


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)


def facts(net, info):
    """[[what, in words]]: the checkpoint at a glance."""
    count, rows = sum(int(value.size) for value in net.params.values()), history(info)
    found = [["Model", net.model or "a net"], ["Parameters", f"{count:,}"]]
    found.append(["Input", f"{net.shape[0]}×{net.shape[1]} pixels, {net.shape[2]} channels"])
    if net.classes:
        found.append(["Classes", f"{len(net.classes):,}"])
    if rows:
        last = rows[-1]
        found.append(["Validation top-1", f"{last['val_top1']:.1%}"])
        found.append(["Validation top-5", f"{last['val_top5']:.1%}"])
        found.append(["Epochs trained", f"{last['epoch']:g}"])
    if isinstance(info.get("data"), str):
        found.append(["Trained on", pathlib.PurePath(info["data"]).name or info["data"]])
    if isinstance(info.get("recipe"), dict):
        found += [[f"Recipe: {str(key)[:40]}", f"{value:g}" if _is_number(value) else str(value)[:80]]
                  for key, value in info["recipe"].items()]  # fmt: skip
    if "seed" in info:
        found.append(["Seed", str(info["seed"])[:40]])
    found.append(["Arithmetic", str(net.dtype)])
    found.append(["Fingerprint", fingerprint(net)[:16]])
    return found


def _filters(net):
    """The first layer's filters as tiles of one sheet, eight in a row: only where they look at colours."""
    name, layer = net.layers[0]
    if not layer.params or to_cpu(layer.weight).shape[2] != 3:
        return None
    pictures = display(np.moveaxis(to_cpu(layer.weight), 3, 0))
    shape, rows = pictures.shape[1:3], [pictures[k : k + 8] for k in range(0, len(pictures), 8)]
    rows[-1] = np.concatenate([rows[-1], np.full((8 - len(rows[-1]), *pictures.shape[1:]), 128, np.uint8)])
    return {
        "layer": name, "count": len(pictures), "tile": shape, "cell": sheets.cell_size(shape),
        "sheet": sheets.sheet(rows, shape), "columns": 8,
    }  # fmt: skip
