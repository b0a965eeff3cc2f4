"""What an experiment is about: a net from a checkpoint, the pictures it is shown, and the device."""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import checkpoint, soundness
from ..data import DataSet
from ..data.batches import batches
from ..data.class_match import how_ordered, in_their_order, renamed
from ..data.dataset import Split
from ..data.images import split_of
from ..data.preprocessing import net_module, preprocess, stored_size
from ..errors import RawconvError, UsageError
from ..files.messages import escaped, warn
from ..files.run_folders import result_folder
from ..layers.softmax import softmax
from ..machine.arrays import Device, to_cpu
from ..net import Net
from ..report.figure2 import read_images
from ..training.evaluation import VIEWS
from ..training.runs import limit_columns
from ..training.trained_on import data_of
from ..visualize.class_number import class_number
from ..visualize.forward_pass import WORKSPACE
from ..visualize.scan_record import data_key, fingerprint
from ..visualize.units import layer_object
from .folds import pool

LOOKED_AT = 1000  # validation pictures among which those to be shown are looked for


class Subject(NamedTuple):
    """A net on its device, with the file it came from and a data set."""

    net: Net
    info: dict
    weights: Path
    data: DataSet
    device: Device

    def identity(self, split="val"):
        """All of it that decides an experiment's numbers, for the options of a Study.

        split: the pictures that it takes: "train", "val", or "pool" for both.
        """
        images = pool(self.data) if split == "pool" else getattr(self.data, split)
        return {
            "weights": str(self.weights),
            "weights_sha256": fingerprint(self.net),
            "data": data_key(self.data.source, images),
            "device": str(self.device),
        }

    def place(self, name):
        """(root, stem) of the folders of experiment `name` on it, for study.begin."""
        return result_folder(self.weights, self.net, self.data.source, name)


class Shown(NamedTuple):
    """A picture that an experiment is about: its name, stored uint8 (S, S, 3), and its true class
    among the net's.
    """

    name: str
    image: np.ndarray
    label: int

    def identity(self):
        return {
            "name": self.name,
            "label": self.label,
            "sha256": hashlib.sha256(self.image.tobytes()).hexdigest(),
        }


def load(weights=None, data=None, device=None, workspace=256, images=None, whole=False):
    """The Subject of a checkpoint (default: the newest, else the shipped one) and a data set
    (default: its own).

    images: paths of pictures that are the data set where `data` is None and the checkpoint's own is
    not here; () where an experiment needs none of a data set.
    whole: whether all pictures of a folder are its validation pictures where the checkpoint names no data
    set: it was trained elsewhere, so that none need be held out.
    """
    weights, device = Path(weights) if weights else checkpoint.default(), device or Device()
    net, info, _ = checkpoint.load(weights)
    try:
        pictures = data_of(net, weights, info, data, whole and not info.get("data"))
    except UsageError:
        if data or images is None:
            raise
        pictures = _alone(net, images)
    soundness.check_net(net)
    limit_columns(net.to(device), workspace)
    return Subject(net, info, weights, pictures, device)


def _alone(net, images):
    """The DataSet of pictures of one's own, whose classes are not known."""
    size = stored_size(net)
    none = Split(lambda ids: np.zeros((0, size, size, 3), np.uint8), [], [], (size, size, 3))
    split = split_of(list(images), size) if images else none
    return DataSet("pictures", "pictures", net.classes, split, split)


