"""What the pictures of a deconvnet owe to each of its ingredients: the same units, with one of them
exchanged.

    result = run(subject, study, layer="conv4")

Each unit is the strongest of its map over the validation pictures.  It is projected once as the
paper does it, once through random weights, with the switches of another picture, without switches,
as a whole map instead of one unit, by the gradient's rule and by guided backpropagation, and with
shared switches combined by max and by overwriting.
"""

from typing import NamedTuple

import numpy as np

from ..data.preprocessing import center_crop, preprocess
from ..errors import RawconvError
from ..files.png import png_bytes
from ..layers import GRADIENT, PAPER, Rules
from ..machine.arrays import array_module, to_cpu
from ..report.look import LOOK
from ..report.strips import Strip, draw
from ..visualize.controls import control
from ..visualize.earlier_scans import scan_once
from ..visualize.forward_pass import forward_pass
from ..visualize.images import crop, display
from ..visualize.projection import project
from ..visualize.units import Unit, is_score, layer_object, user_name
from .study import Result

PICTURES = 32  # whose pooled outputs are looked at for shared switches
CHOICE = 9  # a map's place in the order is that of its ninth strongest picture, as in figure 2


class Variant(NamedTuple):
    """A way down: `name` in files, `head` over its column, a control's name or None, rules, one
    unit or its map.
    """

    name: str
    head: str
    control: str | None = None
    rules: Rules = PAPER
    whole: bool = False


VARIANTS = (
    Variant("deconvnet", "deconvnet"),
    Variant("random-weights", "random weights", "random-weights"),
    Variant("other-switches", "switches of another", "other-switches"),
    Variant("no-switches", "no switches", "no-switches"),
    Variant("whole-map", "whole map", whole=True),
    Variant("gradient", "gradient", rules=GRADIENT),
    Variant("guided", "guided", rules=PAPER._replace(relu="guided")),
    Variant("max", "shared: max", rules=PAPER._replace(shared_switches="max")),
    Variant("overwrite", "shared: overwrite", rules=PAPER._replace(shared_switches="overwrite")),
)


def run(subject, study, layer="conv4", units=64, rows=6):
    """A study.Result: the figure with `rows` units, the numbers over `units` of the layer's strongest maps.

    RawconvError where the layer has no pooling below, the data one picture alone, or no map is ever above 0.
    """
    net, split = subject.net, subject.data.val
    name = layer_object(net, layer)
    if len(split) < 2:
        raise RawconvError(
            "The control with another picture's switches needs two validation pictures; there is one."
        )
    if not _pools(net, name):
        raise RawconvError(
            f"There is no pooling below {user_name(net, name)}, so it has no switches; choose a higher."
        )
    strongest_units = scan_once(net, subject.data.source, split, [name], CHOICE, study.folder)[0][
        name
    ]
    maps = strong_maps(strongest_units, units, is_score(net, name))
    if not maps:
        raise RawconvError(
            f"No map of {user_name(net, name)} is above 0 on any picture; there is nothing to project."
        )
    measure = _measure(subject, name, strongest_units)
    measured = study.each(
        [f"map {number}" for number in maps], lambda key: measure(int(key[4:])), "controls", "units"
    )
    (shared,) = study.each(
        ["shared switches"],
        lambda _: shares(net, split.read(range(min(PICTURES, len(split)))), name),
    )
    return _result(subject, name, strongest_units, maps, measured, shared, min(rows, len(maps)))


def strong_maps(top, count, scores=False):
    """Numbers of the `count` maps of a TopActivations whose weakest kept activation is largest;
    dead ones left out.
    """
    order = np.argsort(-top.value[:, -1], kind="stable")
    return [int(m) for m in order if scores or top.value[m, 0] > 0][:count]


# ---------------------------------------------------------------------------------------------- one unit, all variants


