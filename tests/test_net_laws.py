"""Laws of a whole net: what a projection is, where it may reach, and that training gradients are gradients."""

import hashlib
import os
import subprocess
import sys
from itertools import product

import nets
import numpy as np
import pytest
import reference as ref
from laws import STEP, assert_close, assert_same
from nets import FULL, LINEAR, SHAPE, one_hot, picture, strongest

from rawconv.arrays import to_cpu
from rawconv.layers import GRADIENT, PAPER, Rules
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.layers.softmax import softmax_cross_entropy
from rawconv.net import Net

ALL_RULES = [
    Rules(*r) for r in product(["deconv", "gradient", "guided"], ["identity", "gradient"], ["add", "max", "overwrite"])
]


def slopes(xp, net, table, x, value, directions=3, draw=None):
    """(v, d value / dh) at x + h v for random v that cross no kink; value(y) is a number made of the net's output."""
    rng, found = np.random.default_rng(5), 0
    here = nets.pattern(xp, net, table, x, draw)
    for _ in range(10):
        v = rng.uniform(-1, 1, x.shape)
        if any(nets.pattern(xp, net, table, x + h * v, draw) != here for h in (STEP, -STEP)):
            continue
        ahead, behind = (value(x + h * v) for h in (STEP, -STEP))
        yield v, (ahead - behind) / (2 * STEP)
        found += 1
        if found == directions:
            return
    raise AssertionError("every direction crosses a kink: this test has nothing to compare")


def assert_slope(gradient, v, slope, tolerance=1e-7):
    product, size = gradient * v, np.linalg.norm(gradient) * np.linalg.norm(v) / np.sqrt(v.size)
    assert size > 0, "a gradient of zeros proves nothing"
    assert abs(product.sum() - slope) < tolerance * max(size, abs(slope)), f"{product.sum()!r} is not {slope!r}"


# ------------------------------------------------------------------------------------------- what a projection is


@pytest.mark.parametrize("stop", ["conv1", "pool1", "conv2", "pool2", "scores"])
@pytest.mark.parametrize("rank", [0, 3])
def test_without_relu_and_lrn_a_projection_is_activation_times_gradient(stop, rank, xp):
    """By the paper's rules, and by finite differences of the unit itself: no bias, no other rule in between."""
    net, x = nets.make(xp, LINEAR), picture()
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


@pytest.mark.parametrize("stop", ["relu1", "pool1", "norm1", "relu2", "pool2", "conv3", "relu3", "relu4", "scores"])
def test_the_gradient_rule_is_activation_times_gradient_in_any_net(stop, xp):
    net, x = nets.make(xp, FULL), picture()
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


def reference_up(net, table, x):
    """The outputs of all layers, by the naive loops; pools give their switches as well."""
    outputs, switches = [x], {}
    for name, kind, settings in table:
        x, known = outputs[-1], dict(settings)
        if kind is Conv:
            known = {key: value for key, value in known.items() if key not in ("filters", "size")}
            outputs.append(ref.conv_up(x, to_cpu(net[name].weight), to_cpu(net[name].bias), **known))
        elif kind is ReLU:
            outputs.append(ref.relu_up(x))
        elif kind is LRN:
            outputs.append(ref.lrn_up(x, **known))
        elif kind is MaxPool:
            y, switches[name] = ref.pool_up(x, **known)
            outputs.append(y)
        else:
            outputs.append(x)
    return outputs, switches


def reference_down(net, table, outputs, switches, r, rules):
    """The projection, by the naive loops."""
    for (name, kind, settings), x in reversed(list(zip(table, outputs, strict=False))):
        if kind is Conv:
            known = {key: value for key, value in settings.items() if key not in ("filters", "size")}
            r = ref.conv_down(r, x.shape, to_cpu(net[name].weight), **known)
        elif kind is ReLU:
            r = ref.relu_down(r, x, rules.relu)
        elif kind is LRN and rules.lrn == "gradient":
            r = ref.lrn_back(r, x, **settings)
        elif kind is MaxPool:
            known = {key: value for key, value in settings.items() if key != "rounding"}
            r = ref.pool_down(r, switches[name], x.shape, **known, shared_switches=rules.shared_switches)
    return r


