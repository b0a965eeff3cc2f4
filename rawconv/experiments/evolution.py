"""Figure 4: what the strongest unit of a map sees, epoch by epoch.

    result = run(subject, study, twin=[file])   subject: of a net in a run's folder that has snapshots/

Of each snapshot that training left (epochs 1, 2, 5, 10, 20, 30, 40, 64) every map's strongest
activation over all training pictures is projected with that snapshot's weights.  A sudden jump
means that it comes from another picture.  Many maps jump without learning anything new: how many
have another strongest picture in the twin of the net, whose data came in another order, is the null.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from .. import checkpoint
from ..data.subset import take
from ..errors import RawconvError
from ..machine.threads import cut
from ..report.look import LOOK
from ..visualize.forward_pass import forward_pass
from ..visualize.images import crop, display
from ..visualize.projection import project
from ..visualize.top_activations import scan
from ..visualize.units import Unit, layer_names, user_name
from .controls import cosine
from .evolution_page import Snapshots, result
from .twins import filters_of, first_weights, resembles

SEED = 4  # of the random choice of maps
PART = 2048  # pictures of a step


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


def run(subject, study, maps=4, twin=()):
    """A study.Result with `maps` maps of every convolution, drawn at random of those alive in the
    last snapshot, each layer's by itself.

    twin: [the checkpoint of a run of the same net from the same first weights, whose data came in
    another order], or [].
    RawconvError where there are not two snapshots, or they are of another net or no twin's.
    """
    files, split = snapshots(subject.weights), subject.data.train
    initial = first_weights(subject, files[min(files)])
    others = _twin_files(subject, twin[0], files, initial) if twin else {}
    layers = _convolutions(subject.net)
    nets = _nets(subject, files)
    strongest_at = _strongest(study, nets, files, split, layers)
    chosen = {
        user_layer: choose(strongest_at[max(files)][f"{user_layer} value"], maps, number)
        for number, user_layer in enumerate(layers)
    }
    twins = _strongest(study, _nets(subject, others), others, split, layers, "twin, ")
    look = _look(nets, split, layers, chosen, strongest_at, initial)
    drawn = study.each(
        [f"epoch {epoch}" for epoch in files], lambda key: look(int(key[6:])), "project", "epochs"
    )
    drawn = dict(zip(files, drawn, strict=True))
    return result(subject, Snapshots(list(layers), chosen, strongest_at, twins, drawn))


def _convolutions(net):
    """{user's name: layer object} of what is asked for of each convolution."""
    layers = {user_name(net, name): name for name in layer_names(net).values()}
    return {name: layer for name, layer in layers.items() if name in net.convolutions}


def choose(values, count, layer):
    """`count` map numbers at random, always the same, of those whose strongest activation (F,) is above 0.

    layer: its number, so that layers of equal width do not get the same maps.
    """
    alive = np.flatnonzero(values > 0)
    return sorted(np.random.default_rng([SEED, layer]).permutation(alive)[:count].tolist())


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


def _twin_files(subject, weights, files, initial):
    """{epoch: file} of the twin's snapshots; RawconvError where its run is not the same but for the
    order of its data."""
    others, (_, info, _) = snapshots(weights), checkpoint.load(weights)
    alike = all(info.get(key) == subject.info.get(key) for key in ("data", "recipe"))
    alike = alike and info.get("seed") != subject.info.get("seed") and list(others) == list(files)
    if not alike or not resembles(others[min(others)], initial):
        raise RawconvError(
            f"{weights} is no twin of {subject.weights}: that is a run from the same first weights, by the same "
            "recipe, on the same data in another order."
        )
    return others


def _strongest(study, nets, files, split, layers, of=""):
    """{epoch: {"conv1 value", "conv1 image", "conv1 y", "conv1 x" (F,), ...}} over all pictures of
    the split.

    of: how the names of the study's steps begin.
    """
    parts = cut(len(split), PART)
    keys = {
        f"{of}epoch {epoch}, pictures {part.start} to {part.stop}": (epoch, part)
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
        epoch: _merged([steps[key] for key, (at, _) in keys.items() if at == epoch], list(layers))
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
    last = filters_of(nets(max(strongest_at)))

    def look(epoch):
        net, drawn = nets(epoch), {}
        for user_layer, name in layers.items():
            drawn[f"{user_layer} cosine"] = cosine(
                filters_of(net)[user_layer] - initial[user_layer],
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
