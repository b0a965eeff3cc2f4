"""CONTRIBUTING.md and the exercises are true: a layer is added by its steps, and the exercises can
be solved.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from copies import share_loops

ROOT = pathlib.Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
POOL = """
import numpy as np
from rawconv import checkpoint
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.mean_pool import MeanPool
from rawconv.layers.memory import Memory, Step
from rawconv.layers.relu import ReLU
from rawconv.net import Net
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.projection import project
from rawconv.visualize.receptive_field import fields
from rawconv.visualize.trace import table
from rawconv.visualize.units import Unit

layers = [("conv1", Conv(6, 3, pad=1)), ("relu1", ReLU()), ("pool1", MeanPool(3, 2)),
          ("conv2", Conv(5, 3, init_std=0.3)), ("relu2", ReLU()), ("pool2", MaxPool(2, 2)), ("scores", Conv(2, None))]
net = Net((20, 20, 3), layers, ["a", "b"], seed=1)
checkpoint.save("net.h5", net, {})
again = checkpoint.load("net.h5").net
x = np.random.default_rng(0).integers(0, 255, (3, 20, 20, 3)).astype(np.float32)
assert np.array_equal(net.forward(x)[0], again.forward(x)[0])
assert again["pool1"].settings == net["pool1"].settings and fields(net)["relu2"].size == (9, 9)
units = [Unit(n, "conv2", f, y, x) for n in range(3) for f in range(5) for y in (0, 4, 7) for x in (0, 3, 7)]
passed = ForwardPass(net, x)
some, full = (np.stack([one.pixels for one in project(passed, units, full=full)]) for full in (False, True))
assert some.any() and np.abs(some - full).max() <= 1e-5 * np.abs(full).max()
assert "average" in table(next(project(passed, ["conv2:1"])).steps())
assert net["pool1"].memory(Step((20, 20, 6), (10, 10, 6), 3)) == Memory()
"""
RELU = """
import sys
import numpy as np
from rawconv import checkpoint
from rawconv.layers import Rules, registry
from rawconv.layers.conv import Conv
from rawconv.layers.leaky_relu import LeakyReLU
from rawconv.layers.max_pool import MaxPool
from rawconv.net import Net
from rawconv.training import diagnostics, memory_model
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.projection import project
from rawconv.visualize.trace import table
from rawconv.visualize.units import Unit, layer_object

layers = [("conv1", Conv(6, 3, pad=1, init_std=0.2)), ("leak1", LeakyReLU(0.125)), ("pool1", MaxPool(2, 2)),
          ("conv2", Conv(5, 3, init_std=0.3)), ("leak2", LeakyReLU(0.125)), ("scores", Conv(3, None))]
net = Net((32, 32, 3), layers, ["a", "b", "c"], seed=1)
x = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3)).astype(np.float32) - 128
assert (net.forward(x, "leak2")[0] < 0).any() and registry.by_name()["LeakyReLU"] is LeakyReLU
assert layer_object(net, "conv2") == layer_object(net, "2") == "leak2", "conv2 means the value after it"

passed = ForwardPass(net, x)
lines = table(next(project(passed, ["conv2:1"], Rules("guided"))).steps())
assert lines.count("rectify, guided") == 2 and lines.splitlines()[1].startswith("conv2 "), lines

net["conv2"].bias[3] = -1e6
assert diagnostics.dead_maps(net, x) == {"conv1": 0, "conv2": 1}, "a map that is nowhere above 0 is dead"
net["conv2"].bias[3] = 0

checkpoint.save("net.h5", net, {})
again = checkpoint.load("net.h5").net
assert again["leak1"].settings == {"slope": 0.125} and np.array_equal(net.forward(x)[0], again.forward(x)[0])
net["leak1"].slope = -1.0
checkpoint.save("other.h5", net, {})
try:
    checkpoint.load("other.h5")
except checkpoint.RawconvError as error:
    assert "leak1.slope is -1.0, not a number from" in str(error), error
else:
    raise AssertionError("a slope that no file may hold")
net["leak1"].slope = 0.125

passed = ForwardPass(again, x)
units = [Unit(n, "conv2", f, y, x) for n in range(4) for f in range(5) for y in (0, 6, 13) for x in (0, 5, 13)]
for rule in ("deconv", "gradient", "guided"):
    some, full = (
        np.stack([one.pixels for one in project(passed, units, Rules(rule), full=whole)]) for whole in (False, True)
    )
    assert full.any() and np.abs(some - full).max() <= 1e-5 * np.abs(full).max(), rule

row = memory_model.step_memory(net.shape, layers, 32, batch=10)["rows"][2]
assert (row.name, row.kept) == ("leak1", 10 * 32 * 32 * 6 * 4), row

try:
    import onnx
    import onnxruntime
