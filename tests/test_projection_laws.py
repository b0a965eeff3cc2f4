"""Laws of a projection, the way down of a whole net: what it is, and where it may reach."""

from itertools import product

import nets
import numpy as np
import pytest
import reference as ref
from laws import assert_close
from nets import (
    FULL,
    LINEAR,
    SHAPE,
    assert_slope,
    image,
    one_hot,
    reference_up,
    slopes,
    strongest,
)

from rawconv.layers import GRADIENT, PAPER, Rules
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu

ALL_RULES = [
    Rules(*r)
    for r in product(
        ["deconv", "gradient", "guided"], ["identity", "gradient"], ["add", "max", "overwrite"]
    )
]


# ------------------------------------------------------------------------------------------- what it is


@pytest.mark.parametrize("stop", ["conv1", "pool1", "conv2", "pool2", "scores"])
@pytest.mark.parametrize("rank", [0, 3])
def test_without_relu_and_lrn_a_projection_is_activation_times_gradient(stop, rank, xp):
    """By the paper's rules, and by finite differences of the unit itself: no bias, no other rule in
    between.
    """
    net, x = nets.make(xp, LINEAR), image()
    y, caches = net.forward(xp.asarray(x), stop=stop)
    y = to_cpu(y)
    unit = strongest(y, rank)
    projection = to_cpu(net.deconv(xp.asarray(one_hot(y, unit)), caches, PAPER))
    assert projection.shape == x.shape
    table = LINEAR[: [name for name, *_ in LINEAR].index(stop) + 1]

    def value(x):
        return float(to_cpu(net.forward(xp.asarray(x.copy()), stop=stop)[0])[unit])

    for v, slope in slopes(xp, net, table, x, value):
        assert_slope(projection, v, y[unit] * slope)
    back = to_cpu(net.backward(xp.asarray(one_hot(y, unit, 1.0)), caches)[0])
    assert_close(projection, y[unit] * back, 1e-12)


@pytest.mark.parametrize(
    "stop", ["relu1", "pool1", "norm1", "relu2", "pool2", "conv3", "relu3", "relu4", "scores"]
)
def test_the_gradient_rule_is_activation_times_gradient_in_any_net(stop, xp):
    net, x = nets.make(xp, FULL), image()
    y, caches = net.forward(xp.asarray(x.copy()), stop=stop)
    y = to_cpu(y).copy()
    unit = strongest(y)
    assert y[unit] > 0 or stop == "scores"
    projection = to_cpu(net.deconv(xp.asarray(one_hot(y, unit)), caches, GRADIENT))
    table = FULL[: [name for name, *_ in FULL].index(stop) + 1]

    def value(x):
        return float(to_cpu(net.forward(xp.asarray(x.copy()), stop=stop)[0])[unit])

    for v, slope in slopes(xp, net, table, x, value):
        assert_slope(projection, v, y[unit] * slope)
    back = to_cpu(net.backward(xp.asarray(one_hot(y, unit, 1.0)), caches)[0])
    assert_close(projection, y[unit] * back, 1e-12)


def reference_down(net, table, outputs, switches, r, rules):
    """The projection, by the naive loops."""
    for (name, kind, settings), x in reversed(list(zip(table, outputs, strict=False))):
        if kind is Conv:
            known = {
                key: value for key, value in settings.items() if key not in ("filters", "size")
            }
            r = ref.conv_down(r, x.shape, to_cpu(net[name].weight), **known)
        elif kind is ReLU:
            r = ref.relu_down(r, x, rules.relu)
        elif kind is LRN and rules.lrn == "gradient":
            r = ref.lrn_back(r, x, **settings)
        elif kind is MaxPool:
            known = {key: value for key, value in settings.items() if key != "ceil_mode"}
            r = ref.pool_down(
                r, switches[name], x.shape, **known, shared_switches=rules.shared_switches
            )
    return r


@pytest.mark.parametrize("stop", ["pool2", "relu3", "scores"])
def test_every_rule_equals_the_walk_of_the_reference(stop, xp):
    """One forward, 18 ways down, a whole map and a single unit each."""
    net, x = nets.make(xp, FULL), image(batch=2)
    table = FULL[: [name for name, *_ in FULL].index(stop) + 1]
    outputs, switches = reference_up(net, table, x)
    y, caches = net.forward(xp.asarray(x.copy()), stop=stop)
    y = to_cpu(y).copy()
    assert_close(y, outputs[-1], 1e-11)
    whole = np.zeros_like(y)
    whole[..., 1] = y[..., strongest(y)[3]]
    seen = []
    for rules, r in product(ALL_RULES, [one_hot(y, strongest(y)), whole]):
        want = reference_down(net, table, outputs, switches, r, rules)
        assert_close(net.deconv(xp.asarray(r.copy()), caches, rules), want, 1e-11)
        seen.append(want.tobytes())
    assert len(set(seen)) > len(ALL_RULES), "the rules differ on this net"
    assert_close(
        net.deconv(xp.asarray(whole), caches),
        reference_down(net, table, outputs, switches, whole, PAPER),
        1e-11,
    )