@pytest.mark.parametrize("stop", ["pool2", "relu3", "scores"])
def test_every_rule_equals_the_walk_of_the_reference(stop, xp):
    """One forward, 18 ways down, a whole map and a single unit each."""
    net, x = nets.make(xp, FULL), picture(batch=2)
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
        net.deconv(xp.asarray(whole), caches), reference_down(net, table, outputs, switches, whole, PAPER), 1e-11
    )


@pytest.mark.parametrize("rules", ALL_RULES, ids=lambda rules: "-".join(rules))
def test_a_projection_is_homogeneous_in_its_seed(rules, xp):
    """deconv(c r) = c deconv(r), c > 0, at fixed caches: bit for bit where c is a power of 2."""
    net = nets.make(xp, FULL)
    y, caches = net.forward(xp.asarray(picture(batch=2)))
    r = to_cpu(y).copy()
    once = to_cpu(net.deconv(xp.asarray(r), caches, rules)).copy()
    assert np.count_nonzero(once) > 10
    np.testing.assert_array_equal(to_cpu(net.deconv(xp.asarray(4 * r), caches, rules)), 4 * once)
    assert_close(net.deconv(xp.asarray(3 * r), caches, rules), 3 * once, 1e-12)
    assert not to_cpu(net.deconv(xp.asarray(0 * r), caches, rules)).any(), "a dead unit has an empty picture"


@pytest.mark.parametrize("stop", ["relu1", "pool1"])
def test_layer_1_projects_its_filter(stop, xp):
    """Activation x filter, pasted at the unit's window (of a pooled unit: that of its switch), cut at the border."""
    net, x = nets.make(xp, FULL, seed=3), picture(seed=4)
    y, caches = net.forward(xp.asarray(x.copy()), stop=stop)
    y = to_cpu(y).copy()
    for rank in range(12):
        n, i, j, c = unit = strongest(y, rank)
        projection = to_cpu(net.deconv(xp.asarray(one_hot(y, unit)), caches))
        if stop == "pool1":
            switch = int(to_cpu(caches[2].switches)[unit])
            i, j = 2 * i + switch // 3, 2 * j + switch % 3
        want = np.zeros((1, SHAPE[0] + 9, SHAPE[1] + 9, SHAPE[2]))
        want[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] = y[unit] * to_cpu(net["conv1"].weight)[..., c]
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
    net, x = nets.make(xp, DEEP, shape), picture(shape=shape)
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
        (name, Conv, dict(filters=1) | {key: value for key, value in settings.items() if key != "filters"})
        for name, kind, settings in DEEP
        if kind in (Conv, MaxPool)
    ]
    net = nets.make(xp, table, shape)
    for name in nets.convs(table):
        net[name].weight = xp.ones_like(net[name].weight)
    y, caches = net.forward(xp.asarray(picture(shape=shape)))
    for i, j in product(range(y.shape[1]), range(y.shape[2])):
        projection = to_cpu(net.deconv(xp.asarray(one_hot(np.zeros(y.shape), (0, i, j, 0), 1.0)), caches))
        want = np.zeros(shape[:2], bool)
        want[box(table, (i, j), shape)] = True
        np.testing.assert_array_equal(projection[0, :, :, 0] > 0, want)