except ImportError:
    sys.exit("no onnxruntime")
from rawconv.convert.to_onnx import export

export(net, "net.onnx")
assert [node.op_type for node in onnx.load("net.onnx").graph.node].count("LeakyRelu") == 2
session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
theirs, ours = session.run(None, {"pixels": x.transpose(0, 3, 1, 2)})[0], net.forward(x)[0].reshape(4, -1)
assert np.abs(ours - theirs).max() < 1e-4 * np.abs(ours).max()
"""
TRACE = "AssertionError: layer  step"
TRAIN = "--weights net.h5 --fine-tune --data scenes:60 --epochs 1 --batch 20 --lr 0.001 --device cpu --out run"


def blocks():
    """{path: text} of CONTRIBUTING.md: the files of a layer that its steps write."""
    return dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text()))


def python(folder, *words):
    """Run Python in `folder`, where the package lies."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def copy_package(folder):
    shutil.copytree(
        ROOT / "rawconv", folder / "rawconv", ignore=shutil.ignore_patterns("__pycache__")
    )
    share_loops(folder)
    return folder


@pytest.fixture(scope="module")
def leaky(tmp_path_factory):
    """A copy of the package and its laws, with the layer of CONTRIBUTING.md: its blocks are all
    that is added.
    """
    folder = copy_package(tmp_path_factory.mktemp("leaky"))
    (folder / "tests").mkdir()
    for path in (ROOT / "tests").glob("*.py"):  # conftest.py imports some, and they others
        shutil.copy(path, folder / "tests")
    for path, text in blocks().items():
        with open(folder / path, "a") as file:
            file.write(f"\n\n{text}" if path == "tests/reference.py" else text)
    return folder


def test_the_blocks_are_the_three_steps():
    assert list(blocks()) == [
        "tests/reference.py",
        "rawconv/layers/leaky_relu.py",
        "tests/test_leaky_relu.py",
    ]


def test_a_layer_added_literally_obeys_its_laws(leaky):
    done = python(leaky, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_leaky_relu.py")
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr


def test_a_layer_added_literally_works_everywhere(leaky):
    """Names, trace, dead maps, checkpoint, windows, memory, ONNX; then a command trains a net with it."""
    done = python(leaky, "-c", RELU)
    without = done.stderr.strip() == "no onnxruntime"
    assert done.returncode == 0 or without, done.stderr
    trained = python(leaky, "-m", "rawconv.cli.train", *TRAIN.split())
    assert trained.returncode == 0, trained.stderr
    code = "from rawconv import checkpoint; print(type(checkpoint.load('run/last.h5').net['leak2']).__name__)"
    assert python(leaky, "-c", code).stdout == "LeakyReLU\n"
    if without:
        pytest.skip(
            "onnxruntime is not installed: nobody agrees with the ONNX file (pip install onnxruntime)"
        )


@pytest.mark.long
@pytest.mark.parametrize("fact, instead, symptom", [
    ('    limits = Record({"slope": number(1e-6, 1)})\n', "", "does not know"),
    ('verb, rule, cached_rules = "rectify"', 'verb, rule, cached_rules = ""', TRACE),
    ('"rectify", "relu", ("gradient", "guided")', '"rectify", "", ()', "cached_rules say so"),
    ('("gradient", "guided")\n', "()\n", "if it reads its cache by guided, cached_rules say so"),
    ("    rectifier = True\n", "", "conv2 means the value after it"),
    ("    def memory(", "    def unasked(", "NoneType"),
    ("    def to_onnx(", "    def unwritten(", "cannot be exported"),
])  # fmt: skip
def test_without_one_of_its_facts_it_does_not(fact, instead, symptom, leaky):
    file = leaky / "rawconv/layers/leaky_relu.py"
    text = file.read_text()
    assert text.count(fact) == 1
    try:
        file.write_text(text.replace(fact, instead))
        done = python(leaky, "-c", RELU)
        assert done.returncode and symptom in done.stderr, done.stderr
    finally:
        file.write_text(text)


def test_a_layer_with_a_window_is_added_with_one_file(tmp_path):
    package = copy_package(tmp_path) / "rawconv"
    shutil.copy(ROOT / "docs/exercises/solutions/mean_pool.py", package / "layers")
    done = python(tmp_path, "-c", POOL)
    assert done.returncode == 0, done.stderr


def pytest_exercises(*words):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "docs/exercises",
        *words,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_the_solutions_solve_the_exercises():
    text = pytest_exercises("--solutions")
    assert " passed" in text and "failed" not in text and "error" not in text, text


def test_unsolved_exercises_fail():
    text = pytest_exercises()
    assert " failed" in text and "passed" not in text, text
    assert text.count("::test_unpool") == 4, "one can be asked alone"
