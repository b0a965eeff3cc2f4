"""The numbers, the figure and the sentences of figure 4, for evolution.py."""

from typing import NamedTuple

import numpy as np

from ..files.png import png_bytes
from ..report.strips import Strip, draw
from . import intervals
from .study import Result

PUBLISHED = {
    "epochs": [1, 2, 5, 10, 20, 30, 40, 64],
    "lower_layers": "a few epochs",
    "upper_layers": "40-50 epochs",
}
NO_TWIN = (
    "Without a twin there is no null: how many maps would have another strongest picture if the data had come in "
    "another order is not known; --train-twin trains one."
)


class Snapshots(NamedTuple):
    """What was found at the epochs of a run.

    layers: users' names.  chosen: {layer: [map]}, those that are drawn.
    strongest, twin: {epoch: {"conv1 value", "conv1 image", "conv1 y", "conv1 x" (F,), ...}} of the
    net and of its twin; the latter {} where there is none.
    drawn: {epoch: {"conv1 cosine", "conv1 tiles" (maps, h, w, 3), ...}}.
    """

    layers: list
    chosen: dict
    strongest: dict
    twin: dict
    drawn: dict

    def cosines(self, layer):
        return [float(drawn[f"{layer} cosine"]) for drawn in self.drawn.values()]

    def jumps(self, layer):
        """(epochs, F): 1 where a map's strongest picture is another than in the snapshot before, 0 where
        it is not, NaN where the map is 0 on all pictures in one of them, or there is none before."""
        epochs = list(self.strongest.values())
        moved = [other_picture(*pair, layer) for pair in zip(epochs[1:], epochs, strict=False)]
        return np.stack([np.full(len(epochs[0][f"{layer} value"]), np.nan), *moved])

    def other_order(self, layer):
        """(epochs, F): the same between the net and its twin at an epoch; NaN without a twin."""
        if not self.twin:
            return np.full_like(self.jumps(layer), np.nan)
        pairs = zip(self.strongest.values(), self.twin.values(), strict=True)
        return np.stack([other_picture(*pair, layer) for pair in pairs])


def other_picture(net, other, layer):
    """(F,) of two nets: 1 where a map has another strongest picture, 0 where the same, NaN where one
    of them has none."""
    differs = (net[f"{layer} image"] != other[f"{layer} image"]).astype(float)
    return np.where((net[f"{layer} value"] > 0) & (other[f"{layer} value"] > 0), differs, np.nan)


def share(values):
    """[interval] of the mean of each row of `values` (epochs, F), by bootstrap over maps."""
    return [intervals.mean(row, np.arange(len(row))) for row in values]


def result(subject, snapshots):
    """The study.Result of a Subject's Snapshots."""
    epochs = list(snapshots.strongest)
    cosines = {layer: snapshots.cosines(layer) for layer in snapshots.layers}
    jumps = {layer: share(snapshots.jumps(layer)) for layer in snapshots.layers}
    null = {
        layer: share(snapshots.other_order(layer)) for layer in snapshots.layers if snapshots.twin
    }
    rows = [
        _row(subject.data.train, snapshots, layer, m, k)
        for layer in snapshots.layers for m in snapshots.chosen[layer] for k in range(len(epochs))
    ]  # fmt: skip
    numbers = {
        "epochs": epochs, "cosine_to_last": cosines,
        "share_of_jumps": {layer: [_plain(interval) for interval in row] for layer, row in jumps.items()},
        "jumps": jumps, "other_order": null, "cells": rows,
    }  # fmt: skip
    lines = sentences(epochs, cosines, jumps, null)
    return Result(numbers, rows, _draw(subject, snapshots, numbers, lines[0]), lines, PUBLISHED)


def _plain(interval):
    """The mean of the interval; 0 where there is none before."""
    return interval["mean"] if interval["units"] else 0.0


