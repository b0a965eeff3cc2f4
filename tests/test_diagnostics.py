"""Each thing that goes wrong in training is said in words, and a sound run is left in peace."""

import math
import re
from typing import NamedTuple

import numpy as np
import pytest

from rawconv import models, soundness
from rawconv.data import DataSet, Split
from rawconv.data.packed import chunk_order
from rawconv.errors import RawconvError
from rawconv.machine.arrays import Device
from rawconv.training import diagnostics, runs


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
        diagnostics.check_data(case.data)


def test_sound_data_pass():
    diagnostics.check_data(data([0, 1, 1]))


@pytest.fixture
def net():
    return models.build("lenet", ["a", "b", "c"], seed=3)


def test_the_first_broken_layer_is_named(net):
    x = np.ones((2, *net.shape), np.float32)
    assert soundness.first_broken(net, x) == ""
    net["conv2"].bias[1] = np.inf
    assert "bias" in soundness.first_broken(net, x) and "conv2" in soundness.first_broken(net, x)
    net["conv2"].bias[1] = 3e38
    net["conv2"].weight[:] = 3e38
    with np.errstate(all="ignore"):
        assert "the output of conv2" in soundness.first_broken(net, x)


def test_dead_maps_are_counted_against_the_maps_themselves(net):
    x = np.random.default_rng(0).standard_normal((3, *net.shape)).astype(np.float32)
    net["conv1"].bias[:2] = -1e6
    dead = diagnostics.dead_maps(net, x)
    maps, _ = net.forward(x, "relu1")
    assert dead["conv1"] == int((maps.max(axis=(0, 1, 2)) <= 0).sum()) >= 2
    assert set(dead) == {name for name in net.shapes if name.startswith(("conv", "fc"))} - {
        net.layers[-1][0]
    }


def test_update_ratios(net):
    velocity = {key: value / 8 for key, value in net.params.items()}
    assert all(
        ratio == pytest.approx(0.125) for ratio in diagnostics.update_ratios(net, velocity).values()
    )


def test_warnings_are_said_where_due_and_only_there(net):
    said = []
    epochs = [(loss, {"conv1": 0.001, "conv2": 0.5}) for loss in (1, 1.1, 1.2)]
    diagnostics.warn(net, epochs, {"conv1": 1, "conv2": net.shapes["conv2"][2]}, said.append)
    assert len(said) == 2 and all("conv2" in line and "--lr" in line for line in said)
    diagnostics.warn_if_stuck(math.log(3) * 1.001, 3, said.append)
    assert "stuck at ln(3) = 1.10" in said[-1]
    diagnostics.warn_if_stuck(0.8, 3, said.append)
    assert len(said) == 3


@pytest.mark.parametrize(
    ("losses", "ratios", "spoken"),
    [
        ([2.0], [0.2], False),
        ([2.0, 2.1], [0.2, 0.2], False),
        ([2.0, 2.1, 2.2], [0.2, 0.3, 0.116], True),
        ([2.0, 2.1, 2.2], [0.2, 0.09, 0.2], False),
        ([2.0, 1.9, 1.8], [0.2, 0.3, 0.116], False),
        ([2.0, 2.1, 1.99], [0.2, 0.3, 0.116], True),
        ([9.0, 2.0, 2.1, 2.0], [0.001, 0.2, 0.3, 0.116], True),
        ([2.0, 2.1, 2.2, 2.3], [0.2, 0.3, 0.2, 0.001], False),
    ],
)
def test_large_updates_are_spoken_of_where_they_last_and_the_loss_does_not_fall(
    losses, ratios, spoken, net
):
    """A net may learn well with updates of a tenth of its first layer; what is said is what was seen."""
    said, epochs = (
        [],
        [
            (loss, {"conv1": ratio, "conv2": 0.001})
            for loss, ratio in zip(losses, ratios, strict=True)
        ],
    )
    diagnostics.warn(net, epochs, {}, said.append)
    start = losses[-3] if spoken else None
    assert said == spoken * [
        "conv1: the last update is 12% of the weights' norm, and it was above 10% for 3 epochs, in which the training "
        f"loss went from {start:.3f} to {losses[-1]:.3f}. Try a lower --lr."
        if spoken
        else None
    ]


def test_watch_logs_every_layer(tmp_path):
    run = runs.start("lenet", "scenes:48", changes={"epochs": 1, "batch": 16})
    result = runs.train_run(
        run, tmp_path, Device(), say=lambda line: None, progress=False, watch=True
    )
    layers = [name for name, layer in run.net.layers if layer.params]
    assert all(0 < result[f"update_{name}"] < 1 for name in layers)
    assert all(0 <= result[f"dead_{name}"] <= run.net.shapes[name][2] for name in layers[:-1])
    assert "update_conv1" in (tmp_path / "log.csv").read_text().splitlines()[0]


