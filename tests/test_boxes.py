"""Windows through branches: the same numbers as through whole maps, by every rule, in residual, Fire
and Inception blocks.
"""

import numpy as np
import pytest
from laws import assert_close
from nets import image
from projecting import project_units
from test_windowed import EVERY_RULE, every_unit

from rawconv.layers import GEMM, Rules
from rawconv.layers.add import Add
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.concat import Concat
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import IMAGE, Net
from rawconv.visualize.boxes import Box, boxes, window_sizes

SHAPE = (50, 43, 2)


def branches():
    """A residual block of stride 2 whose paths reach unequally far, a plain one, a Fire and an
    Inception block.
    """
    return [
        ("conv1", Conv(4, 3, pad=1)), ("relu1", ReLU()),
        ("a1", Conv(6, 3, stride=2, pad=1)), ("relu_a1", ReLU()), ("a2", Conv(6, 3, pad=1)),
        ("a3", Conv(6, 1, stride=2), "relu1"), ("sum_a", Add(), "a2", "a3"), ("relu_a", ReLU()),
        ("b1", Conv(6, (3, 1), pad=(2, 0, 0, 0))), ("relu_b1", ReLU()),
        ("sum_b", Add(), "relu_a", "relu_b1", "relu_b1"), ("relu_b", ReLU()),
        ("squeeze", Conv(3, 1)), ("relu_s", ReLU()),
        ("left", Conv(3, 1)), ("right", Conv(2, 3, pad=1), "relu_s"), ("fire", Concat(), "left", "right"),
        ("pool", MaxPool(3, 2)),
        ("in1", Conv(2, 1)), ("in2", AveragePool(3, pad=1), "pool"), ("in3", MaxPool(3, pad=1), "pool"),
        ("in4", Conv(3, 3, pad=2, dilation=2), "pool"), ("inception", Concat(), "in1", "in2", "in3", "in4"),
    ]  # fmt: skip


def net_of(xp, layers, whole_numbers=False):
    net, rng = Net(SHAPE, layers, dtype="float64"), np.random.default_rng(1)
    net.execution = GEMM
    for _, layer in net.layers:
        if layer.params:
            size = layer.weight.shape
            weight = rng.integers(-2, 3, size) if whole_numbers else rng.standard_normal(size)
            bias = rng.integers(0, 3, size[3]) if whole_numbers else rng.random(size[3])
            layer.weight, layer.bias = (xp.asarray(a.astype(float)) for a in (weight, bias))
    return net


NAMES = ["a3", "sum_a", "relu_b", "fire", "pool", "inception"]


@pytest.mark.parametrize("rules", EVERY_RULE, ids="-".join)
def test_every_place_by_every_rule(xp, rules):
    net, x = net_of(xp, branches()), xp.asarray(image(batch=2, shape=SHAPE))
    for name in NAMES:
        units = every_unit(net, name)[:60]
        want, value = project_units(net, x.copy(), name, units, rules, full=True)
        assert want.any()
        r, values = project_units(net, x.copy(), name, units, rules)
        assert_close(r, want, 1e-12)
        np.testing.assert_array_equal(values, value)


@pytest.mark.parametrize("shared", ["add", "max", "overwrite"])
def test_with_whole_numbers_not_a_bit_differs(xp, shared):
    layers = [row for row in branches() if not isinstance(row[1], AveragePool)]
    layers[-1] = ("inception", Concat(), "in1", "in3", "in4")
    net = net_of(xp, layers, whole_numbers=True)
    x = xp.asarray(np.random.default_rng(9).integers(-3, 4, (2, *SHAPE)).astype(float))
    for name in NAMES:
        units = every_unit(net, name)[:40]
        for relu in ("deconv", "gradient"):
            rules = Rules(relu, "identity", shared)
            want, _ = project_units(net, x.copy(), name, units, rules, full=True)
            r, _ = project_units(net, x.copy(), name, units, rules)
            np.testing.assert_array_equal(to_cpu(r), to_cpu(want))


def test_windows_are_the_union_of_their_paths():
    """By hand: 3x3 of 3x3 of stride 2 is 7 from -3, 1x1 of stride 2 is 1 from 0, each twice as far apart."""
    net = net_of(np, branches())
    found = boxes(net, "sum_a")
    assert found["a2"] == found["a3"] == Box((1, 1), (0, 0), (1, 1))
    assert found["relu_a1"] == Box((3, 3), (-1, -1), (1, 1))
    assert found["relu1"] == Box((7, 7), (-3, -3), (2, 2))
    assert found[IMAGE] == Box((9, 9), (-4, -4), (2, 2))
    # the sum's own place, and with its tall filter those two above
    assert boxes(net, "sum_b")["relu_a"] == Box((3, 1), (-2, 0), (1, 1))
    assert window_sizes(net, "sum_a")[:2] == [(9, 9), (7, 7)]
    assert boxes(net, "inception")["pool"] == Box((5, 5), (-2, -2), (1, 1))


def test_paths_of_unequal_stride_meet_in_whole_maps(xp):
    layers = [
        ("conv1", Conv(3, 3, pad=1)), ("relu1", ReLU()), ("far", MaxPool(2, 2)),
        ("near", Conv(3, (26, 22)), "relu1"), ("sum", Add(), "far", "near"), ("relu", ReLU()),
        ("conv2", Conv(3, 3, pad=1)), ("meet", Add(), "conv2", "relu"),
    ]  # fmt: skip
    net, x = net_of(xp, layers), xp.asarray(image(batch=2, shape=SHAPE))
    for name in ("sum", "meet"):
        assert window_sizes(net, name)[:3] == [SHAPE[:2]] * 3
        assert boxes(net, name)["sum"].size == ((1, 1) if name == "sum" else (3, 3))
        units = every_unit(net, name)[:40]
        want, _ = project_units(net, x.copy(), name, units, full=True)
        assert want.any()
        assert_close(project_units(net, x.copy(), name, units)[0], want, 1e-12)
    one, other = Box((3, 3), (0, 0), (2, 2)), Box((3, 3), (0, 0), (1, 2))
    assert one.union(other, (9, 8)) == Box((9, 8), None, None)
