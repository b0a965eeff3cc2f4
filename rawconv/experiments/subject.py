"""What an experiment is about: a net from a checkpoint, the pictures it is shown, and the device."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import checkpoint
from ..arrays import Device, to_cpu
from ..data import DataSet
from ..data.batches import batches
from ..deconvnet import layer_object, net_input
from ..folders import place
from ..layers.softmax import softmax
from ..net import Net
from ..runs import data_of, limit_columns
from ..topk import data_key, fingerprint


class Subject(NamedTuple):
    """A net on its device, with the file it came from and a data set."""

    net: Net
    info: dict
    weights: Path
    data: DataSet
    device: Device

    def identity(self, split="val"):
        """All of it that decides an experiment's numbers, for the options of a Study."""
        return {
            "weights": str(self.weights),
            "weights_sha256": fingerprint(self.net),
            "data": data_key(self.data.source, getattr(self.data, split)),
            "device": str(self.device),
        }

    def place(self, name):
        """(root, stem) of the folders of experiment `name` on it, for study.begin."""
        return place(self.weights, self.net, self.data.source, name)


def load(weights=None, data=None, device=None, workspace=256):
    """The Subject of a checkpoint (default: the newest, else the shipped one) and a data set (default: its own)."""
    weights, device = Path(weights) if weights else checkpoint.default(), device or Device()
    net, info, _ = checkpoint.load(weights)
    pictures = data_of(net, weights, info, data)
    limit_columns(net.to(device), workspace)
    return Subject(net, info, weights, pictures, device)


def probabilities(net, pictures):
    """p (N, classes), on the CPU, of stored pictures uint8 (N, S, S, 3)."""
    scores, _ = net.forward(net_input(net, pictures), keep=False)
    return to_cpu(softmax(scores)).reshape(len(pictures), -1)


def features(net, pictures, layer):
    """The output of `layer` (a user's name or an object) for stored pictures: (N, H, W, C), on the CPU."""
    return to_cpu(net.forward(net_input(net, pictures), layer_object(net, layer), keep=False)[0])


def over(split, function, batch=128, count=None):
    """Concatenated function(pictures, labels) over the first `count` pictures of a split, in its order."""
    parts, seen = [], 0
    for _, pictures, labels in batches(split, batch):
        take = len(labels) if count is None else min(len(labels), count - seen)
        parts.append(function(pictures[:take], labels[:take]))
        seen += take
        if count is not None and seen >= count:
            break
    return np.concatenate(parts)
