"""Through the receptive field alone: the same numbers as through whole maps, whatever the net, unit
and options.
"""

import itertools

import nets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_close, assert_same
from projecting import project_units

from rawconv import models
from rawconv.layers import PAPER, Layer, Rules
from rawconv.layers.average_pool import AveragePool
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import Cache, MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net
from rawconv.visualize import boxes, windowed
from rawconv.visualize.receptive_field import fields

EVERY_RULE = [
    Rules(*options)
    for options in itertools.product(
        ("deconv", "gradient", "guided"), ("identity", "gradient"), ("add", "max", "overwrite")
    )
]
# asymmetric in all that can be, every window hangs over somewhere, several layers before it is
# worth the whole
ODD = [
    ("conv1", Conv, dict(filters=4, size=(3, 4), stride=2, pad=(0, 1, 2, 1))),
    ("relu1", ReLU, {}),
    ("pool1", MaxPool, dict(size=3, stride=2)),
    ("norm1", LRN, dict(alpha=0.5)),
    ("conv2", Conv, dict(filters=6, size=3, stride=(1, 2), pad=(2, 0, 1, 1), groups=2)),
    ("relu2", ReLU, {}),
    ("norm2", LRN, dict(size=3, alpha=0.3)),
    ("pool2", MaxPool, dict(size=(3, 2), stride=(1, 1), pad=(1, 0))),
    ("drop2", Dropout, dict(rate=0.5, stream=1)),
    ("conv3", Conv, dict(filters=5, size=2, stride=2, ceil_mode=False)),
    ("relu3", ReLU, {}),
    ("pool3", MaxPool, dict(size=2, stride=3)),
]
ODD_SHAPE = (39, 52, 2)
# padded convolutions in a row; windows that overlap much, and that `floor` drops inside the map
DENSE = [
    ("conv1", Conv, dict(filters=4, size=3, pad=1)),
    ("relu1", ReLU, {}),
    ("pool1", MaxPool, dict(size=4, stride=2, ceil_mode=False)),
    ("conv2", Conv, dict(filters=5, size=3, pad=1)),
    ("pool2", MaxPool, dict(size=3, stride=1)),
    ("conv3", Conv, dict(filters=5, size=3, pad=(2, 1, 0, 1))),
    ("relu3", ReLU, {}),
    ("conv4", Conv, dict(filters=4, size=2, pad=1)),
    ("relu4", ReLU, {}),
]
GAPS = [  # strides beyond windows, and a pool of few places under one of many
    ("conv1", Conv, dict(filters=3, size=2, stride=3)),
    ("relu1", ReLU, {}),
    # 272 places: switches of 16 bits
    ("pool1", MaxPool, dict(size=(16, 17), stride=(4, 5), pad=(15, 3))),
    ("conv2", Conv, dict(filters=4, size=1)),
    ("relu2", ReLU, {}),
    ("pool2", MaxPool, dict(size=4, stride=5, pad=2)),
]
GAPS_SHAPE = (58, 55, 3)
SQUARE = [  # 256 places: switches of 8 bits, all of them taken
    ("conv1", Conv, dict(filters=3, size=3)),
    ("relu1", ReLU, {}),
    ("pool1", MaxPool, dict(size=16, stride=2)),
]
AVERAGES = [  # every count, each at windows that hang over a pad, and over the end
    ("conv1", Conv, dict(filters=4, size=3, pad=1)),
    ("relu1", ReLU, {}),
    ("pool1", AveragePool, dict(size=(3, 4), stride=(2, 3), pad=(1, 2, 0, 1), count="map")),
    ("conv2", Conv, dict(filters=5, size=3, pad=(0, 1, 2, 0))),
    ("pool2", AveragePool, dict(size=3, pad=1, count="padded")),
    ("relu2", ReLU, {}),
    ("pool3", AveragePool, dict(size=2, stride=2, pad=1, count="window")),
    ("conv3", Conv, dict(filters=3, size=2)),
    ("pool4", AveragePool, dict(size=(2, 3), stride=(3, 1), pad=(0, 2), count="padded")),
    ("pool5", MaxPool, dict(size=None)),
]
HALVES = [  # averages that divide by powers of two, which is exact
    ("conv1", Conv, dict(filters=4, size=3, pad=1)),
    ("relu1", ReLU, {}),
    ("pool1", AveragePool, dict(size=(2, 4), stride=(2, 3), pad=(1, 2, 0, 1), count="window")),
    ("conv2", Conv, dict(filters=5, size=3, pad=(0, 1, 2, 0))),
    ("pool2", AveragePool, dict(size=2, pad=1, count="window")),
    ("relu2", ReLU, {}),
]
HOLES = [  # filters with holes, alone and one a map, at windows that hang over
    ("conv1", Conv, dict(filters=16, size=3, pad=2, dilation=2)),
    ("relu1", ReLU, dict(ceiling=1.5)),
    ("conv2", Conv, dict(filters=16, size=3, stride=2, pad=(1, 2), dilation=(1, 2), groups=16)),
    ("relu2", ReLU, {}),
    ("pool2", MaxPool, dict(size=3, stride=2)),
    ("conv3", Conv, dict(filters=4, size=(2, 3), pad=(0, 2, 1, 0), dilation=(3, 1), groups=2)),
    ("relu3", ReLU, dict(ceiling=6)),
]
TABLES = {
    "holes": (HOLES, (25, 26, 2)),
    "averages": (AVERAGES, (27, 37, 2)),
    "halves": (HALVES, (22, 24, 2)),
    "odd": (ODD, ODD_SHAPE),
    "dense": (DENSE, (25, 26, 2)),
    "gaps": (GAPS, GAPS_SHAPE),
    "square": (SQUARE, (34, 29, 2)),
    "full": (nets.FULL, nets.SHAPE),
}


