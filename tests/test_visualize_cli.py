"""rawconv-visualize: every option and every refusal, on a small net and a folder of small pictures."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import rawconv
from rawconv import checkpoint
from rawconv.cli.visualize import main
from rawconv.errors import RawconvError
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.report.figure2 import read_images
from rawconv.report.look import Look
from rawconv.report.winners import _beside
from rawconv.visualize import controls

ROOT = pathlib.Path(__file__).parent.parent


def small_net(seed=0):
    layers = [
        ("conv1", Conv(6, 5, stride=2, pad=2, init_std="he")), ("relu1", ReLU()), ("pool1", MaxPool(3, 2)),
        ("norm1", LRN(alpha=1e-3)), ("conv2", Conv(20, 3, pad=1, init_std="he")), ("relu2", ReLU()),
        ("fc3", Conv(2, None, init_std="he")),
    ]  # fmt: skip
    net = Net(
        (24, 24, 3), layers, ["cat", "sea dog"], np.full((26, 26, 3), 120, np.float32), "tiny", seed
    )
    net["conv2"].bias[:] = 500  # alive on any picture
    net["conv2"].bias[3] = -1e6  # dead
    return net


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to stand in: pictures/ with 2 classes of 10 pictures, runs/tiny-pictures-1/last.h5, a.png."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for name in ("cat", "sea dog"):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for k in range(10):
            Image.fromarray(rng.integers(0, 256, (26, 30, 3), np.uint8)).save(folder / f"{k}.png")
    Image.fromarray(rng.integers(0, 256, (40, 33, 3), np.uint8)).save("a.png")
    pathlib.Path("runs/tiny-pictures-1").mkdir(parents=True)
    checkpoint.save("runs/tiny-pictures-1/last.h5", small_net(), {"data": "pictures"})
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [*map(str, arguments), "--device", "cpu"])
    told = result.stdout + result.stderr
    assert result.exit_code == code, told
    assert "Traceback" not in told and not (
        result.exception and not isinstance(result.exception, SystemExit)
    )
    return result


def refused(*arguments, code, says):
    """One sentence on stderr, nothing on stdout, nothing written."""
    before = sorted(pathlib.Path().rglob("*"))
    result = run(*arguments, code=code)
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and says in errors[0] and result.stdout == ""
    assert sorted(pathlib.Path().rglob("*")) == before


def index(folder):
    return json.loads((pathlib.Path(folder) / "index.json").read_text())


# ---------------------------------------------------------------------------------------------- over a data set


def test_no_more_than_a_layer(place):
    result = run("--layer", 2)
    folder = pathlib.Path(result.stdout.splitlines()[-1])
    assert folder == pathlib.Path("runs/tiny-pictures-1/visualize-1")
    assert sorted(p.name for p in folder.iterdir()) == [
        "conv2-all.png",
        "conv2.png",
        "index.json",
        "topk.hdf5",
    ]
    about = index(folder)
    assert (
        about["data"] == "pictures"
        and about["pictures"] == 2
        and about["weights"].endswith("last.h5")
    )
    layer = about["layers"][0]
    assert layer["layer"] == "conv2" and layer["dead"] == [3] and layer["field"] == [17, 17]
    assert [figure["file"] for figure in layer["figures"]] == ["conv2.png", "conv2-all.png"]
    unit = layer["units"]["0"][0]
    assert unit.keys() == {"picture", "id", "label", "value", "y", "x", "box"}
    assert unit["picture"].startswith("pictures/") and unit["label"] in ("cat", "sea dog")
    assert "only 2 pictures" in result.stderr and "1 of 20 maps dead" in result.stderr
    assert str(place) not in (folder / "index.json").read_text()


def test_a_figure_in_memory_is_the_command_s(place):
    checkpoint.save("elsewhere.h5", small_net(), {})  # names no data set: no picture is held out
    run(
        "--layer",
        2,
        "--weights",
        "elsewhere.h5",
        "--data",
        "pictures",
        "--units",
        "0,5",
        "--out",
        "o",
    )
    drawn = rawconv.figure(rawconv.load("elsewhere.h5"), "pictures", "conv2", maps=[0, 5])
    with Image.open("o/conv2.png") as written:
        assert np.array_equal(drawn, written.convert("RGB"))
    assert index("o")["pictures"] == 20


def test_second_time_a_new_folder_no_scan_and_the_same_files(place):
    first, second = (run("--layer", 2, "--layer", 1) for _ in range(2))
    assert (
        "no new scan" not in first.stderr and "visualize-1/topk.hdf5; no new scan" in second.stderr
    )
    one, two = (pathlib.Path(result.stdout.splitlines()[-1]) for result in (first, second))
    assert two.name == "visualize-2"
    assert [p.name for p in sorted(one.iterdir())] == [p.name for p in sorted(two.iterdir())]
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes(), file.name


def test_every_convolution_by_default_and_filters_of_the_first(place):
    run("--out", "out")
    names = {path.name for path in pathlib.Path("out").glob("*.png")}
    assert names == {
        "conv1.png",
        "conv1-all.png",
        "conv1-filters.png",
        "conv2.png",
        "conv2-all.png",
    }


@pytest.mark.parametrize("layer", ["conv1", "pool1", "norm1", "relu2", "3", "fc3", "scores"])
def test_any_layer(place, layer):
    run("--layer", layer, "--split", "train", "--out", "out")
    found = index("out")["layers"][0]
    assert found["layer"] == {"relu2": "conv2", "3": "scores", "fc3": "scores"}.get(layer, layer)
    assert found["dead"] == ([3] if layer == "relu2" else [])


def test_units(place):
    run("--layer", 2, "--units", "17, 3,5-7,6", "--out", "out")
    assert list(index("out")["layers"][0]["units"]) == ["17", "3", "5", "6", "7"]
    run("--layer", 2, "--units", "all", "--out", "all")
    figures = index("all")["layers"][0]["figures"]
    assert [figure["file"] for figure in figures] == ["conv2-1.png", "conv2-2.png", "conv2-all.png"]
    assert figures[0]["maps"] + figures[1]["maps"] == list(range(20)) == figures[2]["maps"]


def test_default_maps_are_those_with_the_largest_last_activation(place):
    run("--layer", 2, "--split", "train", "--out", "out")
    import h5py

    with h5py.File("out/topk.hdf5") as file:
        values = file["relu2/value"][...]
    assert values.shape == (20, 9)
    assert [int(number) for number in index("out")["layers"][0]["units"]] == sorted(
        np.argsort(-values[:, -1])[:18]
    )


def test_top(place):
    run("--layer", 1, "--top", 4, "--split", "train", "--out", "out")
    assert {len(units) for units in index("out")["layers"][0]["units"].values()} == {4}


OPTIONS = {
    ("--rule", "gradient"): ["gradient", "gradient", "add"],
    ("--rule", "gradient", "--lrn", "identity"): ["gradient", "identity", "add"],
    ("--rule", "guided"): ["guided", "identity", "add"],
    ("--lrn", "gradient"): ["deconv", "gradient", "add"],
    ("--shared-switches", "max"): ["deconv", "identity", "max"],
    ("--shared-switches", "overwrite"): ["deconv", "identity", "overwrite"],
}


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_rules(place, options):
    run("--layer", 2, "--out", "plain")
    run("--layer", 2, *options, "--out", "out")
    assert list(index("out")["rules"].values()) == OPTIONS[options]
    assert (
        pathlib.Path("out/conv2.png").read_bytes() != pathlib.Path("plain/conv2.png").read_bytes()
    )


def test_percentile_and_patches(place):
    for name, options in {
        "plain": (),
        "full": ("--percentile", 100),
        "bare": ("--no-patches",),
    }.items():
        run("--layer", 2, *options, "--out", name)
    plain, full, bare = (Image.open(f"{name}/conv2.png") for name in ("plain", "full", "bare"))
    assert plain.size == full.size and plain.tobytes() != full.tobytes()
    assert bare.height != plain.height or bare.width != plain.width
    assert index("full")["percentile"] == 100 and index("bare")["patches"] is False


def test_other_data_and_weights(place):
    os.rename("pictures", "elsewhere")
    checkpoint.save("mine.h5", small_net(1), {"data": "pictures"})
    result = run("--layer", 2, "--weights", "mine.h5", "--data", "elsewhere")
    assert result.stdout.splitlines()[-1] == "runs/tiny-elsewhere-visualize-1"
    assert index("runs/tiny-elsewhere-visualize-1")["weights"] == "mine.h5"
    result = run("--layer", 2, "--data", "elsewhere")
    assert result.stdout.splitlines()[-1] == "runs/tiny-pictures-1/visualize-1", (
        "a visualisation was taken for a run"
    )


def test_json(place):
    result = run("--layer", 2, "--json")
    about = json.loads(result.stdout)
    assert (
        about["folder"] == "runs/tiny-pictures-1/visualize-1"
        and pathlib.Path(about["index"]).exists()
    )
    assert about["layers"] == index(about["folder"])["layers"]


def test_nothing_is_overwritten_without_force(place):
    run("--layer", 2, "--out", "out")
    refused("--layer", 2, "--out", "out", code=2, says="--force")
    pathlib.Path("out/mine.txt").write_text("kept")
    run("--layer", 1, "--out", "out", "--force")
    assert {"conv1.png", "conv2.png", "mine.txt"} <= {
        path.name for path in pathlib.Path("out").iterdir()
    }


def test_changed_data_are_noticed(place):
    """The names and labels are the same, a picture is another."""
    run("--layer", 2, "--out", "runs/out")
    for path in pathlib.Path("pictures").rglob("*.png"):
        Image.fromarray(np.full((26, 30, 3), 7, np.uint8)).save(path)
    result = run("--layer", 2, "--out", "runs/again", code=1)
    assert "the data or the weights have changed" in result.stderr


# ---------------------------------------------------------------------------------------------- single pictures


def test_a_image(place):
    result = run("--layer", 2, "a.png")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("a.png: ") and "sea dog" in lines[0] and lines[0].count("%") == 2
    assert lines[-1] == "runs/tiny-pictures-1/visualize-1"
    about = index(lines[-1])
    assert sorted(p.name for p in pathlib.Path(lines[-1]).iterdir()) == [
        "conv2-a.png",
        "index.json",
        "topk.hdf5",
    ]
    layer = about["pictures"][0]["layers"][0]
    values = [unit["value"] for unit in layer["units"]]
    assert values == sorted(values, reverse=True) and len(values) == 9
    assert len({unit["map"] for unit in layer["units"]}) == 9


def test_images_of_one_name_and_chosen_units(place):
    pathlib.Path("b").mkdir()
    Image.open("a.png").convert("L").save("b/a.png")
    run(
        "--layer",
        1,
        "--layer",
        "scores",
        "a.png",
        "b/a.png",
        "--units",
        "0",
        "--top",
        "1",
        "--out",
        "out",
    )
    names = {path.name for path in pathlib.Path("out").glob("*.png")}
    assert names == {"conv1-a.png", "scores-a.png", "conv1-a_2.png", "scores-a_2.png"}
    assert [unit["map"] for unit in index("out")["pictures"][0]["layers"][0]["units"]] == [0]


def test_names_of_images_that_collide_with_numbered_ones(place):
    """d2/a.png cannot be a_2 where a picture of that name was there first, nor a_3 where another was."""
    files = ["d1/a.png", "d1/a_3.png", "d2/a.png", "d2/A.png", "d3/a.png", "d3/a_2.png"]
    for file in files:
        pathlib.Path(file).parent.mkdir(exist_ok=True)
        Image.open("a.png").save(file)
    if os.path.samefile("d2/a.png", "d2/A.png"):
        pytest.skip("this file system takes a.png and A.png for one name")
    found, trouble = read_images(files, small_net())
    assert [name for name, *_ in found] == [
        "a",
        "a_3",
        "a_2",
        "A_4",
        "a_5",
        "a_2_2",
    ] and not trouble
    assert [path for _, path, _ in found] == files


def test_image_needs_no_data_and_json_is_all(place):
    os.rename("pictures", "gone")
    about = json.loads(run("--layer", 2, "a.png", "--json").stdout)
    assert {c["class"] for c in about["pictures"][0]["classes"]} == {"cat", "sea dog"}
    assert all("likes" not in unit for unit in about["pictures"][0]["layers"][0]["units"])
    said = run("--layer", 2, "a.png").stderr
    assert (
        "What the maps like is not shown: " in said
        and "trained on pictures, which is not here" in said
    )
    refused("--layer", 2, "a.png", "--data", "nowhere", code=2, says="nowhere")


def test_what_the_maps_of_an_image_s_units_like(place):
    """As the data set's own figure has it; the scan is kept for it."""
    run("--layer", 2, "--units", "7", "--split", "train", "--out", "runs/whole")
    want = index("runs/whole")["layers"][0]["units"]["7"]
    result = run("--layer", 2, "--units", "7", "--split", "train", "a.png", "--out", "runs/one")
    (unit,) = index("runs/one")["pictures"][0]["layers"][0]["units"]
    assert unit["likes"] == [{"picture": one["picture"], "value": one["value"]} for one in want]
    assert "no new scan" in result.stderr
    run("--layer", 2, "--no-patches", "a.png", "--out", "runs/bare")
    assert not pathlib.Path("runs/bare/topk.hdf5").exists()


