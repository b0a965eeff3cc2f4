"""Nets for pictures that are not square, nets without a classifier, nets whose scores are an
average: all the way.
"""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from laws import assert_close, assert_same
from PIL import Image

import rawconv
from rawconv import checkpoint
from rawconv.cli.experiments import main as experiment
from rawconv.cli.info import main as info
from rawconv.cli.train import main as train
from rawconv.cli.visualize import main as visualize
from rawconv.data.augment import prepare, ten_views
from rawconv.data.preprocessing import stored_size
from rawconv.errors import RawconvError, UsageError
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project
from rawconv.visualize.units import Unit, layer_names

WIDE, CLASSES = (20, 34, 3), ["cat", "dog"]
TRUNK = [("conv1", 6, 3), ("conv2", 5, 3)]


def net_of(shape=WIDE, end="average"):
    """A chain that ends in an average of score maps, in a fully connected layer, or in no
    classifier ("trunk").
    """
    layers = [
        ("conv1", Conv(6, 3, stride=2, init_std="he")), ("relu1", ReLU()), ("pool1", MaxPool(3, 2)),
        ("conv2", Conv(5, (3, 2), init_std="he")), ("relu2", ReLU()),
    ]  # fmt: skip
    layers += {
        "average": [
            ("conv3", Conv(2, 1, init_std="he")),
            ("relu3", ReLU()),
            ("pool3", AveragePool(None)),
        ],
        "dense": [("fc3", Conv(2, None, init_std="he"))],
        "trunk": [("conv3", Conv(4, 2, init_std="he"))],
    }[end]
    return Net(
        shape, layers, [] if end == "trunk" else CLASSES, np.full(3, 120, np.float32), seed=1
    )


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a data set in two classes, of pictures that are not square either."""
    monkeypatch.chdir(tmp_path)
    dice = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in CLASSES:
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for k in range(3):
                image = Image.fromarray(dice.integers(0, 256, (37, 60, 3), np.uint8))
                image.save(tmp_path / "data" / part / name / f"{k}.png")
    return tmp_path


def call(command, *arguments, code=0):
    result = CliRunner().invoke(command, list(map(str, arguments)))
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_a_wide_net_keeps_square_images_and_sees_their_centre():
    net = net_of()
    assert (
        net.stored == (34, 34)
        and stored_size(net) == 34
        and net_of((12, 9, 3), "dense").stored == (12, 12)
    )
    image = np.random.default_rng(1).integers(0, 256, (50, 40, 3), np.uint8)
    passed = forward_pass(net, image, ["conv2"])
    assert passed.x.shape == (1, *WIDE) and passed.center_crops().shape == (1, *WIDE)
    assert_same(passed.x[0], passed.center_crops()[0] - net.pixel_mean)
    assert_same(passed.center_crops()[0], passed.images[0, 7:27])


def test_crops_of_images_that_are_not_square(xp):
    """Every crop is a slice of its picture, mirrored or not; the two sides are not mixed up."""
    images = np.random.default_rng(0).integers(0, 256, (40, 11, 13, 3), np.uint8)
    for crop, size, pad in (("random", (8, 12), 0), ("pad4", (11, 13), 4), ("ten", (9, 4), 0)):
        y = to_cpu(prepare(xp.asarray(images), np.zeros(3), size, (1, 2, np.arange(40)), crop))
        wide = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0))).astype(np.float32)
        tops, lefts = (range(n - k + 1) for n, k in zip(wide.shape[1:3], size, strict=True))
        for image, got in zip(wide, y, strict=True):
            slices = [image[t : t + size[0], s : s + size[1]] for t in tops for s in lefts]
            assert any(
                np.array_equal(got, one) or np.array_equal(got, one[:, ::-1]) for one in slices
            ), crop
    views = to_cpu(ten_views(xp.asarray(images[:1]), np.zeros(3), (8, 12)))
    assert views.shape == (10, 8, 12, 3)
    assert_same(views[4], images[0, 1:9, 0:12].astype(np.float32))
    assert_same(
        views[8],
        images[
            0,
            3:11,
            1:13,
        ][:, ::-1].astype(np.float32),
    )


def test_every_unit_of_a_wide_net_comes_down_through_its_field():
    net = net_of().astype("float64")
    passed = forward_pass(
        net, np.random.default_rng(1).integers(0, 256, (34, 34, 3), np.uint8), layer_names(net)
    )
    for layer in ("conv1", "pool1", "conv2", "conv3", "scores"):
        height, width, maps = net.shapes[layer_names(net)[layer]]
        units = [Unit(0, layer, (y + x) % maps, y, x) for y in range(height) for x in range(width)]
        for one, full in zip(
            project(passed, units), project(passed, units, full=True), strict=True
        ):
            assert one.pixels.shape == WIDE
            assert_close(one.pixels, full.pixels, 1e-12)
            top, left, bottom, right = one.unit.box(net)
            outside = to_cpu(one.pixels).copy()
            outside[max(0, top) : bottom, max(0, left) : right] = 0
            assert not outside.any()


@pytest.mark.parametrize("end", ["average", "dense"])
def test_a_wide_net_goes_through_every_command(place, end):
    checkpoint.save("net.h5", net_of(end=end), {"data": "data", "seed": 0})
    again = checkpoint.load("net.h5").net
    assert again.shape == WIDE and again.stored == (34, 34)
    asked = ["--weights", "net.h5", "--layer", "2", "--layer", "scores", "--top", "2"]
    call(visualize, *asked, "--out", "scanned", "--report", "page.html")
    call(visualize, *asked, "--out", "figures", "data/val/cat/0.png")
    about = json.loads((place / "figures/index.json").read_text())
    assert len(about["pictures"][0]["classes"]) == 2
    call(train, "--test-only", "--weights", "net.h5", "--out", "tested", "--views", "10")
    call(
        train,
        "--data",
        "data",
        "--weights",
        "net.h5",
        "--epochs",
        "1",
        "--out",
        "more",
        "--batch",
        "4",
    )
    call(
        experiment,
        "occlusion",
        "--weights",
        "net.h5",
        "--layer",
        "2",
        "--out",
        "covered",
        "data/val/cat/0.png",
    )
    assert json.loads(call(info, "net.h5", "--json").stdout)["shape"] == list(WIDE)


def test_scores_may_be_an_average():
    """A map of scores, its ReLU, a global average, as in SqueezeNet: the scores are the average,
    seeded with 1.
    """
    net, image = net_of(), np.random.default_rng(1).integers(0, 256, (34, 34, 3), np.uint8)
    assert layer_names(net)["scores"] == "pool3" and net.has_scores
    passed = forward_pass(net, image)
    assert_same(passed.logits[0], net.forward(passed.x)[0].reshape(-1))
    assert [name for name, _ in rawconv.classify(net, image)] == [
        CLASSES[k] for k in np.argsort(-passed.logits[0])
    ]
    (one,) = project(passed, [Unit(0, "scores", 1, 0, 0)], full=True)
    seed = np.zeros_like(passed["scores"])
    seed[..., 1] = 1
    assert_same(one.pixels, net.deconv(seed, passed.caches_to("pool3"))[0])


def test_a_trunk_is_looked_into_and_scanned_and_not_tested(place):
    net = net_of((24, 20, 3), "trunk")
    assert (
        "scores" not in layer_names(net)
        and not net.has_scores
        and layer_names(net)["conv3"] == "conv3"
    )
    checkpoint.save("net.h5", net, {"data": "data"})
    asked = ["--weights", "net.h5", "--layer", "conv3", "--layer", "2", "--top", "2"]
    call(visualize, *asked, "--out", "scanned", "--report", "page.html")
    result = call(visualize, *asked, "--out", "figures", "data/val/cat/0.png")
    assert "%" not in result.stderr, "there are no classes to tell"
    about = json.loads((place / "figures/index.json").read_text())
    assert about["pictures"][0]["classes"] == [] and len(about["pictures"][0]["layers"]) == 2
    passed = forward_pass(net, np.full((24, 24, 3), 9, np.uint8))
    (one,) = project(passed, [Unit(0, "conv3", 1, 2, 1)])
    assert float(one.value) == float(passed["conv3"][0, 2, 1, 1]), (
        "a unit of a trunk keeps its value"
    )
    sentence = (
        "Layer conv3 of this net ends in maps of .*, not in one score a class; look into its layers"
    )
    with pytest.raises(RawconvError, match=sentence):
        rawconv.classify(net, np.zeros((24, 24, 3), np.uint8))
    with pytest.raises(UsageError, match="There is no layer 'scores'"):
        passed.logits  # noqa: B018
    for command, *arguments in (
        (train, "--test-only", "--weights", "net.h5"),
        (train, "--data", "data", "--weights", "net.h5", "--epochs", "1", "--out", "a"),
        (
            train,
            "--data",
            "data",
            "--weights",
            "net.h5",
            "--epochs",
            "1",
            "--out",
            "b",
            "--fine-tune",
        ),
        (
            experiment,
            "occlusion",
            "--weights",
            "net.h5",
            "--layer",
            "2",
            "--out",
            "c",
            "data/val/cat/0.png",
        ),
    ):
        stderr = call(command, *arguments, code=1).stderr
        assert "Layer conv3 of this net ends in maps of" in stderr and "Traceback" not in stderr
    assert json.loads(call(info, "net.h5", "--json").stdout)["shape"] == [24, 20, 3]
