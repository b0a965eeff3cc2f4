"""Experiments on a net from elsewhere: it names no data set, and its layers are not called as the
paper's.
"""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from subjects import data_of, subject_of

from rawconv import checkpoint
from rawconv.cli.experiments import main
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments.features import feature_layers
from rawconv.experiments.occlusion import run
from rawconv.experiments.study import begin
from rawconv.experiments.subject import Shown, class_numbers
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.visualize.default_layer import default_layer, short_names


def foreign():
    """Two modules as SqueezeNet's, and class scores that are averages of maps."""
    layers = [("stem", Conv(6, 3, 2, init_std="he")), ("relu_stem", ReLU())]
    for name in ("fire2", "fire3"):
        layers += [
            (f"{name}/left", Conv(4, 1, init_std="he"), layers[-1][0]), (f"{name}/relu_left", ReLU()),
            (f"{name}/right", Conv(4, 3, pad=1, init_std="he"), layers[-1][0]), (f"{name}/relu_right", ReLU()),
            (f"{name}/concat", Concat(), f"{name}/relu_left", f"{name}/relu_right"),
        ]  # fmt: skip
    layers += [("pool", MaxPool(2, 2)), ("last", Conv(3, 1, init_std="he")), ("relu_last", ReLU()),
               ("average", AveragePool(8))]  # fmt: skip
    net = Net((32, 32, 3), layers, ["ladybug", "tench", "pelican"], model="foreign")
    for name in net.convolutions:
        net[name].bias[:] = 1
    return net


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to stand in, with net.h5, which names no data set, and two pictures."""
    monkeypatch.chdir(tmp_path)
    checkpoint.save("net.h5", foreign(), {"imported": {"file": "net.onnx"}})
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(f"{name}.png")


def experiment(*words, code=0):
    done = CliRunner().invoke(main, [*words, "--weights", "net.h5", "--device", "cpu"])
    assert done.exit_code == code, done.output
    return done


def test_the_layer_taken_is_the_last_below_the_classifier():
    net = foreign()
    assert default_layer(net) == "fire3/concat" and "average" not in short_names(net)
    assert short_names(net) == "stem, fire2, fire3, pool, last, scores"
    paper = subject_of().net
    assert default_layer(paper) == "conv2" and short_names(paper) == "conv1, pool1, conv2, scores"


def test_occlusion_of_a_picture_alone(place):
    done = experiment("occlusion", "a.png", "--square", "8", "--stride", "8")
    assert "This net has no conv5; its layer fire3/concat is taken. --layer names" in done.stderr
    folder = pathlib.Path(done.stdout.splitlines()[-1])
    about = json.loads((folder / "occlusion.json").read_text())
    assert about["numbers"]["layer"] == about["options"]["layer"] == "fire3/concat"
    assert about["options"]["data"].startswith("pictures 1 ")
    assert folder.name == "foreign-pictures-occlusion-1"
    assert about["numbers"]["pictures"][0]["class"] in foreign().classes


def test_without_a_picture_the_data_set_is_asked_for_by_its_option(place):
    done = experiment("occlusion", code=2)
    assert "net.h5 does not name its data set; name one with --data." in done.stderr


def test_a_layer_that_is_named_is_never_replaced(place):
    done = experiment("occlusion", "a.png", "--layer", "conv5", code=2)
    assert "There is no layer 'conv5' in this net; the layers are stem, fire2/left" in done.stderr


@pytest.mark.parametrize(
    ("words", "layer", "option"),
    [(("invariance", "a.png"), "1", "low"), (("invariance", "a.png", "--low", "stem"), "7", "high"),
     (("correspondence", "--count", "2"), "5", "layer")],
)  # fmt: skip
def test_several_layers_are_asked_for_by_option_and_name(place, words, layer, option):
    done = experiment(*words, code=2)
    assert (
        f"This net has no layer {layer}, which is taken without --{option}; name one of its own with --{option}: "
        "stem, fire2, fire3, pool, last, scores." in done.stderr
    )


def test_correspondence_asks_for_no_data(place):
    words = ("--layer", "fire2", "--layer", "fire3", "--draws", "2", "--count", "2")
    done = experiment("correspondence", *words)
    assert "at fire2/concat" in done.stdout and "at fire3/concat" in done.stdout
    refused = experiment("correspondence", *words, "--data", "scenes", code=2)
    assert "No such option" in refused.stderr and "--data" in refused.stderr


def test_features_are_those_of_the_modules_below_the_classifier():
    """A node called conv1 does not make it a net of numbered layers."""
    assert feature_layers(foreign()) == {
        1: "relu_stem",
        2: "fire2/concat",
        3: "fire3/concat",
        4: "pool",
    }
    renamed = [("conv1" if name == "stem" else name, layer, *("conv1" if one == "stem" else one for one in inputs))
               for name, layer, inputs in foreign().nodes.values()]  # fmt: skip
    assert feature_layers(Net((32, 32, 3), renamed, list("abc")))[4] == "pool"
    assert feature_layers(subject_of().net) == {1: "norm1", 2: "relu2"}


@pytest.fixture
def five(place):
    """A data set of two classes that the net has not seen."""
    rng = np.random.default_rng(4)
    for name, low in (("dark", 0), ("light", 120)):
        pathlib.Path("data", name).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(low, low + 120, (36, 36, 3), np.uint8)
            Image.fromarray(pixels).save(f"data/{name}/{k}.png")
    return ("--data", "data", "--per-class", "3", "--folds", "2", "--test", "1")


def test_layers_and_transfer_of_a_net_whose_layers_have_names(five):
    done = experiment("layers", *five, "--classifier", "softmax")
    assert "layers 1..n: (1 stem) " in done.stdout and ", (4 pool) " in done.stdout
    folder = pathlib.Path(done.stdout.splitlines()[-1])
    table = json.loads((folder / "layers.json").read_text())["numbers"]["table"]
    for net in ("trained", "untrained"):
        objects = [cell["object"] for cell in table if cell["net"] == net]
        assert objects == list(feature_layers(foreign()).values())
    assert "layers fixed " in experiment("transfer", *five, "--steps", "2").stdout


def test_a_net_comes_back_from_onnx_with_its_names(tmp_path):
    """Short ones too, which exporters make up themselves."""
    pytest.importorskip("onnx", reason="onnx is not installed: no foreign nets")
    from rawconv.convert.read import import_net
    from rawconv.convert.to_onnx import export

    short = {name: f"c{k}" for k, name in enumerate(foreign().nodes)} | {"": ""}
    layers = [
        (short[name], layer, *(short[one] for one in inputs))
        for name, layer, inputs in foreign().nodes.values()
    ]
    for net in (foreign(), Net((32, 32, 3), layers, list("abc"))):
        export(net, tmp_path / "net.onnx")
        again = import_net(tmp_path / "net.onnx").net
        assert list(again.nodes) == list(net.nodes)


def test_built_in_faces_have_a_size(place):
    net = Net((16, 16, 3), foreign().layers[:2], ["a"] * 6, stored=(20, 20))
    checkpoint.save("net.h5", net, {})
    done = experiment("correspondence", "--layer", "stem", code=2)
    assert "are of 28 to 256 pixels, and this net's pictures of 20; name pictures" in done.stderr


def occluded(tmp_path, **options):
    image = data_of(1).val.read([0])[0]
    study = begin("it", options, tmp_path, "it")
    return run(subject_of(data=data_of(1)), study, [Shown("one", image, 0)], "conv2", **options)


def test_a_square_that_always_covers_the_whole_picture_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--square of 48 pixels covers the whole picture of 24x24"):
        occluded(tmp_path, square=48, stride=3)
    assert "nan" not in occluded(tmp_path, square=44, stride=3).sentences[0]


def test_what_is_the_same_at_all_places_is_not_said_to_correlate_by_nan(tmp_path):
    said, *more = occluded(tmp_path, square=8, stride=90).sentences
    assert said.endswith("do not correlate, since one of them is the same at all places.")
    assert more and not any("nan" in sentence or "correlates" in sentence for sentence in more)
    told = occluded(tmp_path / "several", square=8, stride=6).sentences
    assert any("Over 1 picture the fall of the strongest map" in sentence for sentence in told)


def test_a_folder_with_one_picture_a_class_is_asked_as_it_is(place):
    """No picture is held out of what the net was not trained on; of a net trained here a tenth is."""
    for k, name in enumerate(["tench", "ladybug", "pelican"]):
        pathlib.Path("three", name).mkdir(parents=True)
        Image.fromarray(np.full((32, 32, 3), 60 * k + 40, np.uint8)).save(f"three/{name}/0.png")
    words = ("--data", "three", "--layer", "fire2/concat", "--units", "2", "--rows", "1")
    done = experiment("controls", *words, "--out", "out", code=1)
    assert "There is no pooling below" in done.stderr
    experiment("controls", *words[:2], "--layer", "last", *words[4:], "--out", "out")
    about = json.loads(pathlib.Path("out/controls.json").read_text())
    assert about["options"]["data"].startswith("three 3 ")
    checkpoint.save("net.h5", foreign(), {"data": "three"})
    done = experiment("controls", *words, "--out", "mine", code=1)
    assert "holds one picture per class" in done.stderr


def test_numbered_classes_are_taken_in_the_order_of_the_data(capsys):
    """As the test of an imported net does, and said once."""
    net = foreign()
    net.classes = ["0", "1", "2"]
    subject = subject_of(net, data_of(6)._replace(classes=["a", "b", "c"]))
    assert class_numbers(subject).tolist() == [0, 1, 2] == class_numbers(subject).tolist()
    assert capsys.readouterr().err.count("taken in the order of nowhere, 0 is a") == 1
    with pytest.raises(RawconvError, match="does not know c"):
        class_numbers(subject._replace(data=subject.data._replace(classes=["0", "1", "2", "c"])))
