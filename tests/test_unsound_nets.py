"""Nets that cannot answer: every command names the layer, in one sentence, without a warning."""

import json
import re
import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rawconv import checkpoint
from rawconv.cli.info import main as info
from rawconv.cli.train import main as train
from rawconv.cli.visualize import main as visualize
from rawconv.errors import RawconvError
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import Device
from rawconv.net import Net
from rawconv.training import testing
from rawconv.visualize.shortcuts import classify
from rawconv.visualize.top_activations import scan


def net_with(fault=None):
    layers = [
        ("conv1", Conv(3, 3)),
        ("relu1", ReLU()),
        ("norm1", LRN(3)),
        ("conv2", Conv(4, 3)),
        ("relu2", ReLU()),
    ]
    net = Net(
        (12, 12, 3),
        [*layers, ("fc3", Conv(2, None, init_std=0.1))],
        ["cat", "dog"],
        np.full(3, 120, np.float32),
        seed=1,
    )
    if fault in ("nan", "inf"):
        net["conv2"].weight[0, 0, 0, 0] = float(fault)
    if fault == "bias":
        net["fc3"].bias[1] = np.nan
    if fault == "mean":
        net.pixel_mean[1] = np.nan
    if fault == "overflow":
        net["conv2"].weight[:] = 1e37
    return net


SAYS = {
    "nan": r"Layer conv2 .*weight.* not finite", "inf": r"Layer conv2 .*weight.* not finite",
    "bias": r"Layer fc3 .*bias.* not finite", "mean": r"mean picture .* not finite",
    "overflow": r"not finite; going up, the output of (conv2|relu2|fc3) is the first",
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dice = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for k in range(3):
                image = Image.fromarray(dice.integers(0, 256, (12, 12, 3), np.uint8))
                image.save(tmp_path / "data" / part / name / f"{k}.png")
    return tmp_path


def told(command, *arguments):
    """The last line on stderr of a command that fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = CliRunner().invoke(command, list(map(str, arguments)))
    assert result.exit_code == 1, (result.exception, result.stdout)
    sentence = result.stderr.strip().splitlines()[-1]
    assert sentence.startswith("Error: ") and "Traceback" not in result.stderr
    return sentence


@pytest.mark.parametrize("fault", SAYS)
def test_every_command_names_the_layer(place, fault):
    checkpoint.save("net.h5", net_with(fault), {"data": "data"})
    cat = "data/val/cat/0.png"
    for command, arguments in (
        (visualize, ["--weights", "net.h5", "--layer", "2", "--out", "a"]),
        (visualize, ["--weights", "net.h5", "--layer", "2", "--out", "b", cat]),
        (visualize, ["--weights", "net.h5", "--trace", "conv1:1", cat]),
        (train, ["--test-only", "--weights", "net.h5"]),
    ):
        if fault == "overflow" and "--trace" in arguments:
            continue  # below the layer that overflows all is well
        assert re.search(SAYS[fault], told(command, *arguments)), arguments
    with pytest.raises(RawconvError, match=SAYS[fault]):
        classify(net_with(fault), np.zeros((2, 12, 12, 3), np.uint8))


@pytest.mark.parametrize("fault", ["nan", "mean"])
def test_info_lists_the_net_and_names_the_layer(place, fault):
    checkpoint.save("net.h5", net_with(fault), {"data": "data"})
    result = CliRunner().invoke(info, ["net.h5"])
    assert (
        result.exit_code == 0 and "conv2" in result.stdout and re.search(SAYS[fault], result.stderr)
    )
    result = CliRunner().invoke(info, ["net.h5", "--json"])
    assert re.search(SAYS[fault], json.loads(result.stdout)["fault"])


def test_a_sound_net_has_no_fault(place):
    checkpoint.save("net.h5", net_with(), {"data": "data"})
    result = CliRunner().invoke(info, ["net.h5", "--json"])
    assert "fault" not in json.loads(result.stdout) and not result.stderr
    assert (
        testing.test_checkpoint("net.h5", None, Device(), lambda line: None, out="tested")[
            "pictures"
        ]
        == 6
    )
    assert len(classify(net_with(), np.zeros((2, 12, 12, 3), np.uint8))) == 2


def test_a_net_that_does_not_end_in_one_score_a_class(place):
    maps = Net(
        (12, 12, 3),
        [("conv1", Conv(2, 3)), ("relu1", ReLU()), ("conv2", Conv(2, 3))],
        ["cat", "dog"],
    )
    checkpoint.save("net.h5", maps, {"data": "data"})
    match = "Layer conv2 of this net ends in maps of 8x8, not in one score a class"
    assert match in told(train, "--test-only", "--weights", "net.h5")
    assert match in told(train, "--data", "data", "--weights", "net.h5")
    few = net_with()
    few.classes = ["cat"]
    with pytest.raises(
        RawconvError, match="Layer fc3 of this net has 2 scores, and 1 classes have names"
    ):
        classify(few, np.zeros((1, 12, 12, 3), np.uint8))


def test_a_scan_of_maps_that_overflow(place):
    from rawconv.data import open_data

    split = open_data("data", 12, progress=False).val
    with pytest.raises(RawconvError, match=SAYS["overflow"]):
        scan(net_with("overflow"), split, ["conv2"], 2, progress=False)
    found = scan(net_with("overflow"), split, ["conv1"], 2, progress=False)
    assert np.isfinite(next(iter(found.values())).value).all()
