"""From strongest units to figures: Zeiler & Fergus 2013, figure 2, for one layer, and the page of a single picture.

`layer_pages` and `picture_page` return what `rawconv-visualize` writes: [(file name, Pillow picture)] and a description
of it for index.json.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import soundness
from ..data.pictures import check_count, is_batch, stored_batch
from ..data.preprocessing import center_crop, preprocess, stored_size
from ..errors import RawconvError
from ..files.progress import progress_bar
from ..layers import PAPER, Rules
from ..layers.softmax import softmax
from ..machine.arrays import to_cpu
from ..machine.threads import cut
from ..visualize.controls import SENTENCES, Control
from ..visualize.images import crop, display
from ..visualize.projection import project_units
from ..visualize.receptive_field import fields
from ..visualize.units import is_score, layer_object, user_name
from . import figures

if TYPE_CHECKING:
    from ..data.pictures import Batch
    from ..net import Net

PAGE = 18  # maps on a page
OVERVIEW = 512  # maps on an overview
PROJECTION_BYTES = 128 << 20  # of projections held at once, before they are cut to their fields
TOLERANCE = 1e-4  # of the layer's largest activation


class Look(NamedTuple):
    """How things are drawn: rules of the way down; percentile of |r| that is full contrast; with patches or without;
    a controls.Control or None."""

    rules: Rules = PAPER
    percentile: float = 99.5
    patches: bool = True
    control: Control | None = None

    def sentence(self):
        rules = self.rules
        full = "largest |value|" if self.percentile == 100 else f"{self.percentile:g}th percentile of |value|"
        return (
            f"Grey is 0, full contrast the {full} of each projection by itself. "
            f"Rule {rules.relu}, shared switches {rules.shared_switches}, LRN {rules.lrn}."
            + (f" {SENTENCES[self.control.name]}" if self.control else "")
        )


LOOK = Look()


# ---------------------------------------------------------------------------------------------- a layer over a data set


def layer_pages(net, data, split, layer, found, title, wanted=None, look=LOOK, count=9):
    """([(file name, picture)], description) of one layer: the chosen maps in the paper's grid, all maps in one look.

    found: its top_activations.TopActivations.  wanted: map numbers; None: those `choose` picks.
    """
    name, count = layer_object(net, layer), min(count, found.value.shape[1])
    given, maps = user_name(net, name), net.shapes[name][2]
    chosen = choose(found, wanted)
    drawn = tiles(net, split, name, found, chosen, count, look)
    blocks = [_block(net, data, name, found, number, drawn[number]) for number in chosen]
    size = fields(net)[name].size
    about = f"{count} strongest activations of each map in {len(split):,} pictures, one a picture"
    how = "as asked" if wanted is not None else f"those with the largest {_ordinal(count)} activation"
    legend = _legend(count, size, net.shape[:2], look)
    pages = []
    for number, part in enumerate(cut(len(blocks), PAGE)):
        file = f"{given}.png" if len(blocks) <= PAGE else f"{given}-{number + 1}.png"
        subtitle = f"{len(blocks)} of {maps} maps, {how}; {about}" if len(blocks) < maps else f"{maps} maps; {about}"
        pages.append((file, figures.grid(blocks[part], count, title, subtitle, legend, look.patches), chosen[part]))
    pages.append(_overview(net, data, split, name, found, title, look))
    if name == layer_object(net, next(iter(net.shapes))):
        pages.append(_filters(net, given, title))
    dead = [] if is_score(net, name) else np.flatnonzero(found.value[:, 0] == 0).tolist()
    description = {
        "layer": given, "object": name, "maps": maps, "field": list(size), "dead": dead,
        "figures": [{"file": file, "maps": list(numbers)} for file, _, numbers in pages],
        "units": {str(number): _units(net, data, split, name, found, number, count) for number in chosen},
    }  # fmt: skip
    return [(file, page) for file, page, _ in pages], description


def choose(found, wanted=None, count=PAGE):
    """Map numbers to show: those `wanted`, or the `count` whose weakest shown activation is the largest.

    That rule prefers maps that fire fully on all of their pictures; of dead maps it is 0, so they come last.
    """
    if wanted is not None:
        return list(wanted)
    order = np.argsort(-found.value[:, -1], kind="stable")[:count]
    return sorted(order.tolist())


def tiles(net, split, layer, found, maps, count, look=LOOK):
    """{map: [Tile of each of its `count` strongest units]}.  RawconvError where an activation is not what it was."""
    name, size = layer_object(net, layer), int(np.prod(net.shape)) * 4
    wanted = [
        (int(found.picture[m, i]), m, int(found.y[m, i]), int(found.x[m, i]), i) for m in maps for i in range(count)
    ]
    wanted.sort()  # by picture, so that each goes up once
    field, drawn = fields(net)[name], {}
    bar = progress_bar(len(wanted), f"project {user_name(net, name)}", "units")
    for part in cut(len(wanted), max(1, PROJECTION_BYTES // size)):
        some = wanted[part]
        ids, rows = np.unique([unit[0] for unit in some], return_inverse=True)
        pictures = split.read(ids)
        units = np.column_stack([rows, np.array(some)[:, 1:4]])
        others = _others(net, split, ids, look)
        way = (net, preprocess(net, pictures), name, units, look.rules, False, look.control, others)
        r, values = (to_cpu(a) for a in project_units(*way))
        looks = center_crop(net, pictures)
        for k, (_, number, y, x, rank) in enumerate(some):
            check(found, name, number, rank, values[k])
            dead = values[k] == 0 and not is_score(net, name)
            drawn[number, rank] = tile(r[k], looks[rows[k]], window(field, net, y, x), look, dead)
        bar.update(len(some))
    bar.close()
    return {m: [drawn[m, rank] for rank in range(count)] for m in maps}


def _others(net, split, ids, look):
    """For --control other-switches: of each picture another one, half the data set away."""
    if look.control is None or look.control.name != "other-switches":
        return None
    if len(split) < 2:
        raise RawconvError("--control other-switches needs another picture; the data set has only one.")
    other, back = np.unique((ids + len(split) // 2) % len(split), return_inverse=True)
    return preprocess(net, split.read(other)[back])


def window(field, net, y, x):
    """What is shown of a unit: the box of its field, but the picture's own rows (columns) where the field has more."""
    top, left, bottom, right = field.box(y, x)
    height, width = net.shape[:2]
    top, bottom = (0, height) if bottom - top >= height else (top, bottom)
    left, right = (0, width) if right - left >= width else (left, right)
    return top, left, bottom, right


