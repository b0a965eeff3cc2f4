"""Class scores by the names of their classes: units, --units, traces, pages; and layers called `scores`."""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_experiments_on_imports import foreign

import rawconv
from rawconv import checkpoint
from rawconv.cli.visualize import main
from rawconv.errors import UsageError
from rawconv.layers.conv import Conv
from rawconv.net import Net
from rawconv.visualize.class_number import class_number
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.units import Unit, layer_object, parse_unit, shown_name, unit_text

CLASSES = ["ladybug", "Lady's_slipper", "great_white_shark", "Great Dane", "n02123045_tabby", "crane", "crane",
           "maillot", "maillot, tank suit", "a:b", "lacewing"]  # fmt: skip


def named(classes=CLASSES):
    return Net((8, 8, 3), [("head", Conv(len(classes), None))], classes)


@pytest.mark.parametrize(
    ("name", "number"),
    [("ladybug", 0), ("LadyBug", 0), ("ladyb", 0), ("lady's slipper", 1), ("great white", 2), ("GREAT DANE", 3),
     ("tabby", 4), ("n02123045_tabby", 4), ("maillot", 7), ("MAILLOT", 7), ("maillot, t", 8), ("a:b", 9), ("lac", 10)],
)  # fmt: skip
def test_a_class_is_found_by_its_name_or_the_beginning_of_it(name, number):
    net = named()
    assert class_number(net, name) == number
    assert parse_unit(net, f"scores:{name}", 3) == Unit(3, "scores", number)
    assert (
        parse_unit(net, f"scores:{name}:*").channel
        == parse_unit(net, f"head:{name}").channel
        == number
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lady", "'lady' may be ladybug, Lady's_slipper; write more of the name."),
        ("great", "'great' may be great_white_shark, Great Dane; write more"),
        ("crane", "'crane' is the name of the classes 5, 6; write the number of one."),
        ("ladybgu", "no class 'ladybgu'; the nearest of its 11 names: ladybug"),
        (
            "zebra",
            "no class 'zebra'; its 11 classes are ladybug, Lady's_slipper, great_white_shark and 8 others.",
        ),
    ],
)
def test_what_is_not_one_class_is_told_with_the_names_near_it(name, says):
    with pytest.raises(UsageError) as error:
        parse_unit(named(), f"scores:{name}")
    assert says in str(error.value)


def test_a_few_classes_are_all_listed_and_numbers_stay_numbers():
    with pytest.raises(UsageError, match="no class 'dog'; its classes are 3, 7"):
        parse_unit(named(["3", "7"]), "scores:dog")
    assert parse_unit(named(["3", "7"]), "scores:1").channel == 1
    assert parse_unit(named(), "scores:2:0:0") == Unit(0, "scores", 2, 0, 0)
    with pytest.raises(UsageError, match="is not a unit"):
        parse_unit(foreign(), "fire2:ladybug")


def test_a_projection_by_name_is_the_one_by_number():
    net, image = foreign(), np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    passed = forward_pass(net, image)
    strongest = int(passed.logits[0].argmax())
    name = net.classes[strongest]
    down = rawconv.project(net, image, f"scores:{name.upper()}")
    assert down.any()
    np.testing.assert_array_equal(down, rawconv.project(net, image, f"scores:{strongest}"))
    unit = passed.unit(f"scores:{name[:3]}")
    assert unit.channel == strongest and unit_text(net, unit) == f"scores:{name}"
    assert unit_text(net, Unit(0, "fire2/concat", 2, 1, 1)) == "fire2/concat:2:1:1"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.save("net.h5", foreign(), {})
    for folder, seed in (("tench", 0), ("pelican", 1)):
        pathlib.Path("pictures", folder).mkdir(parents=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(f"pictures/{folder}/a.png")


def visualize(*words, code=0):
    done = CliRunner().invoke(main, ["--weights", "net.h5", "--device", "cpu", *words])
    assert done.exit_code == code, done.output
    return done


def test_units_by_class_show_the_class_scores(place):
    done = visualize("--units", "Pelican,tench", "pictures/tench/a.png", "--out", "seen", "--json")
    (drawn,) = json.loads(done.stdout)["pictures"][0]["layers"]
    assert drawn["layer"] == "scores" and [unit["map"] for unit in drawn["units"]] == [2, 1]
    visualize("--units", "scores:lady,0-1", "--layer", "scores", "--data", "pictures", "--out", "all", "--top", "1",
              "--report", "all.html")  # fmt: skip
    (layer,) = json.loads(pathlib.Path("all/index.json").read_text())["layers"]
    assert list(layer["units"]) == ["0", "1"]
    assert '"ladybug"' in pathlib.Path("all.html").read_text()


def test_names_of_classes_are_for_the_class_scores(place):
    done = visualize("--units", "tench", "--layer", "fire2", "pictures/tench/a.png", code=2)
    assert "--units tench is no list of maps of fire2/concat" in done.stderr
    assert "Names of classes are for --layer scores." in done.stderr
    done = visualize("--units", "tenhc", "pictures/tench/a.png", code=2)
    assert "The net has no class 'tenhc'; its classes are ladybug, tench, pelican." in done.stderr


def test_a_trace_names_the_class(place):
    done = visualize("--trace", "scores:TENCH", "pictures/tench/a.png")
    assert done.stdout.splitlines()[0] == "pictures/tench/a.png, scores:tench"


def test_figures_state_the_node_of_a_net_that_branches(place):
    net = foreign()
    assert shown_name(net, layer_object(net, "stem")) == "stem (node relu_stem)"
    assert shown_name(net, layer_object(net, "fire2")) == "fire2/concat"
    assert shown_name(net, layer_object(net, "scores")) == "scores (node average)"
    assert shown_name(rawconv.load(), "relu4") == "conv4"


def test_a_node_that_is_called_scores_does_not_hide_behind_the_class_scores(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed: no foreign nets")
    import onnx_files
    from onnx import helper

    chain = onnx_files.Chain((1, 3, 12, 12)).conv(4, 3, 3).add("Relu").conv(5, 4, 1)
    below = chain.value
    chain.add("Relu")
    chain.nodes.append(helper.make_node("Add", [below, chain.value], ["sum"], "scores"))
    chain.value = "sum"
    chain.add("GlobalAveragePool").add("Flatten")
    from rawconv.convert.read import import_net

    found = import_net(chain.save(tmp_path / "net.onnx"))
    net = found.net
    assert layer_object(net, "scores") == net.output and net.shapes[net.output] == (1, 1, 5)
    assert net.shapes[layer_object(net, "scores_")] == (10, 10, 5) and "scores" not in net.nodes
    assert found.info["imported"]["layers"] == {"scores_": "scores"}
    trunk = onnx_files.Chain((1, 3, 12, 12)).conv(4, 3, 3)
    trunk.nodes.append(helper.make_node("Relu", [trunk.value], ["r"], "scores"))
    trunk.nodes.append(helper.make_node("Add", [trunk.value, "r"], ["end"], "end"))
    trunk.value = "end"
    net = import_net(trunk.save(tmp_path / "trunk.onnx")).net
    assert "scores" in net.nodes and layer_object(net, "scores") == "scores"
