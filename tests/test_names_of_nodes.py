"""How a user names the nodes of an imported net: by their own names, or by what they have in common."""

import numpy as np
import pytest

from rawconv.errors import UsageError
from rawconv.layers.add import Add
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.report.figure2 import draw_images
from rawconv.report.look import LOOK
from rawconv.visualize.units import Unit, is_score, layer_names, layer_object, parse_unit, user_name


def imported():
    """A Fire module, a residual block, a batch norm below a ReLU, and scores that are an average
    above a ReLU.
    """
    scale = Conv(8, 1, groups=8)
    return Net((12, 12, 3), [
        ("stem:0", Conv(4, 3)), ("stem/relu", ReLU()),
        ("fire2/squeeze", Conv(3, 1)), ("fire2/relu", ReLU()), ("fire2/left", Conv(4, 1)), ("fire2/left_relu", ReLU()),
        ("fire2/right", Conv(4, 3, pad=1), "fire2/relu"), ("fire2/concat", Concat(), "fire2/left_relu", "fire2/right"),
        ("fire20/conv", Conv(8, 1)), ("layer1.0.conv1", Conv(8, 3, pad=1)), ("layer1.0.relu", ReLU()),
        ("layer1.0.conv2", Conv(8, 3, pad=1)), ("layer1.0.add", Add(), "fire20/conv", "layer1.0.conv2"),
        ("layer1.0.relu_1", ReLU()), ("layer1.10", MaxPool(2, 2)),
        ("sum", Add(), "layer1.10", "layer1.10"), ("norm", scale), ("relu", ReLU()),
        ("classifier.1", Conv(5, 1)), ("classifier.2", ReLU()), ("classifier.3", AveragePool((5, 5))),
    ])  # fmt: skip


@pytest.mark.parametrize("given, found", [
    ("stem:0", "stem/relu"), ("fire2/left", "fire2/left_relu"), ("fire2/left_relu", "fire2/left_relu"),
    ("fire2/right", "fire2/right"), ("fire2", "fire2/concat"), ("fire20", "fire20/conv"),
    ("layer1.0", "layer1.0.relu_1"), ("layer1.0.add", "layer1.0.relu_1"), ("layer1", "layer1.10"),
    ("layer1.0.conv2", "layer1.0.conv2"), ("sum", "relu"), ("norm", "relu"), ("classifier", "classifier.3"),
    ("classifier.1", "classifier.2"), ("scores", "classifier.3"), ("stem", "stem/relu"),
])  # fmt: skip
def test_a_name_means_its_node_with_the_relu_above(given, found):
    assert layer_object(imported(), given) == found


def test_the_names_that_are_listed_find_themselves():
    net = imported()
    names = layer_names(net)
    assert "scores" in names and is_score(net, "classifier.3") and not is_score(net, "classifier.2")
    for name, found in names.items():
        assert (
            layer_object(net, name) == found and layer_object(net, user_name(net, found)) == found
        )
    with pytest.raises(UsageError, match="no layer 'fire'"):
        layer_object(net, "fire")
    chain = Net((4, 4, 3), [(f"a{k}", Conv(3, 1)) for k in range(100)])
    with pytest.raises(UsageError, match="a59 and 40 others"):
        layer_object(chain, "nowhere")


@pytest.mark.parametrize("text, unit", [
    ("stem:0:3", Unit(0, "stem:0", 3)), ("stem:0:3:1:2", Unit(0, "stem:0", 3, 1, 2)),
    ("stem:0:2:*", Unit(0, "stem:0", 2, whole=True)), ("fire2:7", Unit(0, "fire2/concat", 7)),
    ("layer1.0:1:2:3", Unit(0, "layer1.0.add", 1, 2, 3)), ("scores:4", Unit(0, "scores", 4)),
])  # fmt: skip
def test_units_are_read_from_the_right(text, unit):
    assert parse_unit(imported(), text) == unit and parse_unit(imported(), str(unit)) == unit


@pytest.mark.parametrize(
    "text", ["fire2:1:2", "fire2", "nowhere:1", ":1", "fire2:8", "stem:0:0:10:0"]
)
def test_what_is_no_unit(text):
    with pytest.raises(UsageError):
        parse_unit(imported(), text)


def test_a_trunk_ends_in_maps_and_has_no_scores():
    net = Net((8, 8, 3), [("conv", Conv(4, 3)), ("pool", MaxPool(2, 2))])
    assert "scores" not in layer_names(net) and layer_object(net, "pool") == "pool"


def test_figures_of_such_layers_have_file_names(tmp_path):
    net = imported()
    rng = np.random.default_rng(0)
    for value in net.params.values():
        value[:] = rng.uniform(-0.2, 0.5, value.shape)
    image = rng.integers(0, 256, (12, 12, 3), np.uint8)
    asked = [(layer_object(net, name), None) for name in ("fire2", "stem:0", "scores")]
    about = draw_images(net, [("cat", "cat.png", image)], asked, LOOK, 2, tmp_path)
    files = [layer["file"] for layer in about["pictures"][0]["layers"]]
    assert files == ["fire2_concat-cat.png", "stem_0-cat.png", "scores-cat.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