def tile(r, picture, box, look, dead=False):
    """Cut to the field, then scaled: what lies outside of it has no say."""
    projection = display(crop(r, box, 0), look.percentile)
    return figures.Tile(projection, crop(picture, box) if look.patches else None, dead)


def check(found, name, number, rank, value):
    before, largest = found.value[number, rank], np.abs(found.value).max()
    if not abs(value - before) <= TOLERANCE * largest:
        raise RawconvError(
            f"Map {number} of {name} is {value:.6g} on picture {found.picture[number, rank]} of the data set, but the "
            f"scan found {before:.6g}: the data or the weights have changed since. Visualise into a new folder."
        )


def _map_name(net, name, number):
    """ "map 17", or of a class score the name of its class."""
    return net.classes[number].replace("_", " ") if is_score(net, name) and net.classes else f"map {number}"


def _block(net, data, name, found, number, drawn):
    values, labels = found.value[number], found.label[number]
    title = _map_name(net, name, number)
    if not is_score(net, name) and values[0] == 0:
        return figures.Block(title, "never above 0", drawn)
    label, times = Counter(labels[: len(drawn)].tolist()).most_common(1)[0]
    note = f"{values[0]:.3g} to {values[len(drawn) - 1]:.3g}"
    if 2 * times > len(drawn) > 1:
        note += f", {times} of {len(drawn)} {data.classes[label].replace('_', ' ')}"
    return figures.Block(title, note, drawn)


def _overview(net, data, split, name, found, title, look):
    maps, given = net.shapes[name][2], user_name(net, name)
    chosen = list(range(maps)) if maps <= OVERVIEW else choose(found, None, OVERVIEW)
    drawn = tiles(net, split, name, found, chosen, 1, look)
    names = {number: _map_name(net, name, number).removeprefix("map ") for number in chosen}
    blocks = [figures.Block(names[number], "", drawn[number]) for number in chosen]
    subtitle = f"all {maps} maps" if len(chosen) == maps else f"{len(chosen)} of {maps} maps, the strongest"
    legend = "The strongest unit of each map: its projection" + (
        " and, below it, the patch it saw. " if look.patches else ". "
    )
    page = figures.overview(blocks, title, f"{subtitle}, by number", legend + look.sentence(), look.patches)
    return f"{given}-all.png", page, chosen


def _filters(net, given, title):
    weight = to_cpu(net[next(iter(net.shapes))].weight)
    rows, columns, _, maps = weight.shape
    legend = "The weights themselves, each filter scaled by its own largest |weight|; grey is 0."
    page = figures.filters(weight, title, f"its {maps} filters of {rows}x{columns} pixels", legend)
    return f"{given}-filters.png", page, list(range(maps))


def _units(net, data, split, name, found, number, count):
    field = fields(net)[name]
    return [
        {
            "picture": split.names[found.picture[number, i]],
            "id": int(found.picture[number, i]),
            "label": data.classes[found.label[number, i]],
            "value": float(f"{found.value[number, i]:.6g}"),
            "y": int(found.y[number, i]),
            "x": int(found.x[number, i]),
            "box": list(field.box(int(found.y[number, i]), int(found.x[number, i]))),
        }
        for i in range(count)
    ]


