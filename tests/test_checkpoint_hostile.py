"""Nothing in a checkpoint is trusted, not even where its checksum is right."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from checkpoints import INFO, PROGRESS, edit, refused, run, state, tiny_net

from rawconv import checkpoint
from rawconv.layers.conv import Conv
from rawconv.net import Net


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
        group.attrs["settings"] = np.bytes_(
            json.dumps(json.loads(group.attrs["settings"]) | values)
        )

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
    file.create_dataset(
        "layers/00_conv1/weight", (3, 3, 3, 2), "f4", external=[("/etc/passwd", 0, 216)]
    )


def virtual(file):
    layout = h5py.VirtualLayout((3, 3, 3, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 3, 3, 2))
    del file["layers/00_conv1/weight"]
    file.create_virtual_dataset("layers/00_conv1/weight", layout)


def bomb(file):
    """4 TB of zeros in a kilobyte."""
    del file["input/mean"]
    file.create_dataset(
        "input/mean", (1 << 19, 1 << 19, 3), "f4", chunks=(1 << 10, 1 << 10, 3), compression="gzip"
    )


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


def inputs(text, place=0):
    """A layer that says what it takes the output of."""

    def change(file):
        name = list(file["layers"])[place]
        file["layers"][name].attrs["inputs"] = np.bytes_(text.replace("'", '"'))

    return change


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
    "type of any size": (
        lambda file: file["layers/00_conv1"].attrs.__setitem__("type", "Conv"),
        "not a text",
    ),
    "settings no JSON": (attribute("layers/00_conv1", "settings", "__import__('os')"), "damaged"),
    "settings a list": (attribute("layers/00_conv1", "settings", "[]"), "place of a JSON object"),
    "settings deep": (attribute("layers/00_conv1", "settings", "[" * 50_000), "damaged"),
    "settings unknown": (setting("00_conv1", transposed=2), "transposed.*does not know.*newer"),
    "settings missing": (attribute("layers/00_conv1", "settings", "{}"), "layer conv1 has no size"),
    "size null": (setting("00_conv1", size=None), r"layer \w+\.size\b.* not"),
    "size huge": (setting("00_conv1", size=[1 << 40, 3]), r"layer \w+\.size\b.* not"),
    "size text": (setting("00_conv1", size="33"), r"layer \w+\.size\b.* not"),
    "size true": (setting("00_conv1", size=[True, 3]), r"layer \w+\.size\b.* not"),
    "size zero": (setting("00_conv1", size=[0, 3]), r"layer \w+\.size\b.* not"),
    "size larger than the input": (setting("00_conv1", size=[9, 9]), "smaller than the window"),
    "stride negative": (setting("00_conv1", stride=[-1, 1]), r"layer \w+\.stride\b.* not"),
    "pad short": (setting("00_conv1", pad=[0, 0]), r"layer \w+\.pad\b.* not"),
    "pool pad": (setting("02_pool1", pad=[2, 2, 2, 2]), "padding"),
    "ceil mode": (setting("00_conv1", ceil_mode="up"), r"layer \w+\.ceil_mode\b.* not"),
    "filters huge": (setting("00_conv1", filters=1 << 62), r"layer \w+\.filters\b.* not"),
    "filters other": (setting("00_conv1", filters=3), "shape"),
    "groups": (setting("00_conv1", groups=2), "groups"),
    "lrn even": (setting("03_norm1", size=4), "odd"),
    "lrn NaN": (setting("03_norm1", alpha=float("nan")), r"layer \w+\.alpha\b.* not"),
    "picture huge": (attribute("/", "shape", [1 << 40, 8, 3]), "no sensible size"),
    "picture zero": (attribute("/", "shape", [0, 8, 3]), "no sensible size"),
    "picture real": (attribute("/", "shape", [8.0, 8.0, 3.0]), "whole numbers"),
    "picture 2-d": (attribute("/", "shape", [8, 8]), "attribute shape"),
    "version a text": (attribute("/", "version", "1"), "whole numbers"),
    "info no object": (put("info", np.bytes_("3")), "place of a JSON object"),
    "info no JSON": (put("info", np.bytes_("{")), "damaged"),
    "gap in the layers": (
        lambda file: file.move("layers/02_pool1", "layers/05_pool1"),
        "0 layers with number 2",
    ),
    "two of a number": (
        lambda file: file.copy("layers/01_relu1", "layers/01_relu9"),
        "2 layers with number 1",
    ),
    "two of a name": (swap_layers, "two layers of one name"),
    "many layers": (
        lambda file: [file.create_group(f"layers/x{i}") for i in range(4100)],
        "more than 4096",
    ),
    "inputs from above": (
        inputs("['fc2']"),
        "takes the output of 'fc2', which is no layer before it",
    ),
    "inputs that are no list": (inputs("{}"), "not a list of"),
    "inputs of numbers": (inputs("[1]"), "not a text"),
    "inputs that are no JSON": (inputs("["), "is damaged"),
    "two inputs of one": (inputs("['', 'conv1']", 1), "layer relu1 has 2 inputs"),
    "inputs of a number": (attribute("layers/00_conv1", "inputs", 7), "not a text of fixed size"),
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
    checkpoint.save(path, net, INFO, {"momentum": {}, "progress": PROGRESS})
    edit(path, lambda file: link("optimizer/00_fc1", file["layers/00_fc1"])(file))
    refused(path, "overlap")


def test_another_dialect_of_hdf5(path):
    """The oldest has no checksums, and structures in which HDF5 can loop."""
    checkpoint.save(path, tiny_net(), INFO)
    old = path.parent / "old.h5"
    with (
        h5py.File(path) as file,
        h5py.File(old, "w", libver="earliest", userblock_size=512) as copy,
    ):
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


@pytest.mark.posix
@pytest.mark.parametrize("reseal", ["", "reseal"])
@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.long)])
def test_random_mutations(path, reseal, count):
    """In a process of its own, for HDF5 may crash: never another exception, a hang, or much memory."""
    checkpoint.save(path, tiny_net(), INFO, state(tiny_net()))
    process = run(
        MUTATE, path, 0, count, reseal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, f"after seed {out.split()[-1]}: {err[-800:]}"
    good, grown = map(int, out.split()[-2:])
    assert grown < (100_000 << 10 if sys.platform == "darwin" else 100_000), "kilobytes, or bytes"
    assert good > 0 if reseal else good < count / 10