def test_a_bad_image_does_not_keep_the_good_ones(place):
    pathlib.Path("text.jpg").write_text("no picture")
    pathlib.Path("half.png").write_bytes(pathlib.Path("a.png").read_bytes()[:300])
    result = run("--layer", 2, "text.jpg", "a.png", "half.png", "--out", "out", code=1)
    assert pathlib.Path("out/conv2-a.png").exists()
    assert (
        "text.jpg is not a picture" in result.stderr
        and "half.png is not a picture" in result.stderr
    )
    assert result.stdout.splitlines()[-1] == "out" and len(index("out")["errors"]) == 2


def test_only_bad_images(place):
    pathlib.Path("text.jpg").write_text("no picture")
    refused("--layer", 2, "text.jpg", code=1, says="text.jpg is not a picture that can be read")


# ---------------------------------------------------------------------------------------------- controls, trace


@pytest.mark.parametrize(
    "name",
    ["untrained", "cascade-1", "other-unit", "mismatched-filters", "no-switches", "other-switches"],
)
def test_controls(place, name):
    for options, out in (
        ((), "plain"),
        (("--control", name), "out"),
        (("--control", name), "again"),
    ):
        run("--layer", 2, "--split", "train", "--out", out, *options)
    plain, out, again = (
        pathlib.Path(f"{folder}/conv2.png").read_bytes() for folder in ("plain", "out", "again")
    )
    assert out == again != plain
    assert index("out")["control"] == name and index("plain")["control"] is None
    units = [index(folder)["layers"][0]["units"] for folder in ("plain", "out")]
    assert units[0] == units[1], "a control shows the same units"


