"""CONTRIBUTING.md and the exercises are true: a layer is added by its steps, and the exercises can be solved."""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
USE = """
import numpy as np
from rawconv import checkpoint
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.projection import project
from rawconv.visualize.receptive_field import fields
from rawconv.layers.mean_pool import MeanPool
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.layers.memory import Memory, Step
from rawconv.net import Net
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


def test_a_layer_is_added_by_the_eight_steps(tmp_path):
    package = tmp_path / "rawconv"
    shutil.copytree(ROOT / "rawconv", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "docs/exercises/solutions/mean_pool.py", package / "layers")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def pytest_exercises(*words):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "docs/exercises", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_the_solutions_solve_the_exercises():
    text = pytest_exercises("--solutions")
    assert " passed" in text and "failed" not in text and "error" not in text, text


def test_unsolved_exercises_fail():
    text = pytest_exercises()
    assert " failed" in text and "passed" not in text, text
    assert text.count("::test_unpool") == 4, "one can be asked alone"
