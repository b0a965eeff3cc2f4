"""Checkpoints: what goes in comes out, bit for bit, and the newest is found."""

import os
import shutil
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from checkpoints import INFO, PROGRESS, momentum, odd_net, same, state, tiny_net

from rawconv import checkpoint, models
from rawconv.errors import RawconvError
from rawconv.layers.add import Add
from rawconv.layers.conv import Conv
from rawconv.machine.arrays import Device
from rawconv.net import Net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_is_bit_identical(path, dtype):
    net = odd_net(dtype)
    given = state(net)
    checkpoint.save(path, net, INFO, given)
    back = checkpoint.load(path)
    assert [(n, type(x), x.settings) for n, x in back.net.layers] == [
        (n, type(x), x.settings) for n, x in net.layers
    ]
    assert back.net.params.keys() == net.params.keys()
    assert all(
        same(back.net.params[key], value) and str(value.dtype) == dtype
        for key, value in net.params.items()
    )
    assert same(back.net.pixel_mean, net.pixel_mean)
    assert (back.net.shape, back.net.model) == (net.shape, net.model)
    assert back.net.classes == ["Katze", "été", r"bad \xff"], (
        "a name is text: what is not UTF-8 is written out"
    )
    assert back.info == INFO and back.state["progress"] == given["progress"]
    assert back.state["momentum"].keys() == given["momentum"].keys()
    assert all(same(back.state["momentum"][key], value) for key, value in given["momentum"].items())


def test_a_loaded_net_computes_the_same(path):
    net = models.build("lenet", 3, seed=5)
    checkpoint.save(path, net, {})
    x = np.random.default_rng(0).standard_normal((2, 28, 28, 3), np.float32)
    assert same(net.forward(x.copy())[0], checkpoint.load(path).net.forward(x.copy())[0])


def test_without_state(path):
    checkpoint.save(path, tiny_net(), {"numpy": np.float32(0.5), "count": np.int64(3)})
    back = checkpoint.load(path)
    assert back.state is None and back.info == {"numpy": 0.5, "count": 3}


def test_info_may_be_long(path):
    info = {"notes": list(range(50_000))}
    checkpoint.save(path, tiny_net(), info)
    assert checkpoint.load(path).info == info


def test_momentum_of_some_layers_only(path):
    net = tiny_net()
    some = {("fc2", "weight"): momentum(net)["fc2", "weight"]}
    checkpoint.save(path, net, INFO, {"momentum": some, "progress": PROGRESS})
    assert checkpoint.load(path).state["momentum"].keys() == some.keys()


def test_arrays_of_any_device(path, xp):
    net = tiny_net()
    kept = {key: value.copy() for key, value in net.params.items()}
    checkpoint.save(path, net.to(Device(None if xp is np else 0)), {})
    assert all(same(checkpoint.load(path).net.params[key], value) for key, value in kept.items())


def test_size_of_zf64(path):
    checkpoint.save(path, models.build("zf64", 64), INFO)
    assert path.stat().st_size < 6_100_000


def test_equal_content_gives_equal_bytes(tmp_path):
    """Also in another second, another process and with other garbage in fresh memory."""
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    checkpoint.save(first, odd_net(), INFO, state(odd_net()))
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]; import checkpoints as t; from rawconv import checkpoint;"
        "checkpoint.save(sys.argv[1], t.odd_net(), t.INFO, t.state(t.odd_net()))"
    )
    time.sleep(1.1)
    here = os.path.dirname(__file__)
    environment = os.environ | {"MALLOC_PERTURB_": "77"}
    command = [sys.executable, "-c", code, second, here, os.path.dirname(here)]
    subprocess.run(command, env=environment, check=True)
    assert first.read_bytes() == second.read_bytes()


def test_readable_by_plain_h5py_and_head(path):
    net = odd_net()
    checkpoint.save(path, net, INFO)
    assert path.read_bytes().split(b"\n")[0].startswith(b"rawconv checkpoint, version 2, ")
    with h5py.File(path) as file:
        assert file.attrs["format"] == b"rawconv" and file.attrs["version"] == 2
        assert (
            next(iter(file["layers"])) == "00_conv1"
            and file["layers/00_conv1"].attrs["type"] == b"Conv"
        )
        assert same(file["layers/00_conv1/weight"][:], net["conv1"].weight)


@pytest.mark.parametrize("wrong", ["half", "labels"])
def test_save_refuses_what_load_would(path, wrong):
    net = tiny_net()
    if wrong == "half":
        net["fc2"].weight = net["fc2"].weight.astype("float16")
    if wrong == "labels":
        net.classes = ["a"]
    with pytest.raises(ValueError):
        checkpoint.save(path, net, {})
    assert not path.exists()


def test_names_of_layers_may_hold_anything(path):
    """Those of an imported net: fire4/concat.  A momentum is found again too."""
    names = ["fire4/a:0", "%2F", "../x", ".", "50%", "a_b"]
    layers = [(name, Conv(3, 1)) for name in names] + [
        ("sum", Add(), "%2F", "a_b"),
        ("scores", Conv(2, None)),
    ]
    net = Net((4, 4, 3), layers)
    given = state(net)
    checkpoint.save(path, net, INFO, given)
    found = checkpoint.load(path)
    assert found.net.nodes.keys() == net.nodes.keys() and found.net.nodes["sum"].inputs == (
        "%2F",
        "a_b",
    )
    assert found.state["momentum"].keys() == given["momentum"].keys()
    assert all(
        same(found.state["momentum"][key], value) for key, value in given["momentum"].items()
    )
    with h5py.File(path) as file:
        assert list(file["layers"])[:3] == ["00_fire4%2Fa%3A0", "01_%252F", "02_..%2Fx"]


def test_newest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint.newest() is None
    for age, name in enumerate(
        ["a-1/epoch-1.h5", "a-1/last.h5", "b-1/epoch-2.h5", "a-1/best.h5", "c-1/log.csv"]
    ):
        file = tmp_path / "runs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (1000 + age, 1000 + age))
    assert str(checkpoint.newest()) == "runs/b-1/epoch-2.h5"
    os.utime("runs/a-1/last.h5", (2000, 2000))
    assert str(checkpoint.newest()) == "runs/a-1/last.h5"
    assert str(checkpoint.default()) == "runs/a-1/last.h5"
    os.utime("runs/a-1/best.h5", (3000, 3000))
    assert str(checkpoint.newest()) == "runs/a-1/last.h5"
    shutil.rmtree("runs")
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(RawconvError, match=r"no checkpoint in runs/.*rawconv-train.*--weights"):
        checkpoint.default()
    (tmp_path / "scenes.h5").touch()
    assert checkpoint.default() == tmp_path / "scenes.h5"