@pytest.mark.parametrize(
    "name",
    ["untrained", "cascade-1", "other-unit", "mismatched-filters", "no-switches", "other-switches"],
)
def test_controls_of_images(place, name):
    Image.open("a.png").rotate(90).save("b.png")
    run("--layer", 2, "a.png", "b.png", "--out", "plain")
    run("--layer", 2, "a.png", "b.png", "--out", "out", "--control", name)
    assert (
        pathlib.Path("plain/conv2-a.png").read_bytes()
        != pathlib.Path("out/conv2-a.png").read_bytes()
    )


def test_other_switches_of_a_single_image(place):
    refused("--layer", 2, "a.png", "--control", "other-switches", code=2, says="another PICTURE")


def test_other_switches_of_the_same_image(place):
    """The control would change nothing: pixel for pixel the same picture, whatever its file is called."""
    Image.open("a.png").save("b.png")
    Image.open("a.png").rotate(90).save("c.png")
    says = "the switches of the next picture, but a.png and b.png are the same pixel for pixel"
    control = ("--layer", 2, "--control", "other-switches")
    for images in (("a.png", "b.png"), ("c.png", "a.png", "b.png")):
        refused(*images, *control, code=1, says=says)
    run("a.png", "c.png", "b.png", "c.png", *control, "--out", "out")


