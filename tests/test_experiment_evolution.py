"""Figure 4: each cell is the strongest unit of its epoch, and a jump is another picture than before."""

import itertools
import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from subjects import data_of, finished, interrupted_and_finished, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv import checkpoint
from rawconv.cli.experiments import main
from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError
from rawconv.experiments import evolution
from rawconv.experiments.evolution import cosine, first_weights, jumps, run, snapshots
from rawconv.experiments.study import begin
from rawconv.machine.arrays import Device
from rawconv.visualize.images import crop, display
from rawconv.visualize.shortcuts import project
from rawconv.visualize.units import Unit

EPOCHS = (1, 2, 5)


def leave(folder, seed=0):
    """A run of three snapshots whose last one is last.h5; the path of that.  conv2 moves, conv1 does not."""
    info = {"data": "pictures", "seed": seed}
    for k, epoch in enumerate(EPOCHS):
        path = pathlib.Path(folder, "snapshots", f"epoch-{epoch:03d}.h5")
        path.parent.mkdir(parents=True, exist_ok=True)
        net = small_net()
        net["conv2"].weight += (
            k * small_net(7)["conv2"].weight + (2 - k) * small_net(8)["conv2"].weight
        )
        checkpoint.save(path, net, info)
    checkpoint.save(pathlib.Path(folder, "last.h5"), net, info)
    return pathlib.Path(folder, "last.h5")


def of_run(weights, **options):
    """The Subject of a checkpoint that `leave` left."""
    return subject_of(weights=weights, **options)._replace(info=checkpoint.load(weights).info)


def units_of(about, files, layers):
    """What every epoch's strongest units are."""
    study = begin("it", {}, about.weights.parent, "it")
    return evolution._strongest(
        study, evolution._nets(about, files), files, about.data.train, layers
    )


def test_every_cell_is_the_strongest_unit_of_its_epoch(tmp_path):
    about = of_run(leave(tmp_path / "run"))
    study = begin("it", {}, tmp_path, "it")
    result = run(about, study, maps=3)
    assert result.numbers["epochs"] == list(EPOCHS)
    assert len(result.rows) == 2 * 3 * len(EPOCHS) and result.numbers["cells"] == result.rows
    split = about.data.train
    everything = split.read(range(len(split)))
    for row in result.rows:
        net = checkpoint.load(snapshots(about.weights)[row["epoch"]]).net
        y = net.forward(preprocess(net, everything), "relu" + row["layer"][4:])[0][..., row["map"]]
        assert row["value"] == pytest.approx(float(y.max()), rel=1e-5)
        assert y[row["id"], row["y"], row["x"]] == pytest.approx(row["value"], rel=1e-5)
        assert row["map"] != 3 or row["layer"] == "conv1", "dead"
    for given in ("conv1", "conv2"):
        cells = [row for row in result.rows if row["layer"] == given]
        for one, two in itertools.pairwise(cells):
            if one["map"] == two["map"]:
                assert two["jump"] == (one["id"] != two["id"])
        assert not any(row["jump"] for row in cells if row["epoch"] == 1)


def test_each_tile_is_projected_with_its_own_weights(tmp_path):
    about = of_run(leave(tmp_path / "run"))
    files, layers = snapshots(about.weights), {"conv2": "relu2"}
    found, nets = units_of(about, files, layers), evolution._nets(about, files)
    look = evolution._look(
        nets, about.data.train, layers, {"conv2": [6]}, found, first_weights(about, files)
    )
    net = checkpoint.load(files[1]).net
    image, y, x = (int(found[1][f"conv2 {part}"][6]) for part in ("image", "y", "x"))
    r = project(net, about.data.train.read([image])[0], f"conv2:6:{y}:{x}")
    want = display(crop(r, Unit(0, "conv2", 6, y, x).shown_box(net), 0), 99.5).astype(int)
    assert np.abs(look(1)["conv2 tiles"][0].astype(int) - want).max() <= 1


def test_a_map_that_is_dead_at_an_epoch_is_said_to_be(tmp_path, canvas):
    """All maps of conv2 in the first snapshot: the first column of its three rows, and nothing else."""
    about = of_run(leave(tmp_path / "run"))
    first = snapshots(about.weights)[EPOCHS[0]]
    net = checkpoint.load(first).net
    net["conv2"].bias[:] = -1e6
    checkpoint.save(first, net, about.info)
    run(about, begin("it", {}, tmp_path, "it"), maps=3)
    dead, head = [text for text in canvas.texts if text.text == "dead"], f"epoch {EPOCHS[0]}"
    assert len(dead) == 3 and {text.x for text in dead} < {
        text.x for text in canvas.texts if text.text == head
    }