# ------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_the_gradients_of_a_net_equal_finite_differences(training, batch, xp):
    """Loss of the whole net, with a fixed draw of the dropout mask, in every parameter and in the picture."""
    net, x = nets.make(xp, FULL), picture(batch=batch)
    labels = xp.asarray(np.arange(batch) % 5)
    draw = (3, 1, np.arange(10, 10 + batch)) if training else None

    def loss(x):
        return float(softmax_cross_entropy(net.forward(xp.asarray(x.copy()), draw=draw)[0], labels)[0])

    scores, caches = net.forward(xp.asarray(x.copy()), draw=draw)
    dx, grads = net.backward(softmax_cross_entropy(scores, labels)[1], caches)
    dx = to_cpu(dx).copy()
    assert {name for name, grad in grads.items() if grad} == set(nets.convs(FULL))
    for v, slope in slopes(xp, net, FULL, x, loss, 2, draw):
        assert_slope(dx, v, slope)
    here, rng, compared = nets.pattern(xp, net, FULL, x, draw), np.random.default_rng(6), 0
    for name, key in product(nets.convs(FULL), ["weight", "bias"]):
        value, gradient = to_cpu(getattr(net[name], key)).copy(), to_cpu(grads[name][key]).copy()
        v, losses, clear = rng.uniform(-1, 1, value.shape), [], True
        for h in (STEP, -STEP):
            setattr(net[name], key, xp.asarray(value + h * v))
            losses.append(loss(x))
            clear &= nets.pattern(xp, net, FULL, x, draw) == here
        setattr(net[name], key, xp.asarray(value))
        if clear:
            assert_slope(gradient, v, (losses[0] - losses[1]) / (2 * STEP))
            compared += 1
    assert compared >= 8, "too many directions cross a kink: this test has too little to compare"


def test_gradients_are_sums_over_the_pictures(xp):
    """A batch of three = three batches of one, also with dropout: nothing is divided, the mask follows the sample."""
    net, x, samples = nets.make(xp, FULL), picture(batch=3), np.array([70, 3, 12])
    y, caches = net.forward(xp.asarray(x.copy()), draw=(1, 2, samples))
    y = to_cpu(y).copy()
    dy = np.random.default_rng(7).standard_normal(y.shape)
    dx, grads = net.backward(xp.asarray(dy.copy()), caches)
    dx, total = to_cpu(dx).copy(), {}
    for n in range(3):
        y1, caches1 = net.forward(xp.asarray(x[n : n + 1].copy()), draw=(1, 2, samples[n : n + 1]))
        assert_close(y1, y[n : n + 1], 1e-12)
        dx1, grads1 = net.backward(xp.asarray(dy[n : n + 1].copy()), caches1)
        assert_close(dx1, dx[n : n + 1], 1e-12)
        for name, key in product(nets.convs(FULL), ["weight", "bias"]):
            total[name, key] = total.get((name, key), 0) + to_cpu(grads1[name][key])
    for (name, key), want in total.items():
        assert_close(grads[name][key], want, 1e-12)
    other = to_cpu(net.forward(xp.asarray(x.copy()), draw=(1, 3, samples))[0])
    assert np.abs(other - y).max() > 1e-3, "another epoch, another mask"


def test_stop_names_a_layer_and_includes_it(xp):
    net, x = nets.make(xp, FULL), picture(batch=2)
    outputs, _ = reference_up(net, FULL, x)
    for (name, *_), want in zip(FULL, outputs[1:], strict=True):
        assert_close(net.forward(xp.asarray(x.copy()), stop=name)[0], want, 1e-11)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_relu_done_by_the_convolution_below_is_the_same_bit_for_bit(batch, xp, dtype, monkeypatch):
    """Scores, gradients and projections as where layers are called one by one; and no ReLU has a pass of its own."""
    net, x = nets.make(xp, FULL).astype(dtype), xp.asarray(picture(batch=batch).astype(dtype))
    draw, y, caches = (3, 1, np.arange(batch)), x.copy(), []
    for _, layer in net.layers:
        y, cache = layer.forward(y, draw)
        caches.append(cache)
    monkeypatch.delattr(ReLU, "forward")
    fused_y, fused_caches = net.forward(x.copy(), draw=draw)
    assert_same(fused_y, to_cpu(y))
    (dx, grads), (fused_dx, fused_grads) = net.backward(y, caches), net.backward(fused_y, fused_caches)
    assert_same(fused_dx, to_cpu(dx))
    for name, key in product(nets.convs(FULL), ["weight", "bias"]):
        assert_same(fused_grads[name][key], to_cpu(grads[name][key]))
    for rules in (PAPER, GRADIENT):
        assert_same(net.deconv(fused_y, fused_caches, rules), to_cpu(net.deconv(y, caches, rules)))