def test_other_switches_over_a_data_set_are_of_a_different_image():
    """Half the data set away, or the next one from there that is not the same pixel for pixel."""
    look = Look(control=controls.control(small_net(), "other-switches"))
    images = np.array([0, 1, 2, 0, 0, 3], np.uint8).repeat(12).reshape(6, 2, 2, 3)
    split = type("Few", (), {"read": lambda _, ids: images[ids], "__len__": lambda _: 6})()
    assert [_beside(look, split)(k) for k in range(6)] == [5, 4, 5, 1, 1, 2]
    images[:] = 7
    with pytest.raises(RawconvError, match="all .* the same"):
        _beside(look, split)(0)


def test_trace(place):
    before = sorted(place.rglob("*"))
    lines = run("--trace", "conv2:1", "a.png").stdout.splitlines()
    assert lines[0].startswith("a.png, conv2:1:") and lines[1].split()[0] == "layer"
    assert [line.split()[0] for line in lines[2:]] == [
        "conv2",
        "relu2",
        "conv2",
        "norm1",
        "pool1",
        "relu1",
        "conv1",
    ]
    about = json.loads(run("--trace", "conv2:1", "a.png", "--rule", "guided", "--json").stdout)
    (traced,) = about["traces"]
    assert traced["picture"] == "a.png" and traced["unit"] == lines[0].split(", ")[1]
    assert traced["steps"][0].keys() == {
        "layer",
        "step",
        "shape",
        "energy",
        "nonzero",
        "min",
        "max",
    }
    assert traced["steps"][-1]["shape"] == [24, 24, 3] and about["rules"]["relu"] == "guided"
    assert sorted(place.rglob("*")) == before


