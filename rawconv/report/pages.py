"""From strongest units to figures: Zeiler & Fergus 2013, figure 2, for one layer, and the page of a
single picture.

`layer_pages` and `picture_page` return what `rawconv-visualize` writes: [(file name, Pillow
picture)] and a description of it for index.json.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from ..files.run_folders import clean
from ..machine.arrays import to_cpu
from ..machine.threads import cut
from ..visualize.projection import project, remedy
from ..visualize.random_maps import described as described_draw
from ..visualize.random_maps import how_chosen
from ..visualize.receptive_field import fields
from ..visualize.top_activations import TopActivations
from ..visualize.units import cut_box, field_box, is_score, layer_object, shown_name, user_name
from . import figures
from .look import LOOK
from .winners import project_winners

PAGE = 18  # maps on a page
OVERVIEW = 512  # maps on an overview


# ---------------------------------------------------------------------------------------------- a layer over a data set


class LayerPlan(NamedTuple):
    """What is shown of a layer.

    name, given: of the layer object and as users name it.  found: its TopActivations, cut to the
    units shown of a map.
    chosen: the numbers of the maps with a block each; how: what chose them, in words; drawn: what index.json
    says of a draw.
    overview: those with their strongest unit alone.
    """

    name: str
    given: str
    found: TopActivations
    chosen: list
    how: str
    drawn: dict
    overview: list

    @property
    def count(self) -> int:  # type: ignore[override]
        """How many units of a chosen map are shown."""
        return self.found.value.shape[1]

    def units(self) -> list:
        """All units that are shown."""
        return self.found.units(self.given, self.chosen) + self.found.units(
            self.given, self.overview, 1
        )


def plan(net, layer, found, wanted=None, count=9) -> LayerPlan:
    """The LayerPlan of a layer.

    found: its TopActivations.  wanted: map numbers; None: those `choose` picks.  count: units of a map.
    """
    name, maps = layer_object(net, layer), range(len(found.value))
    found = found.first(count)
    overview = list(maps) if len(maps) <= OVERVIEW else choose(found, None, OVERVIEW)
    rule = f"those with the largest {_ordinal(found.value.shape[1])} activation"
    how, drawn = how_chosen(wanted, rule), described_draw(wanted)
    return LayerPlan(name, user_name(net, name), found, choose(found, wanted), how, drawn, overview)


def layer_pages(net, data, split, layer, found, title, wanted=None, look=LOOK, count=9):
    """([(file name, picture)], description) of one layer: the chosen maps in the paper's grid, all
    maps in one look.

    found: its TopActivations over `split`.  wanted, count: as of `plan`.
    """
    shown = plan(net, layer, found, wanted, count)
    tiles, _ = project_winners(net, split, {shown.name: found}, shown.units(), look)
    return draw_pages(net, data, split, shown, tiles, title, look)


def draw_pages(net, data, split, shown, tiles, title, look=LOOK):
    """What `layer_pages` returns, of a LayerPlan whose units' tiles, {Unit: Tile}, are there."""
    name, given, found, chosen = shown[:4]
    maps, size = net.shapes[name][2], fields(net)[name].size
    blocks = [_block(net, data, shown, number, tiles) for number in chosen]
    about = (
        f"{shown.count} strongest activations of each map in {len(split):,} pictures, one a picture"
    )
    legend = _legend(shown.count, size, net.shape[:2], look, _tiles_of(blocks))
    legend += _empty_tiles(shown, tiles, look)
    pages = []
    subtitle = (
        f"{len(blocks)} of {maps} maps, {shown.how}; {about}"
        if len(blocks) < maps
        else f"{maps} maps; {about}"
    )
    for number, part in enumerate(cut(len(blocks), PAGE)):
        file = f"{clean(given)}.png" if len(blocks) <= PAGE else f"{clean(given)}-{number + 1}.png"
        page = figures.grid(blocks[part], shown.count, title, subtitle, legend, look.patches)
        pages.append((file, page, chosen[part]))
    pages.append(_overview(net, shown, tiles, title, look))
    if name == layer_object(net, next(iter(net.shapes))):
        pages.append(_filters(net, given, title))
    description = {
        "layer": given, "object": name, "maps": maps, "field": list(size), "dead": _dead(net, name, found),
        "figures": [{"file": file, "maps": list(numbers)} for file, _, numbers in pages],
        "units": {str(number): _units(net, data, split, shown, number) for number in chosen},
    } | shown.drawn  # fmt: skip
    return [(file, page) for file, page, _ in pages], description


