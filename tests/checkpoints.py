"""Small nets for the tests of checkpoints, and what is done to their files."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from rawconv import checkpoint
from rawconv.errors import RawconvError
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.training.recipes import Recipe

RECIPE = Recipe(stored=8).to_json() | {"colours": [], "class_weights": []}
INFO = {
    "data": "scenes", "recipe": RECIPE, "seed": 2**63, "metrics": {"top1": 0.1 + 0.2, "loss": float("inf")}, "epoch": 3,
}  # fmt: skip
PROGRESS = {
    "epoch": 3, "position": 128, "sums": [301.5, 20.0, 70.0], "best": 0.5,
    "schedule": {"best": 0.5, "waited": 1, "cuts": 0},
}  # fmt: skip
ROW = {"epoch": 1, "lr": 0.01} | {
    f"{split}_{name}": 0.5 for split in ("train", "val") for name in ("loss", "top1", "top5")
}


def odd_net(dtype="float32", fill=0):
    """Every type of layer, groups, asymmetric padding and windows, floor."""
    layers = [
        ("conv1", Conv(6, (3, 5), stride=(1, 2), pad=(0, 1, 2, 3), init_std="he")), ("relu1", ReLU()),
        ("norm1", LRN(3, 0.1, 0.5, 1.7)), ("pool1", MaxPool((2, 3), (1, 2), (0, 1), False)),
        ("conv2", Conv(4, 3, pad=1, groups=2, ceil_mode=False)), ("relu2", ReLU()),
        ("drop2", Dropout(0.3, stream=2**64 - 1)), ("fc3", Conv(3, None)),
    ]  # fmt: skip
    mean = np.linspace(0, 255, 12 * 14 * 3, dtype="float64").reshape(12, 14, 3)
    net = Net(
        (10, 12, 3), layers, ["Katze", "été", os.fsdecode(b"bad \xff")], mean, "odd", 7, dtype
    )
    net["fc3"].bias[:] = [np.nan, -0.0, 1e-40] if fill == 0 else fill
    return net


def tiny_net(**options):
    """A file of a few kilobytes.  options: of Net."""
    layers = [("conv1", Conv(2, 3)), ("relu1", ReLU()), ("pool1", MaxPool(2, 2)), ("norm1", LRN())]
    return Net((8, 8, 3), [*layers, ("fc2", Conv(2, None))], ["a", "b"], model="tiny", **options)


def momentum(net):
    rng = np.random.default_rng(1)
    return {
        key: rng.standard_normal(value.shape).astype(value.dtype)
        for key, value in net.params.items()
    }


def state(net):
    return {"momentum": momentum(net), "progress": PROGRESS}


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def run(code, *arguments, **options):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(__file__))}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, **options
    )


def edit(path, change, reseal=True):
    """Change a checkpoint as someone who knows the format would."""
    with h5py.File(path, "r+") as file:
        change(file)
    if reseal:
        checkpoint.seal(path)


def refused(path, match):
    with pytest.raises(RawconvError, match=match) as caught:
        checkpoint.load(path)
    sentence = str(caught.value)
    assert (
        str(path) in sentence
        and "\n" not in sentence
        and sentence.endswith(".")
        and len(sentence) < 600
    )
    assert caught.value.__cause__ is not None