def test_trace_of_a_dead_unit_says_so_and_where_its_map_is_strongest(place):
    """Map 3 is dead everywhere; map 5 is 0 but at one place, the one that the net finds when asked
    for the map.
    """
    net = small_net()
    net["conv2"].weight[..., 5] = 0
    net["conv2"].weight[0, 0, :, 5], net["conv2"].bias[5] = 1, -1e-3
    checkpoint.save("runs/tiny-pictures-1/last.h5", net, {"data": "pictures"})
    lines = run("--trace", "conv2:3:1:2", "a.png").stdout.splitlines()
    assert lines[:2] == [
        "a.png, conv2:3:1:2", "conv2:3 is 0 everywhere in this picture: it is dead there and its projection is empty.",
    ]  # fmt: skip
    strongest = run("--trace", "conv2:5", "a.png").stdout.splitlines()[0].split(", ")[1]
    (traced,) = json.loads(run("--trace", "conv2:5:0:0", "a.png", "--json").stdout)["traces"]
    value = json.loads(run("--trace", strongest, "a.png", "--json").stdout)["traces"][0]["steps"][
        0
    ]["max"]
    assert traced["unit"] == "conv2:5:0:0" and traced["dead"] == (
        "conv2:5:0:0 is 0 in this picture: it is dead there and its projection is empty; the strongest place of its "
        f"map is {strongest}, with {value:.4g}."
    )
    (alive,) = json.loads(run("--trace", "conv2:1", "a.png", "--json").stdout)["traces"]
    assert "dead" not in alive and value > 0


def test_trace_of_a_unit_of_which_nothing_comes_down_says_so(place):
    net = small_net()
    net["conv2"].weight[..., 1] = -np.abs(net["conv2"].weight[..., 1])
    net["conv2"].bias[1] = 1e6  # alive all the same
    checkpoint.save("runs/tiny-pictures-1/last.h5", net, {"data": "pictures"})
    says = "all of it is negative at relu1; try --rule gradient or a lower layer."
    lines = run("--trace", "conv2:1:2:2", "a.png").stdout.splitlines()
    assert lines[1] == f"Nothing comes down of conv2:1:2:2: {says}"
    (traced,) = json.loads(run("--trace", "conv2:1:2:2", "a.png", "--json").stdout)["traces"]
    assert traced["empty"] == lines[1] and traced["steps"][-1]["energy"] == 0
    (passes,) = json.loads(
        run("--trace", "conv2:1:2:2", "a.png", "--json", "--rule", "gradient").stdout
    )["traces"]
    assert "empty" not in passes


def test_trace_with_a_bad_image_beside_a_good_one(place):
    pathlib.Path("text.jpg").write_text("no picture")
    result = run("--trace", "scores:0", "text.jpg", "a.png", code=1)
    assert "text.jpg is not a picture" in result.stderr and "a.png, scores:cat" in result.stdout


# ---------------------------------------------------------------------------------------------- refusals

