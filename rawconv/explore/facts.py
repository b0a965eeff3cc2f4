"""What the page is told of a net when it opens."""

from __future__ import annotations

from typing import Any

from ..errors import RawconvError
from ..net import IMAGE, Net
from ..visualize.controls import SENTENCES
from ..visualize.receptive_field import fields
from ..visualize.units import is_score, layer_names
from .asked import CHOICES


def check_shown(net: Net) -> None:
    """RawconvError: there is nothing in the net that the page could show."""
    if net.shape[2] != 3:
        raise RawconvError(
            f"The explorer shows nets that look at colours, in 3 channels; this one takes images of {net.shape[2]}."
        )
    if not net.params:
        raise RawconvError("This net has no weights, so there is nothing in it to look into.")


def net_facts(net: Net) -> dict[str, Any]:
    """{"model", "classes", "shape", "pixel", "rules", "layers", "kinds": of all layers}."""
    return {
        "model": net.model or "net", "classes": _classes(net), "shape": net.shape, "has_scores": net.has_scores,
        "pixel": "Of 0 to 255, minus the mean of the training pictures: 0 is grey, and signs are kept.",
        "rules": {**CHOICES, "controls": _controls(net)}, "layers": _layers(net),
        "kinds": sorted({type(layer).__name__.lower() for _, layer in net.layers}),
    }  # fmt: skip


def _classes(net: Net) -> list[str]:
    """The names of the classes, numbers where a net that ends in scores has none."""
    return list(net.classes) or [str(k) for k in range(net.shapes[net.output][2] * net.has_scores)]


def _controls(net: Net) -> list[dict[str, str]]:
    """[{"name", "sentence"}], each cascade by itself."""
    rows = []
    for kind, sentence in SENTENCES.items():
        if kind != "cascade":
            rows.append({"name": kind, "sentence": sentence})
            continue
        depth = sum(bool(layer.params) for _, layer in net.layers)
        rows += [
            {"name": f"cascade-{steps}", "sentence": sentence.format(steps)}
            for steps in range(1, min(depth, 8) + 1)
        ]
    return rows


def _layers(net: Net) -> list[dict[str, Any]]:
    """A row for each layer that users name; its inputs are those of such layers that it is made of."""
    sizes, named = fields(net), layer_names(net)
    rows = []
    for name, node in named.items():
        base = name if name in net.nodes else node
        field = sizes[node]
        rows.append({
            "name": name, "node": node, "inputs": _inputs(net, base, set(named.values())), "kind": _kind(net, base),
            "shape": net.shapes[node], "field": field.size, "stride": field.jump,
            "start": field.start, "units": True, "scores": is_score(net, node),
        })  # fmt: skip
    return rows


def _inputs(net: Net, base: str, named: set[str]) -> list[str]:
    """The named layer objects, or "" for the picture, that a layer takes, past those without a name."""
    inputs: list[str] = []
    for below in net.nodes[base].inputs:
        known = below == IMAGE or below in named
        inputs += [below] if known else _inputs(net, below, named)
    return list(dict.fromkeys(inputs))


def _kind(net: Net, name: str) -> str:
    """ "conv", "fc", "maxpool", "averagepool", "add", ...: the class of a layer, "fc" of a Conv over a whole map."""
    layer = net[name]
    if layer.window and layer.params:
        return "conv" if name in net.convolutions else "fc"
    return type(layer).__name__.lower()
