"""Checkpoints: what goes in comes out, bit for bit; a crash loses nothing; nothing in a file is trusted."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from rawconv import checkpoint, models
from rawconv.arrays import Device
from rawconv.errors import RawconvError, UsageError
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net

INFO = {"data": "scenes", "metrics": {"top1": 0.1 + 0.2, "loss": float("inf")}, "epoch": 3}


def odd_net(dtype="float32", fill=0):
    """Every type of layer, groups, asymmetric padding and windows, floor."""
    layers = [
        ("conv1", Conv(6, (3, 5), stride=(1, 2), pad=(0, 1, 2, 3), std="he")), ("relu1", ReLU()),
        ("norm1", LRN(3, 0.1, 0.5, 1.7)), ("pool1", MaxPool((2, 3), (1, 2), (0, 1), "floor")),
        ("conv2", Conv(4, 3, pad=1, groups=2, rounding="floor")), ("relu2", ReLU(in_place=True)),
        ("drop2", Dropout(0.3, stream=2**64 - 1)), ("fc3", Conv(3, None)),
    ]  # fmt: skip
    mean = np.linspace(0, 255, 12 * 14 * 3, dtype="float64").reshape(12, 14, 3)
    net = Net((10, 12, 3), layers, ["Katze", "été", os.fsdecode(b"bad \xff")], mean, "odd", 7, dtype)
    net["fc3"].bias[:] = [np.nan, -0.0, 1e-40] if fill == 0 else fill
    return net


def tiny_net():
    """A file of a few kilobytes."""
    layers = [("conv1", Conv(2, 3)), ("relu1", ReLU()), ("pool1", MaxPool(2, 2)), ("norm1", LRN())]
    return Net((8, 8, 3), [*layers, ("fc2", Conv(2, None))], ["a", "b"], model="tiny")


def momentum(net):
    rng = np.random.default_rng(1)
    return {key: rng.standard_normal(value.shape).astype(value.dtype) for key, value in net.params.items()}


def state(net):
    progress = {"epoch": 3, "position": 128, "seed": 2**63, "schedule": {"best": 0.5}}
    return {"momentum": momentum(net), "progress": progress}


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.h5"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_is_bit_identical(path, dtype):
    net = odd_net(dtype)
    given = state(net)
    checkpoint.save(path, net, INFO, given)
    back = checkpoint.load(path)
    assert [(n, type(x), x.settings) for n, x in back.net.layers] == [(n, type(x), x.settings) for n, x in net.layers]
    assert back.net.params.keys() == net.params.keys()
    assert all(same(back.net.params[key], value) and str(value.dtype) == dtype for key, value in net.params.items())
    assert same(back.net.mean, net.mean)
    assert (back.net.shape, back.net.classes, back.net.model) == (net.shape, net.classes, net.model)
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
    info = {"history": list(range(50_000))}
    checkpoint.save(path, tiny_net(), info)
    assert checkpoint.load(path).info == info


def test_momentum_of_some_layers_only(path):
    net = tiny_net()
    some = {("fc2", "weight"): momentum(net)["fc2", "weight"]}
    checkpoint.save(path, net, {}, {"momentum": some, "progress": {}})
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
        "import sys; sys.path[:0] = sys.argv[2:]; import test_checkpoint as t; from rawconv import checkpoint;"
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
    assert path.read_bytes().split(b"\n")[0].startswith(b"rawconv checkpoint, version 1, ")
    with h5py.File(path) as file:
        assert file.attrs["format"] == b"rawconv" and file.attrs["version"] == 1
        assert next(iter(file["layers"])) == "00_conv1" and file["layers/00_conv1"].attrs["type"] == b"Conv"
        assert same(file["layers/00_conv1/weight"][:], net["conv1"].weight)


@pytest.mark.parametrize("wrong", ["half", "labels", "slash"])
def test_save_refuses_what_load_would(path, wrong):
    net = tiny_net()
    if wrong == "half":
        net["fc2"].weight = net["fc2"].weight.astype("float16")
    if wrong == "labels":
        net.classes = ["a"]
    if wrong == "slash":
        net.layers[0] = ("a/b", net.layers[0][1])
    with pytest.raises(ValueError):
        checkpoint.save(path, net, {})
    assert not path.exists()


# All or nothing


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_alone(path, monkeypatch, call, error):
    checkpoint.save(path, tiny_net(), {"old": 1})

    def fail(*arguments):
        raise error

    if call == "write":
        monkeypatch.setattr("builtins.open", lambda *a, real=open: _FailingWriter(real(*a), fail))
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(RawconvError if isinstance(error, OSError) else KeyboardInterrupt) as caught:
        checkpoint.save(path, tiny_net(), {"new": 1})
    monkeypatch.undo()
    assert checkpoint.load(path).info == {"old": 1} and os.listdir(path.parent) == ["net.h5"]
    if isinstance(error, OSError):
        assert str(path) in str(caught.value) and "No space left" in str(caught.value) and "Free" in str(caught.value)


class _FailingWriter:
    def __init__(self, file, fail):
        self.file, self.write = file, fail

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


def run(code, *arguments, **options):
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(__file__))}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=environment, **options)


def test_a_file_size_limit_of_the_system(path):
    """A write that really fails half way."""
    checkpoint.save(path, tiny_net(), {"old": 1})
    code = (
        "import sys, resource; from rawconv import checkpoint, models; net = models.build('lenet', 3)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); checkpoint.save(sys.argv[1], net, {})"
    )
    process = run(code, path, stderr=subprocess.PIPE)
    assert b"RawconvError" in process.communicate()[1].splitlines()[-1]
    assert checkpoint.load(path).info == {"old": 1} and os.listdir(path.parent) == ["net.h5"]


def test_killed_at_any_instant(path):
    """The file is always whole, and the next save sweeps up."""
    code = (
        "import sys; from rawconv import checkpoint, models; net = models.build('lenet', 3); n = 0\n"
        "while True: checkpoint.save(sys.argv[1], net, {'n': n}); n += 1; print(n, flush=True)"
    )
    rng = random.Random(0)
    for _ in range(3):
        process = run(code, path, stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert checkpoint.load(path).info["n"] >= 0
    (path.parent / ".net.h5.1.tmp").write_text("left behind")
    checkpoint.save(path, tiny_net(), {})
    assert os.listdir(path.parent) == ["net.h5"]


def test_data_reaches_the_disk_before_the_name(path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1])
    checkpoint.save(path, tiny_net(), {})
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("where", ["missing/net.h5", "folder", "file/net.h5"])
def test_places_that_cannot_be_written(tmp_path, where):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(RawconvError, match=r"could not be written .*folder that exists"):
        checkpoint.save(tmp_path / where, tiny_net(), {})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_link_is_written_through(path):
    link = path.parent / "link.h5"
    checkpoint.save(path, tiny_net(), {"n": 1})
    link.symlink_to(path.name)
    checkpoint.save(link, tiny_net(), {"n": 2})
    assert link.is_symlink() and checkpoint.load(path).info == {"n": 2}


# Refusals


def refused(path, match):
    with pytest.raises(RawconvError, match=match) as caught:
        checkpoint.load(path)
    sentence = str(caught.value)
    assert str(path) in sentence and "\n" not in sentence and sentence.endswith(".") and len(sentence) < 600
    assert caught.value.__cause__ is not None


def test_a_missing_file_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("x")
    for name in ("nothing.h5", "file/nothing.h5", "a\0b"):
        with pytest.raises(UsageError, match="There is no file"):
            checkpoint.load(tmp_path / name)


def test_what_is_no_checkpoint(tmp_path):
    empty, text, foreign, pipe = (tmp_path / name for name in ("empty", "text.h5", "foreign.h5", "pipe"))
    empty.touch()
    text.write_text("hello " * 200)
    with h5py.File(foreign, "w") as file:
        file["x"] = np.zeros(5)
    os.mkfifo(pipe)
    refused(empty, "is empty")
    refused(text, "is not a rawconv checkpoint.*Use another")
    refused(foreign, "another program")
    refused(pipe, "not a regular file")
    refused(tmp_path, "is a folder.*last.h5")


def test_truncated_anywhere(path):
    checkpoint.save(path, tiny_net(), INFO, state(tiny_net()))
    whole = path.read_bytes()
    for length in [1, 17, 511, 512, 513, 1000, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refused(path, "damaged|is not a rawconv")
    path.write_bytes(whole + b"x")
    refused(path, "damaged")


def test_one_flipped_bit_is_found(path):
    checkpoint.save(path, tiny_net(), INFO)
    whole = bytearray(path.read_bytes())
    for place in random.Random(0).sample(range(len(whole)), 100):
        whole[place] ^= 4
        path.write_bytes(whole)
        refused(path, "damaged|not a rawconv")
        whole[place] ^= 4


def test_other_versions_name_both(path):
    checkpoint.save(path, tiny_net(), INFO)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"version 1,", b"version 7,", 1))
    refused(path, "version 7.*version 1.*newer")
    path.write_bytes(whole)
    edit(path, lambda file: file.attrs.__setitem__("version", 9))
    refused(path, "version 9.*version 1.*newer")


def edit(path, change, reseal=True):
    """Change a checkpoint as someone who knows the format would."""
    with h5py.File(path, "r+") as file:
        change(file)
    if reseal:
        checkpoint.seal(path)


def test_edited_by_hand(path):
    checkpoint.save(path, tiny_net(), INFO)
    edit(path, lambda file: file.attrs.__setitem__("model", np.bytes_("mine")), reseal=False)
    refused(path, "edited")
    checkpoint.seal(path)
    assert checkpoint.load(path).net.model == "mine"


def put(name, value, **options):
    def change(file):
        if name in file:
            del file[name]
        if value is not None:
            file.create_dataset(name, data=value, **options)

    return change


def attribute(name, key, value):
    value = np.bytes_(value) if isinstance(value, str) else value
    return lambda file: file[name].attrs.__setitem__(key, value)


def setting(layer, **values):
    def change(file):
        group = file["layers"][layer]
        group.attrs["settings"] = np.bytes_(json.dumps(json.loads(group.attrs["settings"]) | values))

    return change


def link(name, target):
    def change(file):
        if name in file:
            del file[name]
        file[name] = target

    return change


def external(file):
    """The weights lie in another file, here a secret one."""
    del file["layers/00_conv1/weight"]
    file.create_dataset("layers/00_conv1/weight", (3, 3, 3, 2), "f4", external=[("/etc/passwd", 0, 216)])


def virtual(file):
    layout = h5py.VirtualLayout((3, 3, 3, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 3, 3, 2))
    del file["layers/00_conv1/weight"]
    file.create_virtual_dataset("layers/00_conv1/weight", layout)


def bomb(file):
    """4 TB of zeros in a kilobyte."""
    del file["input/mean"]
    file.create_dataset("input/mean", (1 << 19, 1 << 19, 3), "f4", chunks=(1 << 10, 1 << 10, 3), compression="gzip")


def unwritten(file):
    """4 TB that no byte was written of: contiguous, allocated late."""
    del file["input/mean"]
    file.create_dataset("input/mean", (1 << 19, 1 << 19, 3), "f4")


def unwritten_weight(file):
    """Of the right shape, with no byte in the file."""
    del file[W]
    file.create_dataset(W, (3, 3, 3, 2), "f4")


def cycle(file):
    del file["layers/00_conv1"]
    file["layers/00_conv1"] = file["layers"]


def swap_layers(file):
    file.move("layers/00_conv1", "layers/00_conv9")
    file.move("layers/04_fc2", "layers/04_conv9")


W = "layers/00_conv1/weight"
ATTACKS = {
    "no format": (attribute("/", "format", "other"), "not written by rawconv"),
    "no layers": (put("layers", None), "holds no"),
    "no mean": (put("input/mean", None), "holds no"),
    "no labels": (put("labels", None), "holds no"),
    "no weight": (put(W, None), "holds no"),
    "no bias": (put("layers/04_fc2/bias", None), "holds no"),
    "weight shape": (put(W, np.zeros((3, 3, 2, 3), "f4")), "shape"),
    "bias shape": (put("layers/04_fc2/bias", np.zeros(3, "f4")), "shape"),
    "half weights": (put(W, np.zeros((3, 3, 3, 2), "f2")), "dtype"),
    "integer weights": (put(W, np.zeros((3, 3, 3, 2), "i4")), "dtype"),
    "big endian": (put(W, np.zeros((3, 3, 3, 2), ">f4")), "dtype"),
    "complex": (put(W, np.zeros((3, 3, 3, 2), "c8")), "dtype"),
    "texts": (put(W, np.full((3, 3, 3, 2), b"abcd")), "dtype"),
    "mixed dtypes": (put(W, np.zeros((3, 3, 3, 2), "f8")), "two dtypes"),
    "chunked": (put(W, np.zeros((3, 3, 3, 2), "f4"), chunks=True), "in chunks"),
    "compressed": (put(W, np.zeros((3, 3, 3, 2), "f4"), compression="gzip"), "compressed"),
    "external file": (external, "another file"),
    "virtual": (virtual, "another file"),
    "bomb": (bomb, "compressed"),
    "unwritten": (unwritten, "larger than"),
    "unwritten weight": (unwritten_weight, "larger than"),
    "soft link": (link(W, h5py.SoftLink("/layers/04_fc2/weight")), "link"),
    "dangling link": (link(W, h5py.SoftLink("/nowhere")), "link"),
    "external link": (link("layers/00_conv1", h5py.ExternalLink("/etc/passwd", "/")), "link"),
    "a group as weight": (lambda file: (put(W, None)(file), file.create_group(W)), "not a dataset"),
    "a dataset as layer": (put("layers/00_conv1", np.zeros(3)), "not a group"),
    "a type as layer": (link("layers/00_conv1", np.dtype("f4")), "not a group"),
    "cycle": (cycle, "attribute type"),
    "mean shape": (put("input/mean", np.zeros(4, "f4")), "mean of shape"),
    "mean channels": (put("input/mean", np.zeros((8, 8, 1), "f4")), "mean of shape"),
    "mean scalar": (put("input/mean", np.float32(1)), "mean of shape"),
    "mean null": (put("input/mean", h5py.Empty("f4")), "damaged"),
    "labels too many": (put("labels", np.array([b"a"] * 3)), "3 class names for 2"),
    "labels numbers": (put("labels", np.zeros(2)), "not texts of 1"),
    "labels variable": (put("labels", ["a", "b"]), "larger than|not texts of 1"),
    "labels 2-d": (put("labels", np.array([[b"a"], [b"b"]])), "not texts of 1"),
    "unknown type": (attribute("layers/00_conv1", "type", "os.system"), "does not know"),
    "type a number": (attribute("layers/00_conv1", "type", 3), "not a text"),
    "type a list": (attribute("layers/00_conv1", "type", ["Conv"]), "attribute type"),
    "type of any size": (lambda file: file["layers/00_conv1"].attrs.__setitem__("type", "Conv"), "not a text"),
    "settings no JSON": (attribute("layers/00_conv1", "settings", "__import__('os')"), "damaged"),
    "settings a list": (attribute("layers/00_conv1", "settings", "[]"), "place of a JSON object"),
    "settings deep": (attribute("layers/00_conv1", "settings", "[" * 50_000), "damaged"),
    "settings unknown": (setting("00_conv1", dilation=2), "dilation.*does not know.*newer"),
    "settings missing": (attribute("layers/00_conv1", "settings", "{}"), "cannot have size"),
    "size null": (setting("00_conv1", size=None), "cannot have size"),
    "size huge": (setting("00_conv1", size=[1 << 40, 3]), "cannot have size"),
    "size text": (setting("00_conv1", size="33"), "cannot have size"),
    "size true": (setting("00_conv1", size=[True, 3]), "cannot have size"),
    "size zero": (setting("00_conv1", size=[0, 3]), "cannot have size"),
    "size larger than the input": (setting("00_conv1", size=[9, 9]), "smaller than the window"),
    "stride negative": (setting("00_conv1", stride=[-1, 1]), "cannot have stride"),
    "pad short": (setting("00_conv1", pad=[0, 0]), "cannot have pad"),
    "pool pad": (setting("02_pool1", pad=[2, 2, 2, 2]), "padding"),
    "rounding": (setting("00_conv1", rounding="up"), "cannot have rounding"),
    "filters huge": (setting("00_conv1", filters=1 << 62), "cannot have filters"),
    "filters other": (setting("00_conv1", filters=3), "shape"),
    "groups": (setting("00_conv1", groups=2), "groups"),
    "lrn even": (setting("03_norm1", size=4), "odd"),
    "lrn NaN": (setting("03_norm1", alpha=float("nan")), "cannot have alpha"),
    "picture huge": (attribute("/", "shape", [1 << 40, 8, 3]), "no sensible size"),
    "picture zero": (attribute("/", "shape", [0, 8, 3]), "no sensible size"),
    "picture real": (attribute("/", "shape", [8.0, 8.0, 3.0]), "whole numbers"),
    "picture 2-d": (attribute("/", "shape", [8, 8]), "attribute shape"),
    "version a text": (attribute("/", "version", "1"), "whole numbers"),
    "info no object": (put("info", np.bytes_("3")), "place of a JSON object"),
    "info no JSON": (put("info", np.bytes_("{")), "damaged"),
    "gap in the layers": (lambda file: file.move("layers/02_pool1", "layers/05_pool1"), "0 layers with number 2"),
    "two of a number": (lambda file: file.copy("layers/01_relu1", "layers/01_relu9"), "2 layers with number 1"),
    "two of a name": (swap_layers, "two of one name"),
    "many layers": (lambda file: [file.create_group(f"layers/x{i}") for i in range(300)], "more than 256"),
    "momentum shape": (put("optimizer/00_conv1/weight", np.zeros(3, "f4")), "shape"),
    "momentum dtype": (put("optimizer/00_conv1/weight", np.zeros((3, 3, 3, 2), "f8")), "dtype"),
    "momentum link": (link("optimizer/00_conv1/weight", h5py.SoftLink("/" + W)), "link"),
    "no progress": (lambda file: file.__delitem__("optimizer/progress"), "holds no"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_file_with_a_good_checksum(path, name):
    change, match = ATTACKS[name]
    checkpoint.save(path, tiny_net(), INFO, state(tiny_net()))
    edit(path, change)
    refused(path, match)


def test_arrays_that_overlap(path):
    """Momentum and weights on the same bytes: larger together than the file."""
    layers = [("fc1", Conv(64, None))]
    net = Net((16, 16, 3), layers, model="one")
    checkpoint.save(path, net, INFO, {"momentum": {}, "progress": {}})
    edit(path, lambda file: link("optimizer/00_fc1", file["layers/00_fc1"])(file))
    refused(path, "overlap")


def test_another_dialect_of_hdf5(path):
    """The oldest has no checksums, and structures in which HDF5 can loop."""
    checkpoint.save(path, tiny_net(), INFO)
    old = path.parent / "old.h5"
    with h5py.File(path) as file, h5py.File(old, "w", libver="earliest", userblock_size=512) as copy:
        for name in file:
            file.copy(name, copy)
        copy.attrs.update(file.attrs)
    checkpoint.seal(old)
    refused(old, "dialect")


def test_a_weight_of_nan_is_no_damage(path):
    net = tiny_net()
    net["fc2"].weight[:] = np.nan
    checkpoint.save(path, net, {})
    assert np.isnan(checkpoint.load(path).net["fc2"].weight).all()


MUTATE = """
import sys, random, resource
import numpy as np
from rawconv import checkpoint
from rawconv.errors import RawconvError
path, seeds, reseal = sys.argv[1], range(int(sys.argv[2]), int(sys.argv[3])), sys.argv[4] == "reseal"
whole, good = open(path, "rb").read(), 0
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for seed in seeds:
    rng, data = random.Random(seed), bytearray(whole)
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[rng.randrange(512 if reseal else 0, len(data))] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    print(seed, end=" ", flush=True)
    with open(path + ".mutated", "wb") as file:
        file.write(data)
    if reseal:
        checkpoint.seal(path + ".mutated")
    try:
        checkpoint.load(path + ".mutated")
        good += 1
    except RawconvError as error:
        assert path in str(error)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
print("\\ndone", good, grown)
"""


@pytest.mark.parametrize("reseal", ["", "reseal"])
@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.long)])
def test_random_mutations(path, reseal, count):
    """In a process of its own, for HDF5 may crash: never another exception, a hang, or much memory."""
    checkpoint.save(path, tiny_net(), INFO, state(tiny_net()))
    process = run(MUTATE, path, 0, count, reseal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, f"after seed {out.split()[-1]}: {err[-800:]}"
    good, grown = map(int, out.split()[-2:])
    assert grown < 100_000, "kilobytes"
    assert good > 0 if reseal else good < count / 10


# Finding


def test_newest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint.newest() is None
    for age, name in enumerate(["a-1/epoch-1.h5", "a-1/last.h5", "b-1/epoch-2.h5", "a-1/best.h5", "c-1/log.csv"]):
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