def _measure(subject, name, top):
    """The function map number -> {cosines (V,), correlations (V,), patch, tiles (V, h, w, 3)} of
    its strongest unit.
    """
    net, split = subject.net, subject.data.val
    nets = {variant.control: control(net, variant.control) for variant in VARIANTS}

    def measure(number):
        image, y, x = (int(column[number, 0]) for column in (top.image, top.y, top.x))
        pictures = split.read([image, (image + len(split) // 2) % len(split)])
        passed, unit = (
            forward_pass(net, pictures, [name]),
            Unit(0, user_name(net, name), number, y, x),
        )
        box, ways = (
            unit.shown_box(net),
            [_down(passed, unit, way, nets[way.control]) for way in VARIANTS],
        )
        inside = tuple(np.clip(box, 0, net.shape[:2] * 2).tolist())
        cut, patch = [crop(r, box, 0) for r in ways], crop(to_cpu(passed.x[0]), inside)
        return {
            "cosine": [cosine(r, ways[0]) for r in ways],
            "correlation": [_correlation(crop(r, inside), patch) for r in ways],
            "patch": crop(center_crop(net, pictures[:1])[0], box),
            "tiles": [display(r, LOOK.percentile) for r in cut],
        }

    return measure


def _down(passed, unit, way, control):
    """r (H, W, 3) of a Unit of the first picture by this Variant; the second picture is the other one."""
    unit = unit._replace(y=None, x=None, whole=True) if way.whole else unit
    (projection,) = project(passed, [unit], way.rules, control)
    return projection.pixels


def cosine(a, b):
    """<a, b> / (|a| |b|), in [-1, 1]; NaN where one of them is all 0."""
    a, b = a.astype(float).ravel(), b.astype(float).ravel()
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / size) if size else float("nan")


def _correlation(a, b):
    return cosine(a - a.mean(), b - b.mean())


# ---------------------------------------------------------------------------------------------- shared switches


def _pools(net, name):
    return [node.name for node in net.path(name) if node.layer.switches]


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


def _result(subject, name, top, maps, measured, shared, rows):
    net, data = subject.net, subject.data
    similar = {
        kind: np.array([unit[kind] for unit in measured], float).reshape(len(maps), len(VARIANTS))
        for kind in ("cosine", "correlation")
    }
    summary = {
        way.name: {kind: _summary(values[:, k]) for kind, values in similar.items()}
        for k, way in enumerate(VARIANTS)
    }
    switches = {
        pool: {"all": float(values[0]), "above 0": float(values[1])}
        for pool, values in shared.items()
    }
    table = [
        {"map": number, "picture": data.val.names[top.image[number, 0]], "variant": way.name,
         "cosine": similar["cosine"][row, k], "correlation": similar["correlation"][row, k]}
        for row, number in enumerate(maps) for k, way in enumerate(VARIANTS)
    ]  # fmt: skip
    user_layer = user_name(net, name)
    numbers = {
        "layer": user_layer,
        "units": len(maps),
        "variants": summary,
        "shared_switches": switches,
    }
    sentences = _sentences(summary, switches, len(maps), user_layer)
    drawn = [(number, data.classes[top.label[number, 0]]) for number in maps[:rows]]
    page = _page(net, drawn, measured, summary, sentences, user_layer, data.name)
    return Result(numbers, table, png_bytes(page, optimize=True), sentences)


def _summary(values):
    values = values[np.isfinite(values)]
    mean, std = (
        (float(f(values)) for f in (np.mean, np.std)) if len(values) else (float("nan"),) * 2
    )
    return {"mean": mean, "std": std, "units": len(values)}


def _sentences(summary, switches, count, user_layer):
    cosine = {
        name: kinds["cosine"]["mean"] for name, kinds in summary.items() if name != "deconvnet"
    }
    order = sorted(cosine, key=lambda name: cosine[name] if np.isfinite(cosine[name]) else 2)
    words = ", ".join(f"{name.replace('-', ' ')} {cosine[name]:.2f}" for name in order)
    parts = ", ".join(
        f"{pool} {share['all']:.0%} ({share['above 0']:.0%} of those above 0)"
        for pool, share in switches.items()
    )
    return [
        f"Cosine to the deconvnet's projection, mean over {count} units of {user_layer}: {words}.",
        f"Pooled outputs whose switch another one shares: {parts}.",
    ]


def _page(net, drawn, measured, summary, sentences, user_layer, data):
    rows = [[unit["patch"], *unit["tiles"]] for unit in measured[: len(drawn)]]
    feet = [
        (label, [blank, *(f"{summary[way.name][kind]['mean']:.2f}" for way in VARIANTS)])
        for label, kind, blank in (("cosine", "cosine", ""), ("correlation", "correlation", "1.00"))
    ]
    labels = [f"map {number}\n{name.replace('_', ' ')[:14]}" for number, name in drawn]
    strip = Strip("", ["patch", *(way.head for way in VARIANTS)], labels, rows, feet=feet)
    legend = (
        "Each row: the strongest unit of one map over the validation pictures, cut to its receptive field. Grey is 0, "
        f"full contrast the {LOOK.percentile:g}th percentile of |value| of each projection by itself. Below: cosine to "
        "the deconvnet's projection, and correlation with the patch, means over all units measured. "
        + sentences[1]
    )
    title = "What the pictures owe to weights, switches and rules"
    return draw(
        [strip],
        title,
        f"{user_layer} of {net.model or 'the net'}, {data}. {sentences[0]}",
        legend,
        side=112,
    )
