"""Figure 4: what the strongest unit of a map sees, epoch by epoch.

    result = run(subject, study)                subject: of a net in a run's folder that has snapshots/

Of each snapshot that training left (epochs 1, 2, 5, 10, 20, 30, 40, 64) every map's strongest
activation over all training pictures is projected with that snapshot's weights.  A sudden jump
means that it comes from another picture.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from .. import checkpoint
from ..data.subset import take
from ..errors import RawconvError
from ..files.png import png_bytes
from ..machine.arrays import to_cpu
from ..machine.threads import cut
from ..report.look import LOOK
from ..report.strips import Strip, draw
from ..visualize.controls import untrained
from ..visualize.forward_pass import forward_pass
from ..visualize.images import crop, display
from ..visualize.projection import project
from ..visualize.top_activations import scan
from ..visualize.units import Unit, layer_names, user_name
from .controls import cosine
from .study import Result

SEED = 4  # of the random choice of maps
PART = 2048  # pictures of a step
# cosine to the first weights below which a run did not begin from those that its seed draws
OWN_START = 0.1
PUBLISHED = {
    "epochs": [1, 2, 5, 10, 20, 30, 40, 64],
    "lower_layers": "a few epochs",
    "upper_layers": "40-50 epochs",
}


def snapshots(weights):
    """{epoch: file} of the snapshots beside a checkpoint; RawconvError where there are not two."""
    folder = Path(weights).parent
    folder = folder if folder.name == "snapshots" else folder / "snapshots"
    named = (
        (re.fullmatch(r"epoch-(\d+)\.h5", path.name), path) for path in folder.glob("epoch-*.h5")
    )
    files = dict(sorted((int(match[1]), path) for match, path in named if match))
    if len(files) < 2:
        raise RawconvError(
            f"{folder} holds {len(files)} snapshots, and figure 4 needs two or more; rawconv-train leaves them after "
            "epochs 1, 2, 5, 10, 20, 30, 40 and 64. Name the last.h5 of such a run with --weights."
        )
    return files


def run(subject, study, maps=4):
    """A study.Result with `maps` maps of every convolution, drawn at random of those alive in the
    last snapshot.

    RawconvError where there are not two snapshots, or they are of another net.
    """
    files, split = snapshots(subject.weights), subject.data.train
    layers = {user_name(subject.net, name): name for name in layer_names(subject.net).values()}
    layers = {
        user_layer: name
        for user_layer, name in layers.items()
        if user_layer in subject.net.convolutions
    }
    nets = _nets(subject, files)
    strongest_at = _strongest(study, nets, files, split, layers)
    chosen = {
        user_layer: choose(strongest_at[max(files)][f"{user_layer} value"], maps)
        for user_layer in layers
    }
    look = _look(nets, split, layers, chosen, strongest_at, first_weights(subject, files))
    drawn = study.each(
        [f"epoch {epoch}" for epoch in files], lambda key: look(int(key[6:])), "project", "epochs"
    )
    return _result(subject, layers, chosen, strongest_at, dict(zip(files, drawn, strict=True)))


def choose(values, count):
    """`count` map numbers at random, always the same, of those whose strongest activation (F,) is above 0."""
    alive = np.flatnonzero(values > 0)
    return sorted(np.random.default_rng(SEED).permutation(alive)[:count].tolist())


# ---------------------------------------------------------------------------------------------- the snapshots


def _nets(subject, files):
    """The function epoch -> the net of that snapshot, on the subject's device; the last one asked
    for is kept.
    """

    @lru_cache(1)
    def net(epoch):
        loaded = checkpoint.load(files[epoch]).net
        if loaded.shapes != subject.net.shapes:
            raise RawconvError(
                f"{files[epoch]} is of another net than {subject.weights}; they must be of one run."
            )
        return loaded.to(subject.device)

    return net


def first_weights(subject, files):
    """{convolution: weight} before training, from the run's seed; zeros where the run began from
    other weights.

    A net that was trained on from a checkpoint has forgotten where it began.  One that began from
    its seed still resembles those weights after an epoch.
    """
    seed, weights = subject.info.get("seed"), _filters(subject.net)
    drawn = _filters(untrained(subject.net, seed)) if isinstance(seed, int) and seed >= 0 else None
    early = _filters(checkpoint.load(files[min(files)]).net) if drawn else {}
    own = any(cosine(early[name], drawn[name]) > OWN_START for name in early)
    return drawn if own else {name: np.zeros_like(weight) for name, weight in weights.items()}


def _filters(net):
    return {name: to_cpu(layer.weight) for name, layer in net.layers if layer.params}


def _strongest(study, nets, files, split, layers):
    """{epoch: {"conv1 value", "conv1 picture", "conv1 y", "conv1 x" (F,), ...}} over all pictures
    of the split.
    """
    parts = cut(len(split), PART)
    keys = {
        f"epoch {epoch}, pictures {part.start} to {part.stop}": (epoch, part)
        for epoch in files
        for part in parts
    }

    def find(key):
        epoch, part = keys[key]
        ids, columns = np.arange(part.start, part.stop), {}
        for name, best in scan(
            nets(epoch), take(split, ids), list(layers.values()), 1, progress=False
        ).items():
            user_layer = user_name(nets(epoch), name)
            columns |= {
                f"{user_layer} {column}": getattr(best, column)[:, 0]
                for column in ("value", "image", "y", "x")
            }
            columns[f"{user_layer} image"] += part.start
        return columns

    steps = dict(zip(keys, study.each(list(keys), find, "scan", "parts"), strict=True))
    return {
        epoch: _merged([steps[key] for key, (of, _) in keys.items() if of == epoch], list(layers))
        for epoch in files
    }


def _merged(parts, layers):
    """The strongest of the parts, of equal ones the first."""
    merged = {}
    for user_layer in layers:
        best = np.argmax([part[f"{user_layer} value"] for part in parts], axis=0)
        for column in ("value", "image", "y", "x"):
            values = np.stack([part[f"{user_layer} {column}"] for part in parts])
            merged[f"{user_layer} {column}"] = values[best, np.arange(len(best))]
    return merged


def _look(nets, split, layers, chosen, strongest_at, initial):
    """The function epoch -> {"conv1 cosine": how far its change points to the last one,
    "conv1 tiles": (maps, h, w, 3) of the chosen maps' strongest units}."""
    last = _filters(nets(max(strongest_at)))

    def look(epoch):
        net, drawn = nets(epoch), {}
        for user_layer, name in layers.items():
            drawn[f"{user_layer} cosine"] = cosine(
                _filters(net)[user_layer] - initial[user_layer],
                last[user_layer] - initial[user_layer],
            )
            where = [
                tuple(
                    int(strongest_at[epoch][f"{user_layer} {part}"][m])
                    for part in ("image", "y", "x")
                )
                for m in chosen[user_layer]
            ]
            if where:
                passed = forward_pass(net, split.read([image for image, _, _ in where]), [name])
                rows = enumerate(zip(chosen[user_layer], where, strict=True))
                units = [Unit(row, user_layer, m, y, x) for row, (m, (_, y, x)) in rows]
                drawn[f"{user_layer} tiles"] = [
                    display(crop(projection.pixels, projection.shown_box, 0), LOOK.percentile)
                    for projection in project(passed, units)
                ]
        return drawn

    return look


# ---------------------------------------------------------------------------------------------- what it shows


def jumps(pictures):
    """pictures (epochs, F): which picture is the strongest -> bool, where it is another than in the
    snapshot before.
    """
    pictures = np.asarray(pictures)
    return np.concatenate([np.zeros_like(pictures[:1], bool), pictures[1:] != pictures[:-1]])


def _result(subject, layers, chosen, strongest_at, drawn):
    epochs, data = list(strongest_at), subject.data
    cosines = {
        user_layer: [float(drawn[e][f"{user_layer} cosine"]) for e in epochs]
        for user_layer in layers
    }
    jumped = {
        user_layer: jumps([strongest_at[e][f"{user_layer} image"] for e in epochs])
        for user_layer in layers
    }
    shares = {user_layer: jumped[user_layer].mean(axis=1).tolist() for user_layer in layers}
    rows, strips = [], []
    for user_layer in layers:
        maps, moved = chosen[user_layer], jumped[user_layer]
        rows += _rows(data.train, user_layer, maps, strongest_at, moved)
        if maps:
            strips.append(_strip(user_layer, maps, strongest_at, drawn, moved, cosines[user_layer]))
    sentences = _sentences(cosines, shares, epochs)
    legend = (
        f"Each tile: the map's strongest activation over {len(data.train):,} training pictures, projected with the "
        "weights of that epoch, cut to its receptive field and scaled by itself; grey is 0, and a map that is 0 on all "
        "pictures is dead. A frame marks a jump: the strongest picture is another one than before. Below: cosine "
        "between the change of the layer's weights so far and that up to the last snapshot."
    )
    title, across = (
        "Figure 4: how the maps of each layer evolve in training",
        2 if len(epochs) < 9 else 1,
    )
    page = draw(
        strips,
        title,
        f"{subject.net.model or 'the net'}, {data.name}. {sentences[0]}",
        legend,
        72,
        across,
    )
    numbers = {"epochs": epochs, "cosine_to_last": cosines, "share_of_jumps": shares, "cells": rows}
    return Result(numbers, rows, png_bytes(page, optimize=True), sentences, PUBLISHED)


def _rows(split, user_layer, maps, strongest_at, jumped):
    """The rows of layer `given`: of each map the epochs {number: arrays} of `found`."""
    return [
        _row(split, user_layer, m, epoch, arrays, jumped[k, m])
        for m in maps for k, (epoch, arrays) in enumerate(strongest_at.items())
    ]  # fmt: skip


def _row(split, user_layer, m, epoch, strongest_at, jumped):
    """The strongest unit of map m of layer `given`, as an epoch's arrays `found` have it."""
    image, y, x = (int(strongest_at[f"{user_layer} {what}"][m]) for what in ("image", "y", "x"))
    return {
        "layer": user_layer, "map": m, "epoch": epoch, "picture": split.names[image], "id": image,
        "y": y, "x": x, "value": float(strongest_at[f"{user_layer} value"][m]), "jump": bool(jumped),
    }  # fmt: skip


def _strip(user_layer, maps, strongest_at, drawn, jumped, cosines):
    """The tiles of a layer: a row a map, a column an epoch."""

    def tile(epoch, row, m):
        return (
            drawn[epoch][f"{user_layer} tiles"][row]
            if strongest_at[epoch][f"{user_layer} value"][m]
            else "dead"
        )

    tiles = [[tile(epoch, row, m) for epoch in strongest_at] for row, m in enumerate(maps)]
    marks = {
        (row, k) for row, m in enumerate(maps) for k in range(len(strongest_at)) if jumped[k, m]
    }
    feet = [("cosine", [f"{value:.2f}" if np.isfinite(value) else "–" for value in cosines])]
    return Strip(
        user_layer,
        [f"epoch {epoch}" for epoch in strongest_at],
        [f"map {m}" for m in maps],
        tiles,
        marks,
        feet,
    )


def _sentences(cosines, shares, epochs):
    late = ", ".join(f"{user_layer} {row[-1]:.0%}" for user_layer, row in shares.items())
    reached = ", ".join(
        f"{user_layer} {next(e for e, c in zip(epochs, row, strict=True) if c > 0.9 or e == epochs[-1])}"
        for user_layer, row in cosines.items()
        if np.isfinite(row[-1])
    )
    return [
        f"Maps whose strongest picture is another one at epoch {epochs[-1]} than at epoch {epochs[-2]}: {late}.",
        f"The weights have moved in the direction of their last place (cosine above 0.9) from epoch: {reached}.",
        "The paper: lower layers converge within a few epochs, upper ones only after 40 to 50 of 64.",
    ]
