"""A net and classes that it has not seen, for the experiments on what its features are worth elsewhere.

With a checkpoint and a data set: the classes of the data that the net does not know, by WordNet's
numbers and by name; the paper likewise took the pictures out that both sets shared.  Without a
checkpoint: a small net is pretrained on the first half of the data's classes, and the other half are
the new ones.
"""

from pathlib import Path

from .. import checkpoint, soundness
from ..data import open_data, voc
from ..data.class_match import renamed
from ..data.preprocessing import stored_size
from ..data.subset import only
from ..errors import RawconvError, UsageError
from ..files.messages import few
from ..machine.arrays import Device
from ..models import recipe
from ..training.runs import limit_columns
from . import subject
from .folds import enough
from .trained import trained

MODEL, SCENES, QUICK = "zf64", "scenes:8000", {"epochs": 1, "batch": 32}
RATE = 500  # pictures a second in training on two cores


def load(
    weights=None, data=None, device=None, workspace=256, least=1, epochs=10, seed=0, quick=False, all_classes=False,
    no_train=False, say=print,
):  # fmt: skip
    """The Subject of a net and classes that are new to it.

    least: pictures to learn from that each of them must have, and one more.  epochs, seed: of the pretraining.  quick:
    a pretraining that shows the form alone.  all_classes: keep those that the checkpoint was
    trained on.  UsageError where weights come without data, or a pretraining is needed and refused;
    RawconvError where the data has too little of something.
    """
    device = device or Device()
    if not weights:
        changes = QUICK if quick else {"epochs": epochs}
        file, new = _pretrained(
            data or ("scenes:600" if quick else SCENES),
            changes,
            seed,
            device,
            (least, no_train),
            say,
        )
        return subject.load(file, new.source, device, workspace)
    if not data:
        raise UsageError(
            f"{weights} is to be tried on pictures it was not trained on; name them with --data."
        )
    if voc.accepts(data):
        return _marked(weights, data, device, workspace)
    loaded = subject.load(weights, data, device, workspace)
    if not all_classes:
        loaded = loaded._replace(data=_new_classes(loaded, weights, data, say))
    enough(loaded.data, least)
    return loaded


def _pretrained(source, changes, seed, device, needs, say):
    """(file of a net trained on the first half of a data set's classes, the DataSet of the other half).

    needs: (`least`, `no_train`) of load.
    """
    least, no_train = needs
    if voc.accepts(source):
        raise UsageError(
            f"{source} has pictures of several classes, which no net is trained on here; name a net with --weights."
        )
    old, new = _halves(source, least)
    minutes = max(0.1, round(len(old.train) * changes["epochs"] / RATE / 60, 1))
    instead = ", or name a net with --weights and pictures with --data"
    return trained(
        MODEL, old.source, changes, seed, device, not no_train, say, minutes, instead
    ), new


def _marked(weights, data, device, workspace):
    """The Subject of a net and VOC's pictures, all of their classes: one picture may be of old and new ones."""
    net, info, _ = checkpoint.load(weights)
    soundness.check_net(net)
    limit_columns(net.to(device), workspace)
    return subject.Subject(
        net, info, Path(weights), voc.open_marked(data, stored_size(net)), device
    )


def _new_classes(loaded, weights, data, say):
    """The data of a Subject without the classes that its net was trained on; `weights` and `data`
    name them.
    """
    shared = known(loaded)
    new = [name for name in loaded.data.classes if name not in shared]
    if not shared:
        return loaded.data
    if len(new) < 2:
        raise RawconvError(
            f"{weights} was trained on {len(shared)} of the {len(loaded.data.classes)} classes of {data}, so that "
            "fewer than two are new to it; name other --data, or add --all-classes to use those it knows as well."
        )
    say(f"Left out, since {weights} was trained on these classes: {_listed(shared)}.")
    return only(loaded.data, new)


def known(subject):
    """{class of the data: the net's name of it} of the classes that the net was trained on: by WordNet's
    numbers, then by name.
    """
    names = renamed(subject.data, subject.net.classes, subject.info.get("wnids", ()))
    pairs = zip(subject.data.classes, names, strict=True)
    return {own: name for own, name in pairs if name in subject.net.classes}


def overlap(subject):
    """A sentence on the classes that are tried and that the net was trained on; "" where there are none."""
    shared = known(subject)
    if not shared:
        return ""
    return (
        f"The net was trained on {len(shared)} of these {len(subject.data.classes)} classes ({_listed(shared)}), and "
        "perhaps on these very pictures: what its features give here is no transfer."
    )


def _listed(shared):
    """ "koala, red_panda (the net's lesser_panda)"."""
    return ", ".join(
        own if own == name else f"{own} (the net's {name})" for own, name in shared.items()
    )


def _halves(source, least):
    """The data set in two, by its classes: to pretrain on, and the new ones."""
    whole = open_data(source, recipe(MODEL).stored, progress=False)
    if len(whole.classes) < 4:
        raise RawconvError(
            f"{source} has {len(whole.classes)} classes, and pretraining on half of them needs four; "
            "name a net with --weights, or other --data."
        )
    half = len(whole.classes) // 2
    old, new = (only(whole, names) for names in (whole.classes[:half], whole.classes[half:]))
    enough(new, least)
    return old, new


def origin(subject):
    """What the net was trained on and what it is tried on, a line for a figure."""
    learned, new = (
        f"{len(names)} classes ({few(names, 6)})"
        for names in (subject.net.classes, subject.data.classes)
    )
    return f"{subject.net.model or 'a net'} pretrained on {learned}, tried on {new}"
