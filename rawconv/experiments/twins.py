"""The twin of a net: the same net, trained once more with its data in another order.

    file = twin(subject, device, allow=True, say=say)        last.h5 of the twin, trained where it has to be

It begins from the same first weights; the order of the images, the crops and the dropout masks are
those of another seed.  So map k of one is map k of the other, and what differs between them is what
the order of the data decides.
"""

import numpy as np

from .. import checkpoint
from ..errors import RawconvError, UsageError
from ..files.locks import locked
from ..files.run_folders import clean
from ..machine.arrays import to_cpu
from ..training.log import read_log
from ..training.recipes import Recipe
from ..training.trained_on import data_of
from ..visualize.controls import untrained
from ..visualize.scan_record import fingerprint
from . import trained
from .controls import cosine

# cosine to the first weights below which a run did not begin from those that its seed draws
OWN_START = 0.1


def filters_of(net):
    """{layer: its weight on the CPU} of all layers that learn."""
    return {name: to_cpu(layer.weight) for name, layer in net.layers if layer.params}


def first_weights(subject, early):
    """{layer: weight} before training, from the run's seed; zeros where the run began from other weights.

    early: the file of the run's first snapshot.  A net that was trained on from a checkpoint has
    forgotten where it began.  One that began from its seed still resembles those weights after an
    epoch.
    """
    seed, weights = subject.info.get("seed"), filters_of(subject.net)
    drawn = (
        filters_of(untrained(subject.net, seed)) if isinstance(seed, int) and seed >= 0 else None
    )
    if drawn and resembles(early, drawn):
        return drawn
    return {name: np.zeros_like(weight) for name, weight in weights.items()}


def resembles(early, first):
    """Whether the net in the file `early`, trained for an epoch or so, began from the weights `first`."""
    weights = filters_of(checkpoint.load(early).net)
    return any(
        weight.shape == first[name].shape and cosine(weight, first[name]) > OWN_START
        for name, weight in weights.items()
        if name in first
    )


def twin(subject, early, allow=True, say=print):
    """Path of the last.h5 of the twin of a Subject's net; one that was interrupted is trained to its end.

    early: the file of the run's first snapshot.  RawconvError where the run did not begin from the
    weights that its seed draws, UsageError where the twin is not there and `allow` is false.
    """
    info, seed = subject.info, subject.info.get("seed")
    if not any(weight.any() for weight in first_weights(subject, early).values()):
        raise RawconvError(
            f"{subject.weights} did not begin from the weights that its seed draws, so nothing else can begin "
            "from the same ones; leave --train-twin out."
        )
    name = f"{subject.net.model or 'net'}-twin-{fingerprint(subject.net)[:8]}"
    folder = trained.ROOT / clean(name)
    if trained.is_finished(folder / "last.h5"):
        return folder / "last.h5"
    recipe, minutes = Recipe.from_json(info["recipe"]), _minutes(subject)
    if not allow:
        raise UsageError(
            f"The twin of {subject.weights} is needed and not in {folder}; leave --no-train out."
        )
    say(
        f"Training the same net with its data in another order, about {minutes:.2g} min; it is kept in {folder}."
    )
    data = data_of(subject.net, subject.weights, info)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        first = untrained(subject.net, seed)
        trained.train_in(folder, lambda: (first, recipe), data, seed + 1, subject.device, say=say)
    return folder / "last.h5"


def _minutes(subject):
    """What the run itself took, by its log."""
    rows = read_log(subject.weights.parent, subject.info["recipe"]["epochs"])
    return sum(row["seconds"] for row in rows) / 60