def _row(split, snapshots, layer, m, k):
    """The strongest unit of map m of a layer at epoch number k, and whether it jumped there."""
    epoch = list(snapshots.strongest)[k]
    arrays = snapshots.strongest[epoch]
    image, y, x = (int(arrays[f"{layer} {what}"][m]) for what in ("image", "y", "x"))
    return {
        "layer": layer, "map": m, "epoch": epoch, "picture": split.names[image], "id": image,
        "y": y, "x": x, "value": float(arrays[f"{layer} value"][m]),
        "jump": bool(snapshots.jumps(layer)[k, m] == 1),
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------- in words


def sentences(epochs, cosines, jumps, null):
    """What the numbers say: of the last step, beside its null; of lower and upper layers; of the weights.

    jumps, null: {layer: [interval at each epoch]}; null {} without a twin.
    """
    late = _listed({layer: row[-1] for layer, row in jumps.items()})
    reached = ", ".join(
        f"{layer} {next(e for e, c in zip(epochs, row, strict=True) if c > 0.9 or e == epochs[-1])}"
        for layer, row in cosines.items()
        if np.isfinite(row[-1])
    )
    return [
        f"Maps whose strongest picture is another one at epoch {epochs[-1]} than at epoch {epochs[-2]}: {late}.",
        _beside_null(epochs[-1], jumps, null) if null else NO_TWIN,
        _lower_and_upper(jumps),
        f"The weights have moved in the direction of their last place (cosine above 0.9) from epoch: {reached}.",
        "The paper: lower layers converge within a few epochs, upper ones only after 40 to 50 of 64.",
    ]


def _listed(shares):
    """Layers with their shares; of a layer that is dead in one of the snapshots there is none."""
    texts = {
        layer: intervals.text(interval, ".0%") if interval["units"] else "dead"
        for layer, interval in shares.items()
    }
    return ", ".join(f"{layer} {text}" for layer, text in texts.items())


def order(interval, other):
    """-1, 0 or 1: whether an interval lies below another, reaches into it, or lies above."""
    return int(interval["low"] > other["high"]) - int(interval["high"] < other["low"])


def _beside_null(epoch, jumps, null):
    last = {layer: row[-1] for layer, row in null.items()}
    groups = {-1: [], 0: [], 1: []}
    for layer, row in jumps.items():
        groups[order(row[-1], last[layer])].append(layer)
    words = {
        -1: "fewer than that jump in", 0: "no more and no fewer, within the intervals, in", 1: "more in",
    }  # fmt: skip
    compared = "; ".join(
        f"{words[key]} {', '.join(names)}" for key, names in groups.items() if names
    )
    return (
        f"Trained from the same first weights with its data in another order, the net has another strongest picture "
        f"at epoch {epoch} for: {_listed(last)}. Compared with that, {compared}."
    )


def _lower_and_upper(jumps):
    if len(jumps) < 2:
        return "With one layer there is no order of layers."
    lowest, *_, highest = jumps
    ends = [jumps[layer][-1] for layer in (lowest, highest)]
    words = {
        -1: "fewer maps jump in the last step in {} than in {}", 1: "more maps jump in the last step in {} than in {}",
        0: "between {} and {} no order can be told in the last step, the intervals reach into each other",
    }[order(*ends)]  # fmt: skip
    return f"Lowest and highest layer: {words.format(lowest, highest)}."


# ---------------------------------------------------------------------------------------------- the figure


def _draw(subject, snapshots, numbers, sentence):
    """The page as a PNG: of each layer a strip."""
    epochs, data = numbers["epochs"], subject.data
    legend = (
        f"Each tile: the map's strongest activation over {len(data.train):,} training pictures, projected with the "
        "weights of that epoch, cut to its receptive field and scaled by itself, so that its contrast says nothing "
        "of the activation; grey is 0, and a map that is 0 on all pictures is dead. The maps are drawn at random, in "
        "each layer by itself. A frame marks a jump: the strongest picture is another one than before. Below, of all "
        "maps of the layer: jumps, how many jumped"
    )
    legend += (
        "; other order, how many have another strongest picture in the same net trained with its data in another "
        "order"
        if snapshots.twin
        else ""
    )
    legend += "; cosine, between the change of the layer's weights so far and that up to the last snapshot."
    page = draw(
        [
            _strip(snapshots, layer, numbers)
            for layer in snapshots.layers
            if snapshots.chosen[layer]
        ],
        "Figure 4: how the maps of each layer evolve in training",
        f"{subject.net.model or 'the net'}, {data.name}. {sentence}",
        legend,
        72,
        2 if len(epochs) < 9 else 1,
    )
    return png_bytes(page, optimize=True)


def _strip(snapshots, layer, numbers):
    """The tiles of a layer: a row a map, a column an epoch."""
    maps, moved, epochs = snapshots.chosen[layer], snapshots.jumps(layer), numbers["epochs"]

    def tile(epoch, row, m):
        alive = snapshots.strongest[epoch][f"{layer} value"][m]
        return snapshots.drawn[epoch][f"{layer} tiles"][row] if alive else "dead"

    return Strip(
        layer,
        [f"epoch {epoch}" for epoch in epochs],
        [f"map {m}" for m in maps],
        [[tile(epoch, row, m) for epoch in epochs] for row, m in enumerate(maps)],
        {(row, int(k)) for row, m in enumerate(maps) for k in np.flatnonzero(moved[:, m] == 1)},
        _feet(numbers, layer),
    )


def _feet(numbers, layer):
    """[(label, [a word for each epoch])] below the tiles of a layer."""
    cosines = numbers["cosine_to_last"][layer]
    feet = [("jumps", [_percent(interval) for interval in numbers["jumps"][layer]])]
    if numbers["other_order"]:
        feet.append(
            ("other order", [_percent(interval) for interval in numbers["other_order"][layer]])
        )
    return [*feet, ("cosine", [f"{value:.2f}" if np.isfinite(value) else "–" for value in cosines])]


def _percent(interval):
    return f"{interval['mean']:.0%}" if interval["units"] else "–"