def _legend(count, size, shape, look):
    what = (
        f"the {count} strongest activations of one map, strongest first"
        if count > 1
        else "a map's strongest activation"
    )
    text = f"{what}, each projected down to pixels through its own switches. {look.sentence()}"
    if look.patches:
        field = f"{size[0]}x{size[1]} pixels"
        patch = f"the {field} of the receptive field, grey beyond the picture's border"
        if size[0] >= shape[0] and size[1] >= shape[1]:
            patch = f"the whole picture, since the receptive field of {field} is larger"
        text = f"left: {text} Right: the patches they saw, {patch}."
    text += " After the map's number: the range of those activations and, where most share one, the class."
    return text[0].upper() + text[1:]


def _ordinal(count):
    return f"{count}{'th' if 10 < count % 100 < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"


# ---------------------------------------------------------------------------------------------- a single picture


def classify(net: Net, picture: Batch, count: int = 5) -> list:
    """The `count` most probable classes of a picture: [(class name, probability), ...]; of several, a list of these.

    picture: a path, a Pillow picture, uint8 (H, W, 3), (H, W) or (H, W, 4) of any size; several: pictures.py.
    UsageError where `count` is no whole number from 1 on.  RawconvError, naming the layer, where the net has no score
    for each class or its scores are not finite.
    """
    check_count(count, "count")
    stored = stored_batch(picture, stored_size(net))
    soundness.check_scores(net)
    with np.errstate(over="ignore", invalid="ignore"):
        scores, _ = net.forward(preprocess(net, stored), keep=False)
    soundness.check_finite(net, scores, preprocess(net, stored))
    p = to_cpu(softmax(scores)).reshape(len(stored), -1)
    names = net.classes or [str(k) for k in range(p.shape[1])]
    order = np.argsort(-p, axis=1, kind="stable")[:, :count]
    found = [[(names[k], float(row[k])) for k in best] for row, best in zip(p, order, strict=True)]
    return found if is_batch(picture) else found[0]


def picture_page(net, picture, layer, title, wanted=None, look=LOOK, count=9, other=None):
    """(Pillow picture, description) of one stored picture, uint8 (S, S, 3): its strongest units in a layer.

    Of each map the strongest place; of the maps (or those `wanted`) the `count` strongest.
    other: the stored picture that --control other-switches takes the switches of.
    """
    name = layer_object(net, layer)
    x = preprocess(net, picture[None])
    with np.errstate(over="ignore", invalid="ignore"):
        y, _ = net.forward(x, name, keep=False)
    soundness.check_finite(net, y, preprocess(net, picture[None]))
    flat = to_cpu(y)[0].reshape(-1, y.shape[3])
    best = flat.max(axis=0)
    numbers = np.argsort(-best, kind="stable") if wanted is None else np.array(list(wanted))
    if wanted is None:
        numbers = numbers[:count][(best[numbers[:count]] != 0) | is_score(net, name)]
    places = flat[:, numbers].argmax(axis=0)
    units = np.stack([np.zeros_like(numbers), numbers, places // y.shape[2], places % y.shape[2]], axis=1)
    others = None if other is None else preprocess(net, other[None])
    r, values = (to_cpu(a) for a in project_units(net, x, name, units, look.rules, False, look.control, others))
    looks, field = center_crop(net, picture[None])[0], fields(net)[name]
    drawn, described = [], []
    for k, (_, number, top, left) in enumerate(units.tolist()):
        box, dead = field.box(top, left), values[k] == 0 and not is_score(net, name)
        heading = _map_name(net, name, number)
        note = "dead: 0 everywhere in the picture" if dead else f"at {top}, {left}: {values[k]:.3g}"
        drawn.append((tile(r[k], looks, window(field, net, top, left), look, dead), box, heading, note))
        described.append({"map": number, "y": top, "x": left, "value": float(f"{values[k]:.6g}"), "box": list(box)})
    given, (rows, columns) = user_name(net, name), field.size
    right = " and the patch it saw" if look.patches else ""
    legend = (
        "Left: the picture; a number marks the centre of each unit's receptive field, the frame is the field of the "
        f"first, {rows}x{columns} pixels. Right: each unit's projection down to pixels through its switches{right}, "
        "with the map, the unit's row and column in it, and its activation. "
    )
    subtitle = (
        f"the {len(units)} strongest units of {given}, one a map" if wanted is None else f"units of {given}, as asked"
    )
    page = figures.one_picture(looks, drawn, title, subtitle, legend + look.sentence())
    return page, {"layer": given, "object": name, "units": described}
