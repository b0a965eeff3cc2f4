"""What the pictures of a deconvnet owe to each of its ingredients: the same units, with one of them
exchanged.

    result = run(subject, study, layer="conv4")

The units are the strongest position of every live feature map in its two best validation pictures.
Each is projected as the paper does it and once for every other of VARIANTS, by three rules: through
nets as before training in both directions (Adebayo et al. 2018), through the cascade towards them,
from another unit at its position, and with one thing of the way down exchanged.  What is drawn at
random is drawn for NETS nets.
"""

from typing import NamedTuple

import numpy as np

from ..data.preprocessing import center_crop, preprocess
from ..errors import RawconvError
from ..files.png import png_bytes
from ..machine.arrays import array_module, to_cpu
from ..report.look import LOOK
from ..visualize.controls import SEED, control
from ..visualize.earlier_scans import scan_once
from ..visualize.forward_pass import WORKSPACE, ForwardPass, at_once
from ..visualize.images import crop, display
from ..visualize.projection import project
from ..visualize.units import Unit, is_score, layer_object, user_name
from . import intervals
from .control_page import page
from .control_variants import NETS, variants
from .study import Result

PICTURES = 32  # whose pooled outputs are looked at for shared switches
CHOICE = 9  # a map's place in the order is that of its ninth strongest picture, as in figure 2
BEST = 2  # pictures of each map
TOGETHER = 32  # units in a step
KINDS = "cosine", "correlation", "replaced"
PAIRS = [
    ("deconv", "deconvnet", "untrained"),
    ("gradient", "gradient", "gradient-untrained"),
    ("guided", "guided", "guided-untrained"),
]  # a rule, and the variants with learned weights and without


class Measured(NamedTuple):
    """Units, the variants of their projections, and {"cosine", "correlation", "replaced"}: each (V, NETS, U).

    replaced: 1 where the largest map at its position takes the place of a unit that is 0.  NaN where
    a variant has no such net.
    """

    units: list
    ways: list
    values: dict


def run(subject, study, layer="conv4", units=None, rows=6):
    """A study.Result: the figure with `rows` units, the numbers over the layer's `units` strongest maps.

    units: by default all that are ever above 0.
    RawconvError where the layer has no pooling below, the data one picture alone, or no map is ever above 0.
    """
    net, split = subject.net, subject.data.val
    name = layer_object(net, layer)
    _check(net, split, name)
    top = scan_once(net, subject.data.source, split, [name], CHOICE, study.folder)[0][name]
    maps = strong_maps(top, units or net.shapes[name][2], is_score(net, name))
    if not maps:
        raise RawconvError(
            f"No map of {user_name(net, name)} is above 0 on any picture; there is nothing to project."
        )
    chosen, ways = best_units(net, name, top, maps), variants(net, name)
    measured = _in_steps(subject, study, name, chosen, ways)
    leaders = {
        f"map {number}": next(unit for unit in chosen if unit.channel == number)
        for number in maps[:rows]
    }
    drawn = study.each(
        list(leaders), lambda key: _tiles(subject, name, leaders[key], ways), "draw", "units"
    )
    (shared,) = study.each(
        ["shared switches"],
        lambda _: shares(net, split.read(range(min(PICTURES, len(split)))), name),
    )
    return _result(subject, measured, list(leaders.values()), drawn, shared)


def _check(net, split, name):
    """RawconvError where a control has nothing to exchange."""
    if len(split) < 2:
        raise RawconvError(
            "The control with another picture's switches needs two validation pictures; there is one."
        )
    if not any(node.layer.switches for node in net.path(name)):
        raise RawconvError(
            f"There is no pooling below {user_name(net, name)}, so it has no switches; choose a higher."
        )


def strong_maps(top, count, scores=False):
    """Numbers of the `count` maps of a TopActivations whose weakest kept activation is largest;
    dead ones left out.
    """
    order = np.argsort(-top.value[:, -1], kind="stable")
    return [int(m) for m in order if scores or top.value[m, 0] > 0][:count]


def best_units(net, name, top, maps):
    """[Unit], of each map the strongest position in its two best pictures, those of a picture together.

    top: the TopActivations of the layer; `image` is a sample's number.
    """
    kept = [
        (number, rank)
        for number in maps
        for rank in range(min(BEST, top.value.shape[1]))
        if not rank or top.value[number, rank] > 0
    ]
    user_layer = user_name(net, name)
    return sorted(
        Unit(int(top.image[at]), user_layer, at[0], int(top.y[at]), int(top.x[at])) for at in kept
    )