def test_a_convolution_that_is_asked_for_keeps_what_is_below_0(xp):
    net, x = nets.make(xp, FULL), picture()
    outputs, _ = reference_up(net, FULL, x)
    for (name, y, _), want in zip(net.up(xp.asarray(x), asked=nets.convs(FULL)), outputs[1:], strict=True):
        assert name not in nets.convs(FULL) or want.min() < 0
        assert_close(y, want, 1e-11)


def test_a_forward_leaves_the_caches_of_another_alone(xp):
    """Caches are values: two pictures can be looked at in turn."""
    net, first, second = nets.make(xp, FULL), picture(seed=2), picture(seed=3)
    y, caches = net.forward(xp.asarray(first.copy()))
    r = xp.asarray(to_cpu(y).copy())
    before = [to_cpu(net.deconv(r, caches, rules)).copy() for rules in (PAPER, GRADIENT)]
    back = to_cpu(net.backward(r, caches)[0]).copy()
    net.forward(xp.asarray(second.copy()), draw=(1, 1, np.array([1])))
    for rules, want in zip((PAPER, GRADIENT), before, strict=True):
        assert_same(net.deconv(r, caches, rules), want)
    assert_same(net.backward(r, caches)[0], back)


def test_a_forward_leaves_the_picture_alone(xp):
    """With ReLUs in place above the first convolution."""
    x = picture()
    device_x = xp.asarray(x.copy())
    net = nets.make(xp, FULL)
    y, caches = net.forward(device_x)
    net.deconv(y, caches)
    assert_same(device_x, x)


def test_the_same_seed_draws_the_same_net():
    def weights(seed):
        layers = [("conv1", Conv(4, 3)), ("relu1", ReLU()), ("scores", Conv(3, None))]
        net = Net((6, 7, 2), layers, classes=["a", "b", "c"], seed=seed)
        return [net[name].weight for name in ("conv1", "scores")]

    for a, b, c in zip(weights(5), weights(5), weights(6), strict=True):
        assert a.dtype == np.float32
        assert_same(a, b)
        assert (a != c).mean() > 0.99


def test_a_picture_too_small_for_the_net_is_refused():
    layers = [("conv1", Conv(4, 3)), ("pool1", MaxPool(3, 2)), ("conv2", Conv(3, 4))]
    with pytest.raises(ValueError) as refusal:
        Net((8, 12, 2), layers)
    assert len(str(refusal.value)) > 20 and "\n" not in str(refusal.value), "one sentence"


PROGRAM = """
import hashlib, numpy as np, nets
from rawconv import models
net = nets.make(np, nets.FULL)
y, caches = net.forward(nets.picture(batch=70), draw=(1, 2, np.arange(70)))
dx, grads = net.backward(y.copy(), caches)
parts = [y, dx, net.deconv(y.copy(), caches)] + [grads[n][k] for n in nets.convs(nets.FULL) for k in ("weight", "bias")]
net = models.build("zf32", 7)
y, caches = net.forward(np.random.default_rng(0).random((9, 32, 32, 3), np.float32), draw=(1, 2, np.arange(9)))
grads = net.backward(y.copy(), caches)[1]
parts += [grads[n][k] for n, layer in net.layers if layer.params for k in ("weight", "bias")]
print(hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in parts)).hexdigest())
"""


def test_the_thread_count_changes_no_bit():
    here = os.path.dirname(os.path.abspath(__file__))
    found = set()
    for count in ("1", "2", "3"):
        paths = os.pathsep.join([here, os.path.dirname(here), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"RAWCONV_NUM_THREADS": count, "PYTHONPATH": paths}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert run.returncode == 0, run.stderr
        found.add(run.stdout)
    assert len(found) == 1 and len(found.pop().strip()) == hashlib.sha256().digest_size * 2
