"""Nets of Table 3 that were trained elsewhere, by rawconv-train: which they are, and whether they may
stand in one table.

    nets = read(["runs/alex64-groups-photos-1", "runs/alex64-without-67-photos-1/last.h5"])
    images = pictures(nets, data=None)
    result = ablation.measure(nets, images, study)
"""

from pathlib import Path
from typing import NamedTuple

from .. import checkpoint, soundness
from ..data.class_match import matched
from ..data.identity import fingerprint
from ..errors import RawconvError, UsageError
from ..layers.dropout import Dropout
from ..training.optimizer import Schedule
from ..training.recipes import Recipe
from ..training.trained_on import data_of
from ..visualize.scan_record import fingerprint as weights_key
from .ablation_table import BASES, rows

EQUAL = (
    "the rows of Table 3 are comparable where nothing but the net differs; leave one of them out"
)


class TrainedNet(NamedTuple):
    """What a checkpoint says of itself.

    dropout: the rates of its dropout layers, each once.  pictures: {"train", "val": numbers,
    "sha256"}, {} in older files.  sha256: of its weights.
    """

    file: Path
    model: str
    seed: int
    recipe: Recipe
    dropout: tuple
    data: str
    pictures: dict
    classes: list
    sha256: str

    def identity(self):
        """All of it that decides the numbers of a table."""
        return {
            "checkpoint": str(self.file),
            "model": self.model,
            "seed": self.seed,
            "sha256": self.sha256,
        }


def read(paths):
    """[TrainedNet] of checkpoints or run folders, in the order of the table and the seeds.

    UsageError: a path does not exist, or is named twice.  RawconvError: one of them is no net of
    the table or was not trained to its end, two are of one model and seed, or they differ in their
    base, recipe, pictures or classes.
    """
    files = [Path(path, "last.h5") if Path(path).is_dir() else Path(path) for path in paths]
    for number, file in enumerate(files):
        if file.resolve() in [other.resolve() for other in files[:number]]:
            raise UsageError(f"{file} is named twice; name each checkpoint once.")
    nets = [_read(file) for file in files]
    for number, net in enumerate(nets):
        _check_together(nets[0], net)
        for other in nets[:number]:
            if (net.model, net.seed) == (other.model, other.seed):
                raise RawconvError(
                    f"{other.file} and {net.file} are both {net.model} trained with seed {net.seed}; name one of them."
                )
    order = list(rows(base_of(nets[0].model)))
    return sorted(nets, key=lambda net: (net.seed, order.index(net.model)))


def base_of(model):
    """The base whose rows hold a model; None where no table does."""
    return next((base for base in BASES if model in rows(base)), None)


def _read(file):
    net, info, state = checkpoint.load(file)
    if not base_of(net.model):
        raise RawconvError(
            f"{file} is a {net.model or 'net without a name'}, which is no row of Table 3; the rows are "
            f"{', '.join(rows('zf64'))}, or those of zfnet in the same way."
        )
    if not {"recipe", "seed", "history"} <= info.keys():
        raise RawconvError(
            f"{file} does not say how it was trained; name checkpoints that rawconv-train wrote."
        )
    recipe = Recipe.from_json(info["recipe"])
    _check_ended(file, recipe, info["history"], state)
    soundness.check_net(net)
    # the table's nets differ in their layers, and must not in this setting of theirs
    dropout = {layer.rate for _, layer in net.layers if isinstance(layer, Dropout)}
    return TrainedNet(
        file, net.model, info["seed"], recipe, tuple(sorted(dropout)), info.get("data", ""),
        info.get("pictures") or {}, net.classes, weights_key(net),
    )  # fmt: skip


def _check_ended(file, recipe, history, state):
    """RawconvError: the epochs are not all done, and the plateau has not ended them."""
    done = state["progress"]["epoch"] if state else len(history)
    schedule = Schedule(recipe.schedule, recipe.lr, recipe.epochs, recipe.warmup)
    going = all([schedule.after_epoch(row["val_top1"]) for row in history])
    if state:
        going = state["progress"]["schedule"]["cuts"] < Schedule.CUTS
    if done < recipe.epochs and going:
        raise RawconvError(
            f"{file} is of epoch {done} of {recipe.epochs}; train it to its end with rawconv-train --resume, "
            "or name the last.h5 of its run."
        )


def _check_together(first, net):
    """RawconvError: two nets cannot stand in one table."""
    pair = f"{first.file} and {net.file}"
    if base_of(net.model) != base_of(first.model):
        raise RawconvError(
            f"{pair} are of two tables, {first.model} of base {base_of(first.model)} and {net.model} of base "
            f"{base_of(net.model)}; name nets of one of them."
        )
    if differ := _differences(first, net):
        raise RawconvError(f"{pair} were trained differently: {', '.join(differ)}; {EQUAL}.")
    if sorted(first.classes) != sorted(net.classes):
        raise RawconvError(
            f"{pair} know different classes, {len(first.classes)} and {len(net.classes)}; {EQUAL}."
        )
    if not _same_pictures(first, net):
        raise RawconvError(
            f"{pair} were trained on different pictures, of {first.data or 'unknown data'} and of "
            f"{net.data or 'unknown data'}; {EQUAL}."
        )


def _differences(first, net):
    """["lr 0.01 and 0.25", ...]: the settings that two trainings do not share."""
    ours, theirs = first.recipe.to_json(), net.recipe.to_json()
    differ = [
        f"{name} {_value(ours[name])} and {_value(theirs[name])}"
        for name in ours
        if ours[name] != theirs[name]
    ]
    if first.dropout and net.dropout and first.dropout != net.dropout:
        both = (" and ".join(map(str, dropout)) for dropout in (first.dropout, net.dropout))
        differ.append("dropout {} and {}".format(*both))
    return differ


def _same_pictures(first, net):
    """By their numbers and digest, or by the name of the data where an older file has none."""
    if first.pictures and net.pictures:
        return first.pictures == net.pictures
    return first.data == net.data


def _value(value):
    """A setting, if it is short."""
    return str(value) if len(str(value)) <= 20 else "(a long list)"


def pictures(nets, data=None):
    """The DataSet that the nets were trained on: `data`, or what the first of them names.

    RawconvError: it has other classes or other pictures.
    """
    first = nets[0]
    net, info, _ = checkpoint.load(first.file)
    images = data_of(net, first.file, info, data)
    images = matched(images, net.classes, first.file, wnids=info.get("wnids", ()))
    if first.pictures and fingerprint(images) != first.pictures:
        raise RawconvError(
            f"{images.source} does not hold the pictures that {first.file} was trained on; name those with --data."
        )
    return images