# ---------------------------------------------------------------------------------------------- units, all variants


def _in_steps(subject, study, name, units, ways):
    """The Measured of all units, in steps of some."""
    step = min(TOGETHER, at_once(subject.net, [name], WORKSPACE))
    parts = study.each(
        [f"units {first} on" for first in range(0, len(units), step)],
        lambda key: _measure(subject, name, units[int(key.split()[1]) :][:step], ways),
        "controls",
        f"steps of {step} units",
    )
    values = {kind: np.concatenate([part[kind] for part in parts], axis=2) for kind in parts[0]}
    return Measured(units, ways, values)


def _measure(subject, name, units, ways):
    """The values of a Measured."""
    number = {way.name: k for k, way in enumerate(ways)}
    passed, others, here = _pass(subject, name, units)
    patches = [_patch(passed, unit) for unit in here]
    values, trained = np.full((3, len(ways), NETS, len(units)), np.nan), {}
    for seed in range(NETS):
        some = [way for way in ways if seed < way.nets]
        for way, projections in _down(passed, here, others, name, some, seed):
            if way.control is None:
                trained[way.name] = [projection.pixels for projection in projections]
            rows = zip(projections, here, trained[way.to], patches, strict=True)
            values[:, number[way.name], seed] = np.transpose([_compare(*row) for row in rows])
    return dict(zip(KINDS, values, strict=True))


def _patch(passed, unit):
    """What a unit sees of its preprocessed picture."""
    return crop(to_cpu(passed.x[unit.image]), unit.inner_box(passed.net))


def _compare(projection, unit, trained, patch):
    """(cosine to the trained net's pixels, correlation with the patch, whether another map was taken)."""
    r, replaced = projection.pixels, projection.unit.channel != unit.channel
    inside = crop(r, unit.inner_box(projection.passed.net))
    return cosine(r, trained), correlation(inside, patch), replaced


def _tiles(subject, name, unit, ways):
    """{patch, tiles (V, h, w, 3)} of one unit, cut to its receptive field; of random nets the first."""
    passed, others, here = _pass(subject, name, [unit])
    box, tiles = here[0].shown_box(subject.net), {}
    for way, (projection,) in _down(passed, here, others, name, ways, 0):
        tiles[way.name] = display(crop(projection.pixels, box, 0), LOOK.percentile)
    patch = crop(center_crop(subject.net, passed.images[:1])[0], box)
    return {"patch": patch, "tiles": [tiles[way.name] for way in ways]}


