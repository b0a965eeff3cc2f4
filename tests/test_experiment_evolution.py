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
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import evolution, evolution_page, subject, trained, twins
from rawconv.experiments.evolution import choose, cosine, run, snapshots
from rawconv.experiments.study import begin
from rawconv.experiments.twins import first_weights
from rawconv.machine.arrays import Device
from rawconv.report.strips import Strip, draw
from rawconv.training import loop, runs
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
        nets, about.data.train, layers, {"conv2": [6]}, found, first_weights(about, files[1])
    )
    net = checkpoint.load(files[1]).net
    image, y, x = (int(found[1][f"conv2 {part}"][6]) for part in ("image", "y", "x"))
    r = project(net, about.data.train.read([image])[0], f"conv2:6:{y}:{x}")
    want = display(crop(r, Unit(0, "conv2", 6, y, x).shown_box(net), 0), 99.5).astype(int)
    assert np.abs(look(1)["conv2 tiles"][0].astype(int) - want).max() <= 1


def test_a_title_is_never_cut(tmp_path, canvas):
    """Not that of a page with two columns, nor that of a layer with a long name."""
    run(of_run(leave(tmp_path / "run")), begin("it", {}, tmp_path, "it"), maps=1)
    assert canvas.text("Figure 4: how the maps of each layer evolve in training")
    name = "features.denseblock1.denselayer2"
    draw([Strip(name, ["epoch 1"], ["map 7"], [[np.zeros((4, 4, 3), np.uint8)]])], "t", "", "", 72)
    assert canvas.text(name)


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
        first_weights(of_run(own), snapshots(own)[1])["conv2"], small_net()["conv2"].weight
    )
    for info in ({"seed": 5}, {}, {"seed": "x"}):
        begun = first_weights(of_run(other)._replace(info=info), snapshots(other)[1])
        assert not any(weight.any() for weight in begun.values())


def test_a_training_set_in_parts_has_the_same_strongest_units(tmp_path, monkeypatch):
    about = of_run(leave(tmp_path / "run"))
    files, layers = snapshots(about.weights), {"conv1": "relu1", "conv2": "relu2"}
    whole = units_of(about, files, layers)
    monkeypatch.setattr(evolution, "PART", 5)
    for epoch, found in units_of(about, files, layers).items():
        for name, values in found.items():
            np.testing.assert_array_equal(values, whole[epoch][name])


def test_maps_are_drawn_in_each_layer_by_itself():
    """Of layers of equal width, too, whose maps of one number have nothing to do with each other."""
    alive = np.ones(96)
    drawn = [tuple(choose(alive, 6, layer)) for layer in range(5)]
    assert len(set(drawn)) == 5 and drawn[1] == tuple(choose(alive, 6, 1))
    alive[::2] = 0
    assert all(m % 2 for m in choose(alive, 48, 3)) and len(choose(alive, 99, 3)) == 48


def found_at(*epochs):
    """{epoch: arrays of conv1} of (pictures, values) each."""
    return {
        epoch: {"conv1 image": np.array(images), "conv1 value": np.array(values, float)}
        for epoch, (images, values) in enumerate(epochs, 1)
    }


def test_a_jump_is_another_picture_and_a_dead_map_does_not_jump():
    """Map 2 is dead at epoch 2, where its picture means nothing."""
    net = found_at(([1, 2, 3], [1, 1, 1]), ([1, 3, 0], [1, 1, 0]), ([4, 3, 3], [1, 1, 1]))
    twin = found_at(([1, 9, 3], [1, 1, 1]), ([1, 3, 5], [1, 1, 1]), ([4, 3, 8], [1, 0, 1]))
    both = evolution_page.Snapshots(["conv1"], {}, net, twin, {})
    nan = np.nan
    np.testing.assert_array_equal(both.jumps("conv1"), [[nan] * 3, [0, 1, nan], [1, 0, nan]])
    np.testing.assert_array_equal(both.other_order("conv1"), [[0, 1, 0], [0, 0, nan], [0, nan, 1]])
    alone = both._replace(twin={})
    assert np.isnan(alone.other_order("conv1")).all()
    shares = evolution_page.share(both.jumps("conv1"))
    assert [one["units"] for one in shares] == [0, 2, 2] and shares[1]["mean"] == 0.5


