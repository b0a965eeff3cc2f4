"""Each thing that goes wrong in training is said in words, and a sound run is left in peace."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from rawconv import health, models, runs
from rawconv.arrays import Device
from rawconv.data import DataSet, Split
from rawconv.errors import RawconvError


def data(labels, classes=("cat", "dog"), val=(0,)):
    splits = [Split(lambda ids: np.zeros((len(ids), 4, 4, 3), np.uint8), part, [""] * len(part), (4, 4, 3))
              for part in (labels, val)]  # fmt: skip
    return DataSet("pets", "pets/", list(classes), *splits)


class Case(NamedTuple):
    data: DataSet
    message: str


@pytest.mark.parametrize(
    "case",
    [
        Case(data([0, 0], ("cat",)), r"one class \(cat\)"),
        Case(data([0, 2]), "training labels from 0 to 2, but classes 0 to 1"),
        Case(data([0, 1], val=[-1]), "validation labels from -1"),
        Case(data([]), "no training pictures"),
        Case(data([0, 1], val=[]), "no validation pictures"),
    ],
)
def test_data_that_teach_nothing_are_refused(case):
    with pytest.raises(RawconvError, match=case.message):
        health.check_data(case.data)


def test_sound_data_pass():
    health.check_data(data([0, 1, 1]))


@pytest.fixture
def net():
    return models.build("lenet", ["a", "b", "c"], seed=3)


def test_the_first_broken_layer_is_named(net):
    x = np.ones((2, *net.shape), np.float32)
    assert health.first_broken(net, x) == ""
    net["conv2"].bias[1] = np.inf
    assert "bias" in health.first_broken(net, x) and "conv2" in health.first_broken(net, x)
    net["conv2"].bias[1] = 3e38
    net["conv2"].weight[:] = 3e38
    with np.errstate(all="ignore"):
        assert "the output of conv2" in health.first_broken(net, x)


def test_dead_maps_are_counted_against_the_maps_themselves(net):
    x = np.random.default_rng(0).standard_normal((3, *net.shape)).astype(np.float32)
    net["conv1"].bias[:2] = -1e6
    dead = health.dead_maps(net, x)
    maps, _ = net.forward(x, "relu1")
    assert dead["conv1"] == int((maps.max(axis=(0, 1, 2)) <= 0).sum()) >= 2
    assert set(dead) == {name for name in net.shapes if name.startswith(("conv", "fc"))} - {net.layers[-1][0]}


def test_update_ratios(net):
    velocity = {key: value / 8 for key, value in net.params.items()}
    assert all(ratio == pytest.approx(0.125) for ratio in health.update_ratios(net, velocity).values())


def test_warnings_are_said_where_due_and_only_there(net):
    said = []
    health.warn(net, {"conv1": 0.001, "conv2": 0.5}, {"conv1": 1, "conv2": net.shapes["conv2"][2]}, said.append)
    assert len(said) == 2 and all("conv2" in line and "--lr" in line for line in said)
    health.warn_if_stuck(math.log(3) * 1.001, 3, said.append)
    assert "stuck at ln(3) = 1.10" in said[-1]
    health.warn_if_stuck(0.8, 3, said.append)
    assert len(said) == 3


def test_watch_logs_every_layer(tmp_path):
    run = runs.start("lenet", "scenes:48", changes={"epochs": 1, "batch": 16})
    result = runs.go(run, tmp_path, Device(), say=lambda line: None, progress=False, watch=True)
    layers = [name for name, layer in run.net.layers if layer.params]
    assert all(0 < result[f"update_{name}"] < 1 for name in layers)
    assert all(0 <= result[f"dead_{name}"] <= run.net.shapes[name][2] for name in layers[:-1])
    assert "update_conv1" in (tmp_path / "log.csv").read_text().splitlines()[0]