def _pass(subject, name, units):
    """(ForwardPass of the units' pictures and of those half the data set away, for each of its rows
    the row of the other one, the units with their rows).
    """
    split = subject.data.val
    ids = sorted({unit.image for unit in units})
    images = split.read([*ids, *((image + len(split) // 2) % len(split) for image in ids)])
    passed = ForwardPass(subject.net, preprocess(subject.net, images), [name], images)
    others = (np.arange(2 * len(ids)) + len(ids)) % (2 * len(ids))
    return passed, others, [unit._replace(image=ids.index(unit.image)) for unit in units]


def _down(passed, units, others, name, ways, seed):
    """Yield (Variant, [Projection of each unit]), those without a control first.

    What a control sends up goes up once for all its rules.
    """
    whole = [unit._replace(y=None, x=None, whole=True) for unit in units]
    for exchanged in dict.fromkeys(way.control for way in ways):
        ctrl = control(passed.net, exchanged, SEED + seed)
        above, some = ctrl.instead(passed, name, units) if ctrl else (passed, units)
        below = None if ctrl and ctrl.sets_out else ctrl
        for way in ways:
            if way.control == exchanged:
                asked = whole if way.whole else some
                yield way, list(project(above, asked, way.rules, below, others))


def cosine(a, b):
    """<a, b> / (|a| |b|), in [-1, 1]; NaN where one of them is all 0."""
    a, b = a.astype(float).ravel(), b.astype(float).ravel()
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else float("nan")


def correlation(a, b):
    """Pearson's, over all numbers of two arrays of one shape; NaN where one of them is constant."""
    return cosine(a - a.mean(dtype=float), b - b.mean(dtype=float))


# ---------------------------------------------------------------------------------------------- shared switches


def shares(net, pictures, name):
    """{pool layer: (share of its outputs whose switch another output has chosen as well, of those above 0)}.

    Over stored pictures, in the pools up to layer object `name`.  Among those above 0 only they are asked.
    """
    x, by_layer = preprocess(net, pictures), {}
    for layer_name, y, cache in net.up(x, stop=name):
        if net[layer_name].switches:
            by_layer[layer_name] = [
                _share(net[layer_name], values, cache)
                for values in (array_module(y).ones_like(y), (y > 0).astype(y.dtype))
            ]
    return by_layer


def _share(layer, asked, cache):
    """Of the outputs where `asked` is 1: unpooled, they count how many of them chose each place."""
    chosen = layer.deconv(asked, cache)
    return float(chosen[chosen > 1.5].sum()) / max(1.0, float(asked.sum()))


# ---------------------------------------------------------------------------------------------- what it shows


def _result(subject, measured, leaders, drawn, shared):
    """The Result.

    leaders: the units drawn.  drawn: of each its patch and tiles.  shared: `shares`.
    """
    net, data, units = subject.net, subject.data, measured.units
    numbers = {
        "layer": units[0].layer,
        "units": len(units),
        "maps": len({unit.channel for unit in units}),
        "pictures": len({unit.image for unit in units}),
        "nets": NETS,
        "variants": {way.name: _summary(measured, way) for way in measured.ways},
        "learned": {rule: _learned(measured, *pair) for rule, *pair in PAIRS},
        "shared_switches": {
            pool: {"all": float(values[0]), "above 0": float(values[1])}
            for pool, values in shared.items()
        },
    }
    sentences = _sentences(numbers)
    labels = [f"map {unit.channel}\n{_class_of(data, unit)}" for unit in leaders]
    which = f"{numbers['layer']} of {net.model or 'the net'}, {data.name}"
    figure = page(which, numbers, measured.ways, labels, drawn, sentences)
    return Result(
        numbers, _table(measured, data.val.names), png_bytes(figure, optimize=True), sentences
    )


def _table(measured, names):
    """A row for each unit, variant and net."""
    values = measured.values
    return [
        {"map": unit.channel, "picture": names[unit.image], "y": unit.y, "x": unit.x, "variant": way.name, "net": seed,
         "cosine": values["cosine"][k, seed, u], "correlation": values["correlation"][k, seed, u],
         "replaced": int(values["replaced"][k, seed, u])}
        for u, unit in enumerate(measured.units) for k, way in enumerate(measured.ways) for seed in range(way.nets)
    ]  # fmt: skip


def _of(measured, kind, name):
    """(N, U) values of a variant, of N nets."""
    (k, way), *_ = [each for each in enumerate(measured.ways) if each[1].name == name]
    return measured.values[kind][k, : way.nets]


def _images(measured):
    return np.array([unit.image for unit in measured.units])


def _summary(measured, way):
    """{cosine, correlation: intervals.mean, replaced: share of the units that another map takes the place of}."""
    kinds = {
        kind: intervals.mean(_of(measured, kind, way.name), _images(measured))
        for kind in ("cosine", "correlation")
    }
    if way.nets > 1 and way.control != "mismatched-filters":
        kinds["replaced"] = float(_of(measured, "replaced", way.name).mean())
    return kinds


def _learned(measured, trained, untrained):
    """What the learned weights add: of each unit, its correlation less that of the untrained nets."""
    more = _of(measured, "correlation", trained) - _of(measured, "correlation", untrained)
    return intervals.mean(more, _images(measured))


def _class_of(data, unit):
    return data.classes[int(data.val.labels[unit.image])].replace("_", " ")[:14]


def _sentences(numbers):
    summary = numbers["variants"]

    def value(name, kind="correlation"):
        return intervals.text(summary[name][kind], ".2f")

    learned = intervals.text(numbers["learned"]["deconv"], "+.2f")
    parts = ", ".join(
        f"{pool} {share['all']:.0%} ({share['above 0']:.0%} of those above 0)"
        for pool, share in numbers["shared_switches"].items()
    )
    return [
        f"Correlation with the patch over {numbers['units']} units of {numbers['layer']}: the trained net "
        f"{value('deconvnet')}, {numbers['nets']} untrained ones {value('untrained')}; the learned weights add "
        f"{learned}.  Guided: {value('guided')}, "
        f"untrained {value('guided-untrained')}.",
        f"Another unit at the same position: cosine {value('other-unit', 'cosine')}, guided "
        f"{value('guided-other-unit', 'cosine')}.  Of the units {summary['untrained']['replaced']:.0%} are 0 in an "
        "untrained net, and the largest map there takes their place.",
        f"Pooled outputs whose switch another one shares: {parts}.",
    ]