def test_sorted_images_are_spoken_of_and_mixed_ones_are_not():
    labels, said = np.repeat(np.arange(10), 40), []

    def split(order):
        return Split(None, labels, [""] * 400, (4, 4, 3), order)

    diagnostics.warn_if_sorted(split(None), 20, 0, said.append)
    # one batch: nothing to be mixed
    diagnostics.warn_if_sorted(split(lambda *_: np.arange(400)), 500, 0, said.append)
    assert not said
    diagnostics.warn_if_sorted(split(lambda *_: np.arange(400)), 20, 0, said.append)
    assert (
        len(said) == 1
        and "not shuffled: a batch of 20 holds 1 classes, 9 if it were mixed" in said[0]
    )
    # a class a chunk, a chunk a window
    chunks = split(lambda seed, epoch: chunk_order(400, 0, seed, epoch, 40, 1))
    diagnostics.warn_if_sorted(chunks, 20, 0, said.append)
    assert len(said) == 2
    mixed = split(lambda seed, epoch: chunk_order(400, 0, seed, epoch, 5, 20))
    diagnostics.warn_if_sorted(mixed, 20, 0, said.append)
    assert len(said) == 2


def test_unbalanced_classes_are_spoken_of_with_the_remedy():
    said, classes = [], ("cat", "dog", "owl")

    def split(*counts):
        return Split(None, np.repeat(np.arange(3), counts), [""] * sum(counts), (4, 4, 3))

    diagnostics.warn_if_unbalanced(split(1500, 500, 700), classes, said.append)
    assert not said
    diagnostics.warn_if_unbalanced(split(500, 1501, 700), classes, said.append)
    assert said[0].startswith(
        "The classes are unbalanced: dog has 1,501 training pictures, cat 500."
    )
    assert "--class-weights balanced" in said[0]
    diagnostics.warn_if_unbalanced(split(500, 0, 700), classes, said.append)
    assert said[1:] == ["No training pictures of dog: add some."]


class Trained(NamedTuple):
    """How a run is spoilt, and what must be said of it."""

    changes: dict
    spoil: object
    message: str


def _nothing(run, patch):
    pass


def _fast(run, patch):
    patch.setattr(diagnostics, "FAST", 0)


def _kill_maps(run, patch):
    run.net["conv2"].bias[:] = -1e6


def _sort(run, patch):
    order = np.argsort(run.data.train.labels, kind="stable")
    patch.setattr(Split, "order", lambda self, seed, epoch: order)


SPOILT = [
    Trained({"lr": 1e-9, "epochs": 2}, _nothing, r"stuck at ln\(12\) = 2\.48"),
    Trained(
        {"lr": 1e-9, "epochs": 3}, _fast, r"conv1: the last update is \d+% of the weights' norm"
    ),
    Trained({}, _kill_maps, "conv2: 50 of 50 maps are dead"),
    Trained({}, _sort, "The pictures are not shuffled: a batch of 16"),
]


@pytest.mark.parametrize("case", SPOILT, ids=["stuck", "too fast", "dead", "sorted"])
def test_a_run_that_goes_wrong_is_spoken_of(case, tmp_path, monkeypatch):
    run, said = (
        runs.start("lenet", "scenes:96", changes={"epochs": 1, "batch": 16} | case.changes),
        [],
    )
    case.spoil(run, monkeypatch)
    runs.train_run(run, tmp_path, Device(), say=said.append, progress=False)
    assert any(re.search(case.message, line) for line in said), said


def test_a_sound_run_is_left_in_peace(tmp_path):
    run, said = (
        runs.start("lenet", "scenes:480", changes={"epochs": 3, "batch": 32, "lr": 1e-4}),
        [],
    )
    runs.train_run(run, tmp_path, Device(), say=said.append, progress=False)
    assert not said


def test_a_run_that_breaks_names_the_first_layer(tmp_path):
    run = runs.start("lenet", "scenes:96", changes={"epochs": 1, "batch": 16})
    run.net["conv2"].weight[0, 0, 0, 0] = np.nan
    with pytest.raises(
        RawconvError, match="loss became nan in epoch 1 .* first layer with a weight .* is conv2"
    ):
        runs.train_run(run, tmp_path, Device(), say=lambda line: None, progress=False)


def test_training_refuses_bad_labels_before_its_first_step(tmp_path):
    run = runs.start("lenet", "scenes:96", changes={"epochs": 1})
    train = run.data.train
    labels = train.labels.copy()
    labels[7] = 12
    broken = run._replace(
        data=run.data._replace(train=Split(train.read, labels, train.names, train.shape))
    )
    with pytest.raises(RawconvError, match="training labels from 0 to 12, but classes 0 to 11"):
        runs.train_run(broken, tmp_path, Device(), say=lambda line: None, progress=False)
    assert not list(tmp_path.iterdir())