def test_sentences_claim_no_order_inside_the_intervals():
    def at(low, high):
        return [
            {"mean": np.nan, "units": 0},
            {"mean": (low + high) / 2, "low": low, "high": high, "units": 9},
        ]

    jumps = {"conv1": at(0.1, 0.2), "conv2": at(0.4, 0.6), "conv3": at(0.7, 0.8)}
    null = {"conv1": at(0.3, 0.4), "conv2": at(0.5, 0.7), "conv3": at(0.5, 0.6)}
    cosines = {layer: [0.5, 1.0] for layer in jumps}
    said = evolution_page.sentences([5, 10], cosines, jumps, null)
    assert said[0].endswith(
        "conv1 15% (10% to 20%), conv2 50% (40% to 60%), conv3 75% (70% to 80%)."
    )
    assert said[1].endswith(
        "for: conv1 35% (30% to 40%), conv2 60% (50% to 70%), conv3 55% (50% to 60%). Compared with that, fewer than "
        "that jump in conv1; no more and no fewer, within the intervals, in conv2; more in conv3."
    )
    assert "fewer maps jump in the last step in conv1 than in conv3" in said[2]
    assert evolution_page.sentences([5, 10], cosines, jumps, {})[1] == evolution_page.NO_TWIN
    for ends, words in (((0.65, 0.9), "no order can be told"), ((0.85, 0.9), "more maps jump")):
        jumps["conv1"] = at(*ends)
        assert words in evolution_page.sentences([5, 10], cosines, jumps, null)[2]
    assert "no order of layers" in evolution_page.sentences([5, 10], {}, {"conv1": at(0, 1)}, {})[2]


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


@pytest.fixture
def trained_run(tmp_path, monkeypatch):
    """A run of two epochs, and the Subject of its net."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    changes = {"epochs": 2, "batch": 8}
    weights = trained.trained("lenet", "scenes:32", changes, 3, say=lambda line: None)
    return subject.load(weights)


def test_a_twin_begins_from_the_same_weights_and_sees_the_data_in_another_order(
    trained_run, tmp_path, monkeypatch
):
    about, said = trained_run, []
    early = snapshots(about.weights)[1]
    with pytest.raises(UsageError, match="leave --no-train out"):
        twins.twin(about, early, allow=False)
    with monkeypatch.context() as patch:
        patch.setattr("rawconv.training.loop.write_log", interrupt)
        with pytest.raises(KeyboardInterrupt):
            twins.twin(about, early, say=said.append)
    file = twins.twin(about, early, say=said.append)
    assert said[0].startswith("Training the same net with its data in another order, about 0")
    assert twins.twin(about, early, allow=False) == file, "it is found again"
    run_ = runs.start("lenet", "scenes:32", seed=3, changes={"epochs": 2, "batch": 8})
    loop.train(run_.net, run_.data, run_.recipe, tmp_path, Device(), 4, progress=False)
    for one, other in zip(
        run_.net.params.values(), checkpoint.load(file).net.params.values(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    result = run(about, begin("it", {}, tmp_path, "it"), maps=2, twin=[file])
    assert (
        list(result.numbers["other_order"]) == list(result.numbers["jumps"]) == ["conv1", "conv2"]
    )
    found, others = (
        checkpoint.load(snapshots(path)[2]).net.forward(
            preprocess(about.net, about.data.train.read(np.arange(32))), "relu2"
        )[0].max(axis=(1, 2))
        for path in (about.weights, file)
    )  # fmt: skip
    alive = (found.max(axis=0) > 0) & (others.max(axis=0) > 0)
    differ = (found.argmax(axis=0) != others.argmax(axis=0))[alive].mean()
    assert result.numbers["other_order"]["conv2"][1]["mean"] == pytest.approx(differ)


def test_what_is_no_twin_is_refused(trained_run, tmp_path):
    """A run of another seed begins elsewhere; the net itself has no other order."""
    about = trained_run
    other = trained.trained(
        "lenet", "scenes:32", {"epochs": 2, "batch": 8}, 4, say=lambda line: None
    )
    for file in (other, about.weights):
        with pytest.raises(RawconvError, match="is no twin of"):
            run(about, begin("it", {}, tmp_path, "it"), twin=[file])
    with pytest.raises(RawconvError, match="did not begin from the weights that its seed draws"):
        twins.twin(about._replace(info=about.info | {"seed": 9}), snapshots(about.weights)[1])


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_the_command_trains_a_net_and_its_twin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rawconv.data.VALIDATION_SCENES", 24)
    words = ["evolution", "--data", "scenes:24", "--epochs", "2", "--maps", "1", "--device", "cpu"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    first = result.stderr.splitlines()[0]
    assert first == "A net and its twin are needed, about 0.1 min on 2 cores for both."
    folder = pathlib.Path(result.stdout.splitlines()[-1])
    about = json.loads((folder / "evolution.json").read_text())
    assert about["numbers"]["epochs"] == [1, 2] and "zf64-twin-" in about["options"]["twin"][0]
    assert set(about["numbers"]["other_order"]) == {f"conv{k}" for k in range(1, 6)}
    refused = CliRunner().invoke(main, ["evolution", "--weights", "x.h5", "--quick"])
    assert refused.exit_code == 2 and "leave them or --weights out" in refused.stderr


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