def _tiles_of(blocks):
    return [tile for block in blocks for tile in block.tiles]


def _dead(net, name, found):
    """The numbers of the maps that are never above 0; a class score is never dead."""
    return [] if is_score(net, name) else np.flatnonzero(found.value[:, 0] == 0).tolist()


def choose(found, wanted=None, count=PAGE):
    """Map numbers to show: those `wanted`, or the `count` whose weakest shown activation is the largest.

    That rule prefers maps that fire fully on all of their pictures; of dead maps it is 0, so they come last.
    """
    if wanted is not None:
        return list(wanted)
    order = np.argsort(-found.value[:, -1], kind="stable")[:count]
    return sorted(order.tolist())


def _map_name(net, name, number):
    """ "map 17", or of a class score the name of its class."""
    return (
        net.classes[number].replace("_", " ")
        if is_score(net, name) and net.classes
        else f"map {number}"
    )


def _block(net, data, shown, number, tiles):
    drawn = [tiles[unit] for unit in shown.found.units(shown.given, [number])]
    values, labels = shown.found.value[number], shown.found.label[number]
    title = _map_name(net, shown.name, number)
    if not is_score(net, shown.name) and values[0] == 0:
        return figures.Block(title, "never above 0", drawn)
    label, times = Counter(labels.tolist()).most_common(1)[0]
    note = f"{values[0]:.3g} to {values[-1]:.3g}"
    if 2 * times > len(drawn) > 1:
        note += f", {times} of {len(drawn)} {data.classes[label].replace('_', ' ')}"
    return figures.Block(title, note, drawn)


def _overview(net, shown, tiles, title, look):
    maps, units = net.shapes[shown.name][2], shown.found.units(shown.given, shown.overview, 1)
    names = [_map_name(net, shown.name, unit.channel).removeprefix("map ") for unit in units]
    blocks = [
        figures.Block(name, "", [tiles[unit]]) for name, unit in zip(names, units, strict=True)
    ]
    subtitle = (
        f"all {maps} maps" if len(units) == maps else f"{len(units)} of {maps} maps, the strongest"
    )
    legend = "The strongest unit of each map: its projection" + (
        " and, below it, the patch it saw. " if look.patches else ". "
    )
    page = figures.overview(
        blocks,
        title,
        f"{subtitle}, by number",
        legend + look.sentence([tiles[unit] for unit in units]),
        look.patches,
    )
    return f"{clean(shown.given)}-all.png", page, shown.overview


def _filters(net, given, title):
    weight = to_cpu(net[next(iter(net.shapes))].weight)
    rows, columns, _, maps = weight.shape
    legend = "The weights themselves, each filter scaled by its own largest |weight|; grey is 0."
    page = figures.filters(weight, title, f"its {maps} filters of {rows}x{columns} pixels", legend)
    return f"{clean(given)}-filters.png", page, list(range(maps))


def _units(net, data, split, shown, number):
    found, field = shown.found, fields(net)[shown.name]
    return [
        {
            "picture": split.names[unit.image],
            "id": unit.image,
            "label": data.classes[found.label[number, rank]],
            "value": float(f"{found.value[number, rank]:.6g}"),
            "y": unit.y,
            "x": unit.x,
            "box": list(field_box(unit, field, net.shape)),
        }
        for rank, unit in enumerate(found.units(shown.given, [number]))
    ]


def _legend(count, size, shape, look, tiles):
    what = (
        f"the {count} strongest activations of one map, strongest first"
        if count > 1
        else "a map's strongest activation"
    )
    text = f"{what}, each projected down to pixels through its own switches. {look.sentence(tiles)}"
    if look.patches:
        field = f"{size[0]}x{size[1]} pixels"
        patch = f"the {field} of the receptive field, grey beyond the picture's border"
        if size[0] >= shape[0] and size[1] >= shape[1]:
            patch = f"the whole picture, since the receptive field of {field} is larger"
        text = f"left: {text} Right: the patches they saw, {patch}."
    text += " After the map's number: the range of those activations and, where most share one, the class."
    return text[0].upper() + text[1:]