def test_half_of_the_maps_may_be_dead_and_a_batch_may_hold_half_of_the_classes(net):
    """At the bound nothing is said, and the sentence just beyond it is this one."""
    said, maps = [], net.shapes["conv2"][2]
    diagnostics.warn(net, [], {"conv2": maps // 2}, said.append)
    assert not said and maps == 50
    diagnostics.warn(net, [], {"conv2": 26}, said.append)
    assert said == [
        "conv2: 26 of 50 maps are dead, above 0 on no picture: lower --lr, or start anew."
    ]


def test_stuck_is_within_a_hundredth_of_guessing(net):
    said, guess = [], math.log(4)
    for loss in (0.989 * guess, 1.011 * guess):
        diagnostics.warn_if_stuck(loss, 4, said.append)
    assert not said
    for loss in (0.991 * guess, 1.009 * guess):
        diagnostics.warn_if_stuck(loss, 4, said.append)
    assert (
        said
        == [
            "The loss is stuck at ln(4) = 1.39: the net does not learn. "
            "Try another --lr, and check that the class folders differ."
        ]
        * 2
    )


def test_update_ratios_are_of_norms_not_of_single_numbers(net):
    velocity = {key: np.zeros_like(value) for key, value in net.params.items()}
    velocity["conv1", "weight"][0, 0, 0, :2] = 3, -4
    ratios = diagnostics.update_ratios(net, velocity)
    assert (
        ratios["conv1"] == pytest.approx(5 / np.linalg.norm(net["conv1"].weight))
        and ratios["conv2"] == 0
    )
    net["fc3"].weight[:] = 0
    assert diagnostics.update_ratios(net, velocity)["fc3"] == math.inf
    assert list(ratios) == ["conv1", "conv2", "fc3", "fc4"]


def test_one_label_too_many_and_one_too_few_are_refused_and_the_last_is_not():
    diagnostics.check_data(data([0, 1], val=[1]))
    for labels, val, message in (
        ([-1, 1], [0], "pets/ has training labels from -1 to 1, but classes 0 to 1."),
        ([0, 1], [2], "pets/ has validation labels from 2 to 2, but classes 0 to 1."),
    ):
        with pytest.raises(RawconvError) as error:
            diagnostics.check_data(data(labels, val=val))
        assert str(error.value) == message


def test_what_overflows_downwards_is_broken_though_its_relu_makes_zeros_of_it(net):
    """-inf is a finite 0 above the ReLU that the convolution may do the work of."""
    net["conv2"].weight[:], net["conv2"].bias[:] = -3e38, 0
    x = np.ones((2, *net.shape), np.float32)
    net["conv1"].weight[:], net["conv1"].bias[:] = 0.01, 1
    with np.errstate(all="ignore"):
        assert "the output of conv2 is the first that is not finite" in soundness.first_broken(
            net, x
        )


def test_an_epoch_diverged_by_its_training_loss_not_by_its_validation_loss(tmp_path):
    """Guessing among 4 costs 1.39: a training loss above 13.9 is refused, a finite validation loss is not."""
    diagnostics.refuse_divergence(
        {"epoch": 2, "lr": 0.1, "train_loss": 13, "val_loss": 99}, [], 4, tmp_path
    )
    row = {"epoch": 2, "lr": 0.1, "train_loss": 14, "val_loss": 1.5}
    with pytest.raises(
        RawconvError, match=r"Epoch 2 .* training loss of 14 and a validation loss of 1\.5"
    ):
        diagnostics.refuse_divergence(row, [], 4, tmp_path)


def test_what_a_net_begins_with_is_no_divergence(tmp_path):
    """From 50, above the bound of 13.9 with 4 classes, it may go to 500; after epoch 1, on its
    validation pictures.
    """
    row = {"epoch": 1, "lr": 0.1, "train_loss": 50, "val_loss": 499}
    diagnostics.refuse_divergence(row, [], 4, tmp_path, 50)
    diagnostics.refuse_divergence(row | {"epoch": 2, "train_loss": 499}, [row], 4, tmp_path, 50)
    for wrong, began in (
        (row | {"val_loss": 501}, 50), (row, 13), (row | {"epoch": 2, "train_loss": 501}, 50),
        (row | {"epoch": 2, "train_loss": 14}, 13),
    ):  # fmt: skip
        with pytest.raises(RawconvError, match="the run diverges"):
            diagnostics.refuse_divergence(wrong, [], 4, tmp_path, began)