USAGE = {
    "layer": (("--layer", "9"), "the layers are conv1, pool1, conv2, scores"),
    "units": (("--layer", "2", "--units", "20"), "conv2 has the maps 0 to 19"),
    "units backwards": (("--layer", "2", "--units", "7-3"), "7-3 runs backwards; write 3-7"),
    "units in words": (("--layer", "2", "--units", "some"), "no list of maps"),
    "no units": (("--layer", "2", "--units", ""), "--units is empty"),
    "weights": (("--layer", "2", "--weights", "none.h5"), "none.h5"),
    "data": (("--layer", "2", "--data", "nowhere"), "nowhere does not exist"),
    "picture": (("--layer", "2", "none.png"), "no picture none.png"),
    "folder": (("--layer", "2", "pictures"), "is a folder"),
    "device": (("--layer", "2", "--device", "tpu"), "tpu"),
    "rule": (("--rule", "backprop"), "backprop"),
    "switches": (("--shared-switches", "none"), "none"),
    "top": (("--top", "0"), "0"),
    "percentile": (("--percentile", "101"), "101"),
    "split": (("--split", "test"), "test"),
    "control": (("--control", "chance"), "chance"),
    "trace of nothing": (("--trace", "conv2:1"), "PICTURE"),
    "trace of no unit": (("--trace", "conv2:99", "a.png"), "20 maps"),
    "trace of no layer": (("--trace", "conv7:1", "a.png"), "the layers are conv1"),
    "trace into a folder": (("--trace", "conv2:1", "a.png", "--out", "x"), "leave out --out"),
    "trace of a control": (
        ("--trace", "conv2:1", "a.png", "--control", "no-switches"),
        "leave out --control",
    ),
}


@pytest.mark.parametrize(("arguments", "says"), USAGE.values(), ids=list(USAGE))
def test_usage_errors(place, arguments, says):
    before = sorted(place.rglob("*"))
    result = CliRunner().invoke(main, list(arguments))
    assert (
        result.exit_code == 2
        and says in result.stderr
        and result.stdout == ""
        and "Traceback" not in result.stderr
    )
    assert sorted(place.rglob("*")) == before


def test_data_that_went_away_is_asked_for(place):
    os.rename("pictures", "gone")
    refused(
        "--layer",
        2,
        code=2,
        says="was trained on pictures, which is not here; name it, or other pictures, with --data",
    )
    checkpoint.save("runs/tiny-pictures-1/last.h5", small_net(), {})
    refused("--layer", 2, code=2, says="--data")


def test_bad_checkpoints(place):
    path = pathlib.Path("runs/tiny-pictures-1/last.h5")
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:-50]):
        path.write_bytes(content)
        refused("--layer", 2, code=1, says="last.h5")
    import h5py

    with h5py.File(path, "w") as file:
        file["else"] = 1
    refused("--layer", 2, code=1, says="another program")


def test_no_checkpoint_at_all(place, monkeypatch):
    os.rename("runs", "gone")
    monkeypatch.setattr(checkpoint.importlib.resources, "files", lambda name: place)
    refused("--layer", 2, code=1, says="rawconv-train")


def test_data_that_hold_nothing(place):
    pathlib.Path("empty").mkdir()
    refused("--layer", 2, "--data", "empty", code=1, says="empty")
    pathlib.Path("one/cat").mkdir(parents=True)
    os.link("a.png", "one/cat/a.png")
    refused("--layer", 2, "--data", "one", code=1, says="one class")


def test_output_that_cannot_be(place):
    pathlib.Path("file").write_text("")
    refused("--layer", 2, "--out", "file", code=2, says="file exists")
    refused("--layer", 2, "--out", "file/below", code=1, says="file/below")
    refused("--layer", 2, "--out", "file", "--force", code=1, says="file")


def test_help_is_quick_and_has_examples():
    """Quick by the processor's clock, which other programs do not slow down; nothing heavy is imported."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before = os.times()
    command = [sys.executable, "-m", "rawconv.cli.visualize", "--help"]
    out = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=True
    ).stdout
    after = os.times()
    assert (
        after.children_user + after.children_system - before.children_user - before.children_system
        < 0.5
    )
    assert "rawconv-visualize --layer 4\n" in out and out.count("  rawconv-visualize ") == 2
    heavy = "import sys, rawconv.cli.visualize; print({'numpy', 'numba', 'h5py', 'PIL'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", heavy], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_field_larger_than_the_image_shows_the_whole_image():
    from rawconv.visualize.receptive_field import Field
    from rawconv.visualize.units import cut_box

    shape = small_net().shape
    assert cut_box(Field((30, 10), (4, 4), (-9, -3)).box(1, 2), shape) == (0, 5, 24, 15)
    assert cut_box(Field((24, 25), (4, 4), (-9, -3)).box(1, 2), shape) == (0, 0, 24, 24)
    assert cut_box(Field((23, 23), (4, 4), (-9, -3)).box(0, 0), shape) == (-9, -3, 14, 20)
