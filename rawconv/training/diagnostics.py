"""What goes wrong in training, noticed early, with the remedy in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import RawconvError
from ..machine.arrays import array_module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..data.dataset import DataSet, Split
    from ..files.messages import Say
    from ..machine.arrays import Array
    from ..net import Net
    from .log import Row

PATIENCE = 1000  # steps after which a loss that has not moved is spoken of
# |update| / |weights| that is spoken of where it lasts for so many epochs; most stay near 0.001
FAST, SPELL = 0.1, 3
FALLS = 0.99  # of the loss at the beginning of such a spell
DEAD = 0.5  # of a layer's maps
DIVERGED = 10  # times the loss of guessing
UNBALANCED = 3  # times as many pictures in the most common class as in the rarest
MIXED = 0.5  # of the classes that a batch of well mixed pictures would hold


def check_data(data: DataSet) -> None:
    """RawconvError: no net can learn from these data, which have one class only, no images, or
    labels beyond the classes.
    """
    if len(data.classes) < 2:
        only = data.classes[0] if data.classes else "none"
        raise RawconvError(
            f"{data.source} has one class ({only}); a net learns to tell at least two apart."
        )
    for name, split in (("training", data.train), ("validation", data.val)):
        if not len(split):
            raise RawconvError(f"{data.source} has no {name} pictures; add some to every class.")
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= len(data.classes):
            raise RawconvError(
                f"{data.source} has {name} labels from {low} to {high}, but classes 0 to {len(data.classes) - 1}."
            )


def warn_if_sorted(split: Split, batch: int, seed: int, say: Say) -> None:
    """Say so if the first batches hold far fewer classes than batches of well mixed images would.

    A class of share p is in a mixed batch of n images with probability 1 - (1 - p)^n.
    """
    if batch > len(split):
        return
    labels = split.labels[split.order(seed, 0)]
    labels = labels[: min(len(labels) // batch, 100) * batch].reshape(-1, batch)
    share = np.bincount(split.labels) / len(split)
    expected = (1 - (1 - share) ** batch).sum()
    distinct = 1 + (np.diff(np.sort(labels)) != 0).sum(axis=1).mean()
    if distinct < MIXED * expected:
        say(
            f"The pictures are not shuffled: a batch of {batch} holds {distinct:.0f} classes, {expected:.0f} if it "
            "were mixed. A net learns badly from that; pack them with rawconv-data pack, which shuffles."
        )


def warn_if_unbalanced(split: Split, classes: Sequence[str], say: Say) -> None:
    """Say so if a class has far more training images than another, and what to do about it."""
    counts = np.bincount(split.labels, minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    if not counts[least]:
        without = [name for name, count in zip(classes, counts, strict=True) if not count]
        say(
            f"No training pictures of {', '.join(without[:3])}{', ...' * (len(without) > 3)}: add some."
        )
    elif counts[most] > UNBALANCED * counts[least]:
        say(
            f"The classes are unbalanced: {classes[most]} has {counts[most]:,} training pictures, {classes[least]} "
            f"{counts[least]:,}. A net prefers the common ones; --class-weights balanced makes up for it, and the log "
            "has the validation accuracy of each class."
        )


def bound(classes: int, initial_loss: float = 0.0) -> float:
    """Return the mean training loss of an epoch above which a run diverges: ten times that of guessing.

    initial_loss: if that is above the bound already, the bound is ten times it: no learning rate
    made it so large.
    """
    guessing = DIVERGED * math.log(max(2, classes))
    return DIVERGED * initial_loss if initial_loss > guessing else guessing


def refuse_divergence(
    row: Row, rows: Sequence[Row], classes: int, folder: object, initial_loss: float = 0.0
) -> None:
    """RawconvError: the epoch of this row of the log diverged, so that its net must not replace the
    last checkpoint.

    rows: those of the epochs before.  As a net may begin with a large loss, the first epoch may
    instead end with a small validation loss.
    """
    train, val = row["train_loss"], row["val_loss"]
    most = bound(classes, initial_loss)
    high = not train <= most if row["epoch"] > 1 else not (train <= bound(classes) or val <= most)
    if high or not np.isfinite(val):
        guessing = f"where guessing has {bound(classes) / DIVERGED:.2f}"
        what = f"Epoch {row['epoch']} ended with a training loss of {train:.3g} and a validation loss of {val:.3g}"
        raise diverged(f"{what}, {guessing}", row["lr"], rows, classes, folder, initial_loss)


def diverged(
    what: str,
    rate: float,
    rows: Sequence[Row],
    classes: int,
    folder: object,
    initial_loss: float = 0.0,
) -> RawconvError:
    """Return the error for a run whose loss grows without bound; it names the checkpoint from which
    to continue.

    That is the last one, or the best one if the validation loss of the last was growing already.
    """
    if not rows or rows[-1]["val_loss"] <= bound(classes, initial_loss):
        file, again = "last.h5", f"--resume {folder}"
    else:
        file, again = "best.h5", f"--weights {folder}/best.h5 with the same --data"
    return RawconvError(
        f"{what}: the run diverges at a learning rate of {rate:.2g}. {folder}/{file} was written before that; go on "
        f"from it with a lower one: rawconv-train {again} --lr {rate / 5:.1g}"
    )


def update_ratios(net: Net, velocity: Mapping[tuple[str, str], Array]) -> dict[str, float]:
    """Return {layer: |last update| / |weight|} of all filters, in Euclidean norms."""
    ratios = {}
    for (name, key), value in net.params.items():
        if key == "weight":
            xp = array_module(value)
            size = float(xp.sqrt(xp.square(value).sum()))
            ratios[name] = (
                float(xp.sqrt(xp.square(velocity[name, key]).sum())) / size if size else math.inf
            )
    return ratios


def dead_maps(net: Net, x: Array) -> dict[str, int]:
    """Return {convolution: how many of its channels are above 0 nowhere on the images x}, where a
    ReLU follows.
    """
    dead = {}
    for name, y, _ in net.up(x):
        if net[name].rectifier:
            dead[net.nodes[name].inputs[0]] = int((~(y > 0).any(axis=(0, 1, 2))).sum())
    return dead


def warn(
    net: Net, epochs: Sequence[tuple[float, dict[str, float]]], dead: dict[str, int], say: Say
) -> None:
    """Say which layers change fast while the loss does not fall, and which are mostly dead.

    epochs: [(training loss, update_ratios)] of the epochs so far.
    """
    spell = epochs[-SPELL:]
    if len(spell) == SPELL and not spell[-1][0] < FALLS * spell[0][0]:
        for name in spell[-1][1]:
            if all(ratios[name] > FAST for _, ratios in spell):
                say(
                    f"{name}: the last update is {spell[-1][1][name]:.0%} of the weights' norm, and it was above "
                    f"{FAST:.0%} for {SPELL} epochs, in which the training loss went from {spell[0][0]:.3f} to "
                    f"{spell[-1][0]:.3f}. Try a lower --lr."
                )
    for name, count in dead.items():
        maps = net.shapes[name][2]
        if count > DEAD * maps:
            say(
                f"{name}: {count} of {maps} maps are dead, above 0 on no picture: lower --lr, or start anew."
            )


def warn_if_stuck(loss: float, classes: int, say: Say) -> None:
    """Say so if the loss is that of guessing."""
    if abs(loss - math.log(classes)) < 0.01 * math.log(classes):
        say(
            f"The loss is stuck at ln({classes}) = {math.log(classes):.2f}: the net does not learn. "
            "Try another --lr, and check that the class folders differ."
        )