def every_unit(net, name, images=2, enough=40):
    """All places of a layer, each in maps and of pictures drawn at random: once, and until there
    are `enough`.
    """
    height, width, maps = net.shapes[name]
    rng = np.random.default_rng(8)
    places = np.argwhere(np.ones((-(-enough // (height * width)), height, width)))[:, 1:]
    return np.column_stack(
        [rng.integers(0, images, len(places)), rng.integers(0, maps, len(places)), places]
    )


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        *itertools.product(("odd", "full"), EVERY_RULE),
        ("holes", Rules("guided")),
        *itertools.product(
            ("averages", "holes", "dense", "gaps", "square"),
            [Rules(shared_switches=how) for how in ("add", "max", "overwrite")],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_every_place_of_every_layer_by_every_rule(xp, name, rules):
    table, shape = TABLES[name]
    net, x = nets.make(xp, table, shape), xp.asarray(nets.image(batch=2, shape=shape))
    for name in net.shapes:
        units = every_unit(net, name)
        want, value = (
            to_cpu(a) for a in project_units(net, x.copy(), name, units, rules, full=True)
        )
        r, values = project_units(net, x.copy(), name, units, rules)
        assert_same(values, value)
        assert want.any()
        assert_close(r, want, 1e-12)


@pytest.mark.parametrize("shared", ["add", "max", "overwrite"])
@pytest.mark.parametrize("relu", ["deconv", "gradient", "guided"])
@pytest.mark.parametrize("name", ["odd", "dense", "full", "gaps", "halves", "holes"])
def test_with_whole_numbers_not_a_bit_differs(xp, name, relu, shared):
    """Sums of small integers have no order.  Without norms, which make fractions."""
    table, shape = TABLES[name]
    table = [row for row in table if row[1] is not LRN]
    net, rng = nets.make(xp, table, shape), np.random.default_rng(9)
    for layer in nets.convs(table):
        net[layer].weight = xp.asarray(rng.integers(-2, 3, net[layer].weight.shape).astype(float))
        net[layer].bias = xp.asarray(rng.integers(0, 3, net[layer].bias.shape).astype(float))
    x = xp.asarray(rng.integers(-3, 4, (2, *shape)).astype(float))
    for layer in net.shapes:
        units = every_unit(net, layer)
        want, _ = project_units(
            net, x.copy(), layer, units, Rules(relu, "identity", shared), full=True
        )
        r, _ = project_units(net, x.copy(), layer, units, Rules(relu, "identity", shared))
        np.testing.assert_array_equal(to_cpu(r), to_cpu(want))


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3)),
        min_size=2,
        max_size=4,
    ),
    st.integers(12, 40),
    st.integers(12, 40),
    st.sampled_from(EVERY_RULE),
)
def test_any_net(windows, height, width, rules):
    """Layers of any window, whatever remains at the borders; on the CPU, where it is quick."""
    table = []
    for number, (pools, size, stride, pad) in enumerate(windows):
        if pools:
            table.append(
                (
                    f"pool{number}",
                    MaxPool,
                    dict(size=size, stride=stride, pad=(min(pad, size - 1), 0)),
                )
            )
        else:
            table += [
                (
                    f"conv{number}",
                    Conv,
                    dict(filters=3, size=size, stride=stride, pad=(pad, 0, 1, pad)),
                ),
                (f"relu{number}", ReLU, {}),
            ]
    try:
        net = nets.make(np, table, (height, width, 2))
    except ValueError:  # a window larger than what is left
        return
    x, name = nets.image(batch=2, shape=(height, width, 2)), table[-1][0]
    units = every_unit(net, name)[:60]
    want, _ = project_units(net, x.copy(), name, units, rules, full=True)
    assert_close(project_units(net, x.copy(), name, units, rules)[0], want, 1e-12)


def test_sizes_of_the_papers_net():
    """DESIGN: 1-3-5-7-15-33-67-139."""
    shape, layers = models.MODELS["zfnet"](2)
    net = Net(shape, layers[:14])
    sizes = boxes.window_sizes(net, "relu5")
    assert list(dict.fromkeys(reversed(sizes))) == [(n, n) for n in (1, 3, 5, 7, 15, 33, 67, 139)]
    assert boxes.whole_maps(net, "relu5")[-6:] == [(13, 13)] * 6
    assert boxes.window_sizes(net, "conv1") == [(7, 7), (1, 1)]


@pytest.mark.parametrize("model", ["zf32", "lenet"])
def test_from_the_top_of_a_net_whole_maps_go_down(model):
    net = models.build(model, classes=3)
    assert boxes.window_sizes(net, list(net.shapes)[-1]) == boxes.whole_maps(
        net, list(net.shapes)[-1]
    )


@pytest.mark.parametrize("name", ["relu1", "pool1", "relu3", "pool3"])
def test_a_window_is_never_smaller_than_the_field(name):
    net = nets.make(np, ODD, ODD_SHAPE)
    size = boxes.window_sizes(net, name)[0]
    assert size in (fields(net)[name].size, ODD_SHAPE[:2])


@pytest.mark.parametrize("shared", ["add", "max", "overwrite"])
@pytest.mark.parametrize("name", ["odd", "dense", "full"])
def test_switches_that_no_maximum_chose(xp, name, shared):
    """As controls use: pooled units that do not exist must stay silent without help from the order
    of the values.
    """
    table, shape = TABLES[name]
    net, rng = nets.make(xp, table, shape), np.random.default_rng(7)
    last, rules = table[-1][0], Rules("gradient", "identity", shared)
    y, caches = net.forward(xp.asarray(nets.image(batch=2, shape=shape)), last)
    for name, cache in caches.items():
        if isinstance(cache, Cache):
            caches[name] = Cache(xp.asarray(anywhere(rng, net[name].window, cache)), cache.shape)
    units = every_unit(net, last)
    row, number, corner = units[:, 0], units[:, 1], units[:, 2:]
    seed = np.zeros((len(units), 1, 1, y.shape[3]))
    seed[np.arange(len(units)), 0, 0, number] = 1
    ways = [
        to_cpu(
            windowed.go_down(
                net,
                caches,
                windows_of(xp.asarray(seed.copy()), corner, row),
                sizes(net, last),
                rules,
            )
        )
        for sizes in (boxes.window_sizes, boxes.whole_maps)
    ]
    assert ways[1].any()
    assert_close(ways[0], ways[1], 1e-12)


def windows_of(seed, corner, rows):
    return windowed.Windows(seed, corner, rows, np.arange(len(seed)))


def anywhere(rng, window, cache):
    """A switch per pooled unit: any place of its window that is in the map."""
    places = np.zeros(cache.switches.shape, np.int64)
    for axis in range(2):
        first = np.arange(places.shape[1 + axis]) * window.stride[axis] - window.pad[axis]
        low, high = (
            np.maximum(0, -first),
            np.minimum(window.size[axis], cache.shape[1 + axis] - first),
        )
        low, high = (a.reshape((-1, 1, 1) if axis == 0 else (-1, 1)) for a in (low, high))
        places = places * window.size[axis] + rng.integers(low, high, places.shape)
    return places.astype(to_cpu(cache.switches).dtype)


@pytest.mark.parametrize("size", [(3, 4), (2, 6), (7, 9)])
def test_put(xp, size):
    """Even a window of the map's size may lie across its border."""
    rng = np.random.default_rng(3)
    corner = np.array([(0, 0), (1, -2), (-1, 3), (-3, 0), (2, 2), (-2, -3), (9, 9), (-9, 0)])
    r = rng.random((len(corner), *size, 2))
    want = np.zeros((len(corner), 40, 40, 2))
    for unit, (top, left) in enumerate(corner + 15):
        want[unit, top : top + size[0], left : left + size[1]] = r[unit]
    assert_same(windowed.put(xp.asarray(r), corner, (3, 4)), want[:, 15:18, 15:19])


def test_no_units(xp):
    r, values = project_units(
        nets.make(xp, ODD, ODD_SHAPE), xp.asarray(nets.image(shape=ODD_SHAPE)), "relu1", []
    )
    assert r.shape == (0, *ODD_SHAPE) and values.shape == (0,)


def test_caches_are_left_alone(xp):
    """One forward walk serves any number of these."""
    net, x = nets.make(xp, ODD, ODD_SHAPE), xp.asarray(nets.image(shape=ODD_SHAPE))
    y, caches = net.forward(x, "pool2")
    arrays = [cache[0] if isinstance(cache, tuple) else cache for cache in caches.values()]
    before = [to_cpu(array).copy() for array in arrays]
    seed, sizes = xp.ones((3, 1, 1, y.shape[3])), boxes.window_sizes(net, "pool2")
    corner = np.array([[0, 0], [1, 2], [net.shapes["pool2"][0] - 1, 0]])
    for rules in (PAPER, Rules("guided", "gradient", "max")):
        windowed.go_down(net, caches, windows_of(seed, corner, np.zeros(3, int)), sizes, rules)
    for array, old in zip(arrays, before, strict=True):
        assert_same(array, old)
    assert (to_cpu(seed) == 1).all() and corner.min() == 0


class Gate(Layer):
    """y = x where x > 0, else 0; its cache is a tuple of an array."""

    def out_shape(self, shape):
        return shape

    def forward(self, x, rng_key=None):
        return x * (x > 0), (x > 0,)

    def deconv(self, r, cache, rules=PAPER):
        return r * cache[0]


class SelectedGate(Gate):
    def select_cache(self, cache, rows):
        return (cache[0][rows],)


def test_a_cache_is_selected_as_its_layer_says_or_refused():
    """Whole maps of two images in the other order: kept as it is, the cache would be that of the wrong image."""
    rng, projections = np.random.default_rng(4), {}
    filters = [("conv1", Conv(3, 3, pad=1, init_std=1)), ("conv2", Conv(2, 3, pad=1, init_std=1))]
    x = rng.standard_normal((2, 7, 6, 2)).astype(np.float32)
    units = [(1, 0, 3, 3), (0, 1, 2, 2)]
    for gate in (ReLU, SelectedGate, Gate):
        net = Net(x.shape[1:], [filters[0], ("gate", gate()), filters[1]])
        if gate is Gate:
            with pytest.raises(
                ValueError, match=r"^The cache of a Gate is neither .*: give it a select_cache\.$"
            ):
                project_units(net, x, "conv2", units, full=True)
        else:
            projections[gate] = project_units(net, x, "conv2", units, Rules("gradient"), full=True)[
                0
            ]
    assert projections[ReLU].any()
    assert_same(projections[SelectedGate], projections[ReLU])