@pytest.mark.parametrize("rules", ALL_RULES, ids=lambda rules: "-".join(rules))
def test_a_projection_is_homogeneous_in_its_seed(rules, xp):
    """deconv(c r) = c deconv(r), c > 0, at fixed caches: bit for bit where c is a power of 2."""
    net = nets.make(xp, FULL)
    y, caches = net.forward(xp.asarray(image(batch=2)))
    r = to_cpu(y).copy()
    once = to_cpu(net.deconv(xp.asarray(r), caches, rules)).copy()
    assert np.count_nonzero(once) > 10
    np.testing.assert_array_equal(to_cpu(net.deconv(xp.asarray(4 * r), caches, rules)), 4 * once)
    assert_close(net.deconv(xp.asarray(3 * r), caches, rules), 3 * once, 1e-12)
    assert not to_cpu(net.deconv(xp.asarray(0 * r), caches, rules)).any(), (
        "a dead unit has an empty picture"
    )


@pytest.mark.parametrize("stop", ["relu1", "pool1"])
def test_layer_1_projects_its_filter(stop, xp):
    """Activation x filter, pasted at the unit's window (of a pooled unit: that of its switch), cut
    at the border.
    """
    net, x = nets.make(xp, FULL, seed=3), image(seed=4)
    y, caches = net.forward(xp.asarray(x.copy()), stop=stop)
    y = to_cpu(y).copy()
    for rank in range(12):
        n, i, j, c = unit = strongest(y, rank)
        projection = to_cpu(net.deconv(xp.asarray(one_hot(y, unit)), caches))
        if stop == "pool1":
            switch = int(to_cpu(caches["pool1"].switches)[unit])
            i, j = 2 * i + switch // 3, 2 * j + switch % 3
        want = np.zeros((1, SHAPE[0] + 9, SHAPE[1] + 9, SHAPE[2]))
        want[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] = (
            y[unit] * to_cpu(net["conv1"].weight)[..., c]
        )
        assert_close(projection, want[:, : SHAPE[0], : SHAPE[1]], 1e-13)


# ------------------------------------------------------------------------------------------- where it may reach


def box(table, unit, shape):
    """The pixels a unit (row, column) can see, as two slices, clipped to the picture."""
    walked = [settings for _, kind, settings in table if kind in (Conv, MaxPool)]
    slices = []
    for axis in range(2):
        steps = [
            (
                ref.pair(settings["size"])[axis],
                ref.pair(settings.get("stride", 1))[axis],
                ref.four(settings.get("pad", 0))[axis],
            )
            for settings in walked
        ]
        first, last = ref.receptive_interval(steps, unit[axis])
        slices.append(slice(max(first, 0), min(last, shape[axis] - 1) + 1))
    return tuple(slices)


DEEP = [
    ("conv1", Conv, dict(filters=3, size=(3, 4), stride=2, pad=(0, 1, 2, 1))),
    ("relu1", ReLU, dict()),
    ("pool1", MaxPool, dict(size=3, stride=2)),
    ("norm1", LRN, dict(alpha=0.5)),
    ("conv2", Conv, dict(filters=4, size=3, pad=1)),
    ("relu2", ReLU, dict()),
    ("pool2", MaxPool, dict(size=(3, 2), stride=2, pad=(1, 0))),
    ("conv3", Conv, dict(filters=3, size=2)),
    ("relu3", ReLU, dict()),
]


@pytest.mark.parametrize(
    "rules", [PAPER, GRADIENT, Rules("guided", "identity", "overwrite")], ids=lambda r: "-".join(r)
)
def test_a_projection_stays_inside_the_receptive_box(rules, xp):
    """Exact zeros outside, for every place of the map."""
    shape = (31, 34, 2)
    net, x = nets.make(xp, DEEP, shape), image(shape=shape)
    y, caches = net.forward(xp.asarray(x))
    y = to_cpu(y)
    assert y.shape[1] > 1 and y.shape[2] > 2
    alive = 0
    for i, j in product(range(y.shape[1]), range(y.shape[2])):
        unit = (0, i, j, int(y[0, i, j].argmax()))
        projection = to_cpu(net.deconv(xp.asarray(one_hot(y, unit, 1.0)), caches, rules)).copy()
        rows, columns = box(DEEP, (i, j), shape)
        assert (rows.stop - rows.start) * (columns.stop - columns.start) < shape[0] * shape[1]
        alive += projection[0, rows, columns].any()
        projection[0, rows, columns] = 0
        assert not projection.any(), f"unit ({i}, {j}) reaches outside {rows} {columns}"
    assert alive > y.shape[1] * y.shape[2] / 3


def test_with_weights_of_1_and_sums_for_maxima_it_is_the_receptive_box(xp):
    """Every pixel of the box, and no other: pools become convolutions with ones."""
    shape = (31, 34, 1)
    table = [
        (
            name,
            Conv,
            dict(filters=1) | {key: value for key, value in settings.items() if key != "filters"},
        )
        for name, kind, settings in DEEP
        if kind in (Conv, MaxPool)
    ]
    net = nets.make(xp, table, shape)
    for name in nets.convs(table):
        net[name].weight = xp.ones_like(net[name].weight)
    y, caches = net.forward(xp.asarray(image(shape=shape)))
    for i, j in product(range(y.shape[1]), range(y.shape[2])):
        projection = to_cpu(
            net.deconv(xp.asarray(one_hot(np.zeros(y.shape), (0, i, j, 0), 1.0)), caches)
        )
        want = np.zeros(shape[:2], bool)
        want[box(table, (i, j), shape)] = True
        np.testing.assert_array_equal(projection[0, :, :, 0] > 0, want)
