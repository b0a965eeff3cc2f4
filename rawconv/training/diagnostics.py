"""What goes wrong in training, noticed early and said in words with the remedy."""

import math

import numpy as np

from ..errors import RawconvError
from ..machine.arrays import array_module

PATIENCE = 1000  # steps after which a loss that has not moved is spoken of
FAST, SPELL = 0.1, 3  # |update| / |weights| that is spoken of where it lasts for so many epochs; most stay near 0.001
FALLS = 0.99  # of the loss at the beginning of such a spell
DEAD = 0.5  # of a layer's maps
DIVERGED = 10  # times the loss of guessing
UNBALANCED = 3  # times as many pictures in the most common class as in the rarest
MIXED = 0.5  # of the classes that a batch of well mixed pictures would hold


def check_data(data):
    """RawconvError where no net can learn from it: one class only, or labels beyond the classes."""
    if len(data.classes) < 2:
        only = data.classes[0] if data.classes else "none"
        raise RawconvError(f"{data.source} has one class ({only}); a net learns to tell at least two apart.")
    for name, split in (("training", data.train), ("validation", data.val)):
        if not len(split):
            raise RawconvError(f"{data.source} has no {name} pictures; add some to every class.")
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= len(data.classes):
            raise RawconvError(
                f"{data.source} has {name} labels from {low} to {high}, but classes 0 to {len(data.classes) - 1}."
            )


def warn_if_sorted(split, batch, seed, say):
    """Say so where the first batches hold far fewer kinds of pictures than well mixed ones would.

    A class of share p is in a mixed batch of n with probability 1 - (1 - p)^n.
    """
    if batch > len(split):
        return
    labels = split.labels[split.order(seed, 0)]
    labels = labels[: min(len(labels) // batch, 100) * batch].reshape(-1, batch)
    share = np.bincount(split.labels) / len(split)
    expected = (1 - (1 - share) ** batch).sum()
    found = 1 + (np.diff(np.sort(labels)) != 0).sum(axis=1).mean()
    if found < MIXED * expected:
        say(
            f"The pictures are not shuffled: a batch of {batch} holds {found:.0f} classes, {expected:.0f} if it were "
            "mixed. A net learns badly from that; pack them with rawconv-data pack, which shuffles."
        )


def warn_if_unbalanced(split, classes, say):
    """Say so where a class has far more training pictures than another, and how to make up for it."""
    counts = np.bincount(split.labels, minlength=len(classes))
    most, least = int(counts.argmax()), int(counts.argmin())
    if not counts[least]:
        without = [name for name, count in zip(classes, counts, strict=True) if not count]
        say(f"No training pictures of {', '.join(without[:3])}{', ...' * (len(without) > 3)}: add some.")
    elif counts[most] > UNBALANCED * counts[least]:
        say(
            f"The classes are unbalanced: {classes[most]} has {counts[most]:,} training pictures, {classes[least]} "
            f"{counts[least]:,}. A net prefers the common ones; --class-weights balanced makes up for it, and the log "
            "has the validation accuracy of each class."
        )


def bound(classes, began=0.0):
    """The mean training loss of an epoch above which a run diverges: ten times that of guessing.

    began: the loss at its beginning.  Where that is above the bound, ten times it: no learning rate made it so large.
    """
    guessing = DIVERGED * math.log(max(2, classes))
    return DIVERGED * began if began > guessing else guessing


def refuse_divergence(row, rows, classes, folder, began=0.0):
    """RawconvError where the epoch of this row of the log left a net that must not replace the last one.

    rows: those of the epochs before.  A net may begin with a large loss: of the first epoch it counts what it came to.
    """
    train, val = row["train_loss"], row["val_loss"]
    most = bound(classes, began)
    high = not train <= most if row["epoch"] > 1 else not (train <= bound(classes) or val <= most)
    if high or not np.isfinite(val):
        guessing = f"where guessing has {bound(classes) / DIVERGED:.2f}"
        what = f"Epoch {row['epoch']} ended with a training loss of {train:.3g} and a validation loss of {val:.3g}"
        raise diverged(f"{what}, {guessing}", row["lr"], rows, classes, folder, began)


def diverged(what, rate, rows, classes, folder, began=0.0):
    """The error of a run whose loss grows without bound; it names the checkpoint to go on from.

    That is the last one, unless its validation loss says that it was on its way up already: then the best one.
    """
    if not rows or rows[-1]["val_loss"] <= bound(classes, began):
        file, again = "last.h5", f"--resume {folder}"
    else:
        file, again = "best.h5", f"--weights {folder}/best.h5 with the same --data"
    return RawconvError(
        f"{what}: the run diverges at a learning rate of {rate:.2g}. {folder}/{file} was written before that; go on "
        f"from it with a lower one: rawconv-train {again} --lr {rate / 5:.1g}"
    )


def update_ratios(net, velocity):
    """{layer: |last update| / |weight|} of all filters, in Euclidean norms."""
    ratios = {}
    for (name, key), value in net.params.items():
        if key == "weight":
            xp = array_module(value)
            size = float(xp.sqrt(xp.square(value).sum()))
            ratios[name] = float(xp.sqrt(xp.square(velocity[name, key]).sum())) / size if size else math.inf
    return ratios


def dead_maps(net, x):
    """{convolution: how many of its maps are above 0 nowhere on the pictures x}, where a rectifier follows."""
    dead = {}
    for name, y, _ in net.up(x):
        if net[name].rectifier:
            dead[net.nodes[name].inputs[0]] = int((~(y > 0).any(axis=(0, 1, 2))).sum())
    return dead


def warn(net, epochs, dead, say):
    """Say which layers change fast while the loss does not fall, and which are mostly dead.

    epochs: [(training loss, update_ratios)] of those that are over.
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
            say(f"{name}: {count} of {maps} maps are dead, above 0 on no picture: lower --lr, or start anew.")


def warn_if_stuck(loss, classes, say):
    """Say so where the loss is that of guessing."""
    if abs(loss - math.log(classes)) < 0.01 * math.log(classes):
        say(
            f"The loss is stuck at ln({classes}) = {math.log(classes):.2f}: the net does not learn. "
            "Try another --lr, and check that the class folders differ."
        )