def _empty_tiles(shown, tiles, look):
    """What a legend says of tiles that are "empty", where there are any."""
    if not any(tiles[unit].empty for unit in shown.units()):
        return ""
    why = "nothing of the unit comes down, since a layer on the way passes nothing of it"
    return f' "empty": {why}; {remedy(look.rules)}.'


def _empty(lost):
    """What a legend says of `lost`, the sentences of the units of which nothing comes down."""
    if not lost:
        return ""
    several = (
        f" So it is with {len(lost)} units here, at this layer or another." if len(lost) > 1 else ""
    )
    return f' "empty": {lost[0]}{several}'


def _ordinal(count):
    return f"{count}{'th' if 10 < count % 100 < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"


# ---------------------------------------------------------------------------------------------- a single picture


def image_page(passed, row, layer, title, wanted=None, look=LOOK, count=9, liked=None):
    """(Pillow picture, description) of one image of a ForwardPass: its strongest units in a layer.

    row: the image's.  wanted, count: of each map the strongest place; of the maps these, or the
    `count` strongest.  liked: the Liked that knows what the maps like, or None.
    """
    net, name, image = passed.net, layer_object(passed.net, layer), passed.center_crops()[row]
    units = passed.strongest(name, count, wanted, row)
    liked = liked if liked and name in liked.found else None
    # a patch that is the whole picture stands at the left already
    whole = cut_box(fields(net)[name].box(0, 0), net.shape) == (0, 0, *net.shape[:2])
    look = look._replace(patches=look.patches and not whole)
    drawn, described, lost = [], [], []
    for projection in project(passed, units, look.rules, look.control):
        heading = _map_name(net, name, projection.unit.channel)
        note = _place_note(projection)
        drawn.append((look.tile(projection, image), projection.box, heading, note))
        described.append(_described(projection, liked))
        if projection.empty:
            lost.append(projection.lost())
            described[-1]["empty"] = lost[-1]
    subtitle = _image_subtitle(shown_name(net, name), len(units), wanted)
    legend = _image_legend(fields(net)[name].size, whole, look, liked)
    legend += look.sentence([tile for tile, *_ in drawn]) + _empty(lost)
    nine = liked.patches(units) if liked else {}
    likes = [nine[unit.layer, unit.channel] for unit in units] if liked else ()
    page = figures.one_image(image, drawn, title, subtitle, legend, liked=likes)
    about = {"layer": user_name(net, name), "object": name, "units": described}
    return page, about | described_draw(wanted)


def _image_subtitle(layer, count, wanted):
    if wanted is None:
        return f"the {count} strongest units of {layer}, one a map"
    return f"units of {layer}, maps {how_chosen(wanted, '')}"


def _place_note(projection):
    """What stands after the map of a single picture's unit."""
    if projection.dead:
        return "dead: 0 everywhere in the picture"
    return f"at {projection.unit.y}, {projection.unit.x}: {projection.value:.3g}"


def _described(projection, liked):
    """What index.json says of a single picture's unit."""
    unit, value = projection.unit, float(f"{projection.value:.6g}")
    about = {"map": unit.channel, "y": unit.y, "x": unit.x, "value": value}
    about["box"] = list(projection.box)
    return about | ({"likes": liked.names(unit)} if liked else {})


def _image_legend(size, whole, look, liked):
    """What is what on the page of a single picture; whole: whether a field covers all of the picture."""
    right = ["each unit's projection down to pixels through its switches"]
    right += ["the patch it saw"] if look.patches else []
    right += [f"the patches that excite its map most in {liked.words}"] if liked else []
    *first, last = right
    covers = " It covers the whole picture, so what the units saw is drawn once, here." * whole
    return (
        "Left: the picture; a number marks the centre of each unit's receptive field, the frame is the field of the "
        f"first, {size[0]}x{size[1]} pixels.{covers} Right: {', '.join(first)}{' and ' * bool(first)}{last}, with the "
        "map, the unit's row and column in it, and its activation. "
    )