def shown(subject, paths=(), label=None, count=3, wrong=0):
    """[Shown]: the picture files `paths`, or the first `count` validation pictures that the net gets right.

    label: the true class of the files, by default what the net takes each for.  Of the validation
    pictures each is of another class, as long as there are some.  UsageError: no such class.
    RawconvError: a file is no picture, the net gets nothing right, or it does not know the data's
    classes.
    wrong: how many validation pictures follow that the net gets wrong, as far as there are any.
    """
    net = subject.net
    if paths:
        files, trouble = read_images(paths, net)
        if trouble:
            raise RawconvError(" ".join(trouble))
        best = probabilities(net, np.stack([image for *_, image in files])).argmax(axis=1)
        true = [class_number(net, label)] * len(files) if label else best.tolist()
        return [
            Shown(escaped(str(path)), image, k)
            for (_, path, image), k in zip(files, true, strict=True)
        ]
    split, numbers = subject.data.val, class_numbers(subject)
    labels = numbers[split.labels[:LOOKED_AT]]
    right = (
        over(
            split, lambda pictures, _: probabilities(net, pictures).argmax(axis=1), count=LOOKED_AT
        )
        == labels
    )
    if not right.any():
        raise RawconvError(
            f"The net gets no picture of {subject.data.source} right; choose other --weights or --data."
        )
    earlier = np.array([np.sum(right[:k] & (labels[:k] == labels[k])) for k in range(len(labels))])
    ids = np.flatnonzero(right)
    ids = np.sort(ids[np.argsort(earlier[ids], kind="stable")][:count])
    ids = np.concatenate([ids, np.flatnonzero(~right)[:wrong]])
    pictures = split.read(ids)
    return [
        Shown(escaped(split.names[i]), image, int(labels[i]))
        for i, image in zip(ids, pictures, strict=True)
    ]


def filling(net, fill):
    """A stored picture, uint8 (S, S, 3), all of "128", "r,g,b" or "mean".  UsageError where it is
    none of these.
    """
    size = stored_size(net)
    if fill == "mean":
        return np.broadcast_to(
            np.rint(to_cpu(net.pixel_mean)).astype(np.uint8), (size, size, 3)
        ).copy()
    parts = fill.split(",")
    if len(parts) not in (1, 3) or not all(
        part.strip().isdecimal() and int(part) < 256 for part in parts
    ):
        raise UsageError(
            f"--fill {fill} is no colour; write a grey from 0 to 255, red,green,blue, or mean."
        )
    return np.full((size, size, 3), [int(part) for part in parts], np.uint8)


def class_numbers(subject):
    """int (classes of the data,): the net's number of each.

    Those of a net that only numbers its classes are taken in the order of the data's, which is said once.
    RawconvError where it does not know one.
    """
    if in_their_order(subject.data, subject.net.classes):
        _say_once(how_ordered(subject.data, subject.weights))
        return np.arange(len(subject.data.classes))
    names = renamed(subject.data, subject.net.classes, subject.info.get("wnids", ()))
    unknown = [name for name in names if name not in subject.net.classes]
    if unknown:
        raise RawconvError(
            f"{subject.weights} does not know {', '.join(unknown[:3])} of {subject.data.source}; choose other --data."
        )
    return np.array([subject.net.classes.index(name) for name in names])


@functools.cache
def _say_once(sentence):
    warn(sentence)


def beside(subject, weights):
    """The Subject of another checkpoint on the same pictures and device, which may be of another size."""
    net, info, _ = checkpoint.load(weights)
    pictures = subject.data
    if stored_size(net) != stored_size(subject.net):
        pictures = data_of(net, weights, info, pictures.source, not subject.info.get("data"))
        soundness.check_net(net)
        limit_columns(net.to(subject.device), WORKSPACE >> 20)
    return Subject(net.to(subject.device), info, Path(weights), pictures, subject.device)


def probabilities(net, pictures, views=1):
    """p (N, classes), on the CPU, of stored pictures uint8 (N, S, S, 3): of the centre crop, or the
    mean of ten views.

    The mean is of the softmax outputs (Krizhevsky 2012).
    """
    soundness.check_scores(net)
    x = VIEWS[views](
        net_module(net).asarray(pictures), net.pixel_mean, net.shape[:2], dtype=net.dtype
    )
    scores, _ = net.forward(x, keep=False)
    return to_cpu(softmax(scores)).reshape(len(pictures), views, -1).mean(axis=1)


def features(net, pictures, layer):
    """The output of `layer` (a user's name or an object) for stored pictures: (N, H, W, C), on the CPU."""
    return to_cpu(net.forward(preprocess(net, pictures), layer_object(net, layer), keep=False)[0])


def over(split, function, batch=128, count=None):
    """Concatenated function(pictures, labels) over the first `count` pictures of a split, in its order."""
    parts, done = [], 0
    for _, pictures, labels in batches(split, batch):
        take = len(labels) if count is None else min(len(labels), count - done)
        parts.append(function(pictures[:take], labels[:take]))
        done += take
        if count is not None and done >= count:
            break
    return np.concatenate(parts)
