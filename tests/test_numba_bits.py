"""A loop computes the same bits in the process that compiles it as in the next ones, which read it."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from copies import hand_on_loops

ROOT = pathlib.Path(__file__).parent.parent

# Two functions that Numba names alike but for a number that each process counts anew, and a loop
# for each, which calls it too often for it to be inlined.
TWINS = """
import sys
import numba
import numpy as np
from rawconv.machine.numba_cache import loop

def helper(factor):
    @numba.njit
    def scaled(a, n):
        for i in range(n):
            for j in range(i):
                if a[j] > a[i]:
                    a[i] *= factor
                elif a[i] > 3:
                    a[i] -= a[j] / factor
                else:
                    a[i] += a[j] + factor
    return scaled

two, three = helper(2), helper(3)

@loop
def by_two(a):
    two(a, 7); two(a, 6); two(a, 5); two(a, 4)

@loop
def by_three(a):
    three(a, 7); three(a, 6); three(a, 5); three(a, 4)

for name in sys.argv[1:]:
    a, loop = np.arange(7.0), globals()[name]
    loop(a)
    expected = np.arange(7.0)
    for n in (7, 6, 5, 4):
        {"by_two": two, "by_three": three}[name].py_func(expected, n)
    print(name, len(loop.stats.cache_hits), np.array_equal(a, expected))
"""

# What each layer of a small net yields: up and back as in training, up without dropout, and down.
PASSES = """
import sys
import numpy as np
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net

net = Net((26, 26, 3), [
    ("conv1", Conv(16, 5, stride=2, pad=2, init_std=0.1)), ("relu1", ReLU()),
    ("pool1", MaxPool(3, 2)), ("norm1", LRN()),
    ("conv2", Conv(32, 3, pad=1, init_std="he")), ("relu2", ReLU()), ("norm2", LRN()),
    ("conv3", Conv(16, 3, pad=1, init_std="he")), ("relu3", ReLU()), ("pool3", MaxPool(3, 2)),
    ("fc4", Conv(32, None, init_std="he")), ("relu4", ReLU()), ("drop4", Dropout(0.5)),
    ("fc5", Conv(5, None)),
]).with_execution(algorithm="winograd")
rng = np.random.default_rng(0)
images = rng.normal(0, 50, (4, 26, 26, 3)).astype("float32")
found, caches = {}, {}
for name, y, caches[name] in net.up(images, (1, 2, np.arange(4))):
    found[f"{name} up"] = y.copy()
found["images back"], grads = net.backward(rng.standard_normal(y.shape).astype("float32"), caches)
for name in grads:
    for parameter, grad in grads[name].items():
        found[f"{name} {parameter} back"] = grad
y, caches = net.forward(images)
net.deconv(abs(y), caches, watch=lambda node, r: found.update({f"{node.name} down": r.copy()}))
np.savez(sys.argv[1], **found)
"""


@pytest.fixture
def run(tmp_path):
    """run(text, *arguments): what the text prints in a process of its own; all share one new cache."""

    def run(text, *arguments):
        (tmp_path / "text.py").write_text(text)
        return subprocess.run(
            [sys.executable, tmp_path / "text.py", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "kept")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    return run


def test_every_layer_has_the_same_bits_compiled_and_read(run, tmp_path):
    run(PASSES, str(tmp_path / "compiled.npz"))
    names = {path.name.split("-")[0] for path in (tmp_path / "kept").rglob("*.nbc")}
    assert {"convolve_pieces", "gradient_pieces", "lrn_back", "unpool"} <= {
        n.split(".")[-1] for n in names
    }
    run(PASSES, str(tmp_path / "read.npz"))
    compiled, read = np.load(tmp_path / "compiled.npz"), np.load(tmp_path / "read.npz")
    assert len(compiled) == 14 + 1 + 2 * 5 + 14 and all(compiled[name].any() for name in compiled)
    assert [n for n in compiled if compiled[n].tobytes() != read[n].tobytes()] == []
    hand_on_loops(tmp_path / "kept")


def test_a_loop_calls_the_functions_that_it_was_compiled_with(run):
    assert run(TWINS, "by_two") == "by_two 0 True\n"
    assert run(TWINS, "by_three") == "by_three 0 True\n"  # its helper has the number of the other
    assert run(TWINS, "by_two", "by_three") == "by_two 1 True\nby_three 1 True\n"
    assert run(TWINS, "by_three", "by_two") == "by_three 1 True\nby_two 1 True\n"