def test_weights_move_to_their_last_place(tmp_path):
    """The change since the start: 2 b, a + b, 2 a for two directions a, b."""
    numbers = run(of_run(leave(tmp_path / "run")), begin("it", {}, tmp_path, "it")).numbers[
        "cosine_to_last"
    ]
    a, b = (small_net(k)["conv2"].weight.astype(float).ravel() for k in (7, 8))
    want = [
        b @ a / np.linalg.norm(a) / np.linalg.norm(b),
        (a + b) @ a / np.linalg.norm(a + b) / np.linalg.norm(a),
        1,
    ]
    assert numbers["conv2"] == pytest.approx(want, abs=1e-6)
    assert np.isnan(numbers["conv1"]).all(), "it did not move"
    weight = np.random.default_rng(0).standard_normal((3, 3, 4, 5))
    assert cosine(weight, 3 * weight) == pytest.approx(1) and cosine(
        weight, -weight
    ) == pytest.approx(-1)


def test_the_first_weights_are_those_of_the_seed_where_the_run_began_there(tmp_path):
    """A run that was trained on from other weights began nobody knows where, so its change is
    counted from 0.
    """
    own, other = leave(tmp_path / "own"), leave(tmp_path / "other", seed=5)
    np.testing.assert_array_equal(
        first_weights(of_run(own), snapshots(own))["conv2"], small_net()["conv2"].weight
    )
    for info in ({"seed": 5}, {}, {"seed": "x"}):
        begun = first_weights(of_run(other)._replace(info=info), snapshots(other))
        assert not any(weight.any() for weight in begun.values())


def test_a_training_set_in_parts_has_the_same_strongest_units(tmp_path, monkeypatch):
    about = of_run(leave(tmp_path / "run"))
    files, layers = snapshots(about.weights), {"conv1": "relu1", "conv2": "relu2"}
    whole = units_of(about, files, layers)
    monkeypatch.setattr(evolution, "PART", 5)
    for epoch, found in units_of(about, files, layers).items():
        for name, values in found.items():
            np.testing.assert_array_equal(values, whole[epoch][name])


def test_jumps():
    assert jumps([[1, 2], [1, 3], [4, 3]]).tolist() == [
        [False, False],
        [False, True],
        [True, False],
    ]


def test_on_the_device(xp, tmp_path):
    where = Device() if xp is np else Device(0)
    weights = leave(tmp_path / "run")
    found = [
        units_of(
            of_run(weights, data=data_of(5), device=device),
            {2: snapshots(weights)[2]},
            {"conv2": "relu2"},
        )[2]
        for device in (Device(), where)
    ]
    np.testing.assert_array_equal(found[1]["conv2 image"], found[0]["conv2 image"])
    np.testing.assert_allclose(found[1]["conv2 value"], found[0]["conv2 value"], rtol=1e-4)


def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, monkeypatch):
    about = of_run(leave(tmp_path / "run"))
    whole = finished(run, about, tmp_path / "a", maps=2)
    assert interrupted_and_finished(run, about, tmp_path / "b", monkeypatch, 4, maps=2) == whole


def test_refusals(tmp_path):
    with pytest.raises(RawconvError, match="snapshots holds 0 snapshots"):
        run(subject_of(weights=tmp_path / "last.h5"), begin("it", {}, tmp_path, "it"))
    weights = leave(tmp_path / "run")
    other = small_net()
    del other.nodes["fc3"], other.shapes["fc3"]
    with pytest.raises(RawconvError, match="of another net"):
        run(subject_of(other, weights=weights), begin("it", {}, tmp_path, "it"))


def test_the_command(place):  # noqa: F811
    refused = CliRunner().invoke(
        main, ["evolution", "--weights", "runs/tiny-pictures-1/last.h5", "--device", "cpu"]
    )
    assert (
        refused.exit_code == 1
        and "runs/tiny-pictures-1/snapshots holds 0 snapshots" in refused.stderr
    )
    refused = CliRunner().invoke(main, ["evolution", "--no-train", "--device", "cpu"])
    assert (
        refused.exit_code == 2
        and "leave --no-train out, or name a run with --weights FILE" in refused.stderr
    )
    leave("runs/tiny-pictures-1")
    result = CliRunner().invoke(main, ["evolution", "--maps", "2", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    folder = pathlib.Path(result.stdout.splitlines()[-1])
    assert folder == pathlib.Path("runs/tiny-pictures-1/evolution-1")
    assert json.loads((folder / "evolution.json").read_text())["published"]["epochs"][-1] == 64
