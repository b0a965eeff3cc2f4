"""Laws of a whole net on its way up and back: gradients, fused ReLUs, caches, seeds, threads."""

import hashlib
import os
import subprocess
import sys
from itertools import product

import nets
import numpy as np
import pytest
from laws import STEP, assert_close, assert_same
from nets import FULL, assert_slope, image, reference_up, slopes

from rawconv.layers import GRADIENT, PAPER, Layer
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.layers.softmax import softmax_cross_entropy
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_the_gradients_of_a_net_equal_finite_differences(training, batch, xp):
    """Loss of the whole net, with a fixed draw of the dropout mask, in every parameter and in the picture."""
    net, x = nets.make(xp, FULL), image(batch=batch)
    labels = xp.asarray(np.arange(batch) % 5)
    rng_key = (3, 1, np.arange(10, 10 + batch)) if training else None

    def loss(x):
        return float(
            softmax_cross_entropy(net.forward(xp.asarray(x.copy()), rng_key=rng_key)[0], labels)[0]
        )

    scores, caches = net.forward(xp.asarray(x.copy()), rng_key=rng_key)
    dx, grads = net.backward(softmax_cross_entropy(scores, labels)[1], caches)
    dx = to_cpu(dx).copy()
    assert {name for name, grad in grads.items() if grad} == set(nets.convs(FULL))
    for v, slope in slopes(xp, net, FULL, x, loss, 2, rng_key):
        assert_slope(dx, v, slope)
    here, rng, compared = nets.pattern(xp, net, FULL, x, rng_key), np.random.default_rng(6), 0
    for name, key in product(nets.convs(FULL), ["weight", "bias"]):
        value, gradient = to_cpu(getattr(net[name], key)).copy(), to_cpu(grads[name][key]).copy()
        v, losses, clear = rng.uniform(-1, 1, value.shape), [], True
        for h in (STEP, -STEP):
            setattr(net[name], key, xp.asarray(value + h * v))
            losses.append(loss(x))
            clear &= nets.pattern(xp, net, FULL, x, rng_key) == here
        setattr(net[name], key, xp.asarray(value))
        if clear:
            assert_slope(gradient, v, (losses[0] - losses[1]) / (2 * STEP))
            compared += 1
    assert compared >= 8, "too many directions cross a kink: this test has too little to compare"


def test_gradients_are_sums_over_the_images(xp):
    """A batch of three = three batches of one, also with dropout: nothing is divided, the mask
    follows the sample.
    """
    net, x, samples = nets.make(xp, FULL), image(batch=3), np.array([70, 3, 12])
    y, caches = net.forward(xp.asarray(x.copy()), rng_key=(1, 2, samples))
    y = to_cpu(y).copy()
    dy = np.random.default_rng(7).standard_normal(y.shape)
    dx, grads = net.backward(xp.asarray(dy.copy()), caches)
    dx, total = to_cpu(dx).copy(), {}
    for n in range(3):
        y1, caches1 = net.forward(
            xp.asarray(x[n : n + 1].copy()), rng_key=(1, 2, samples[n : n + 1])
        )
        assert_close(y1, y[n : n + 1], 1e-12)
        dx1, grads1 = net.backward(xp.asarray(dy[n : n + 1].copy()), caches1)
        assert_close(dx1, dx[n : n + 1], 1e-12)
        for name, key in product(nets.convs(FULL), ["weight", "bias"]):
            total[name, key] = total.get((name, key), 0) + to_cpu(grads1[name][key])
    for (name, key), want in total.items():
        assert_close(grads[name][key], want, 1e-12)
    other = to_cpu(net.forward(xp.asarray(x.copy()), rng_key=(1, 3, samples))[0])
    assert np.abs(other - y).max() > 1e-3, "another epoch, another mask"


def test_stop_names_a_layer_and_includes_it(xp):
    net, x = nets.make(xp, FULL), image(batch=2)
    outputs, _ = reference_up(net, FULL, x)
    for (name, *_), want in zip(FULL, outputs[1:], strict=True):
        assert_close(net.forward(xp.asarray(x.copy()), stop=name)[0], want, 1e-11)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_relu_done_by_the_convolution_below_is_the_same_bit_for_bit(
    batch, xp, dtype, monkeypatch
):
    """Scores, gradients and projections as where layers are called one by one; and no ReLU has a
    pass of its own.
    """
    net, x = nets.make(xp, FULL).astype(dtype), xp.asarray(image(batch=batch).astype(dtype))
    rng_key, y, caches = (3, 1, np.arange(batch)), x.copy(), {}
    for name, layer in net.layers:
        y, caches[name] = layer.forward(y, rng_key, **net.how(layer))
    monkeypatch.delattr(ReLU, "forward")
    fused_y, fused_caches = net.forward(x.copy(), rng_key=rng_key)
    assert_same(fused_y, to_cpu(y))
    (dx, grads), (fused_dx, fused_grads) = (
        net.backward(y, caches),
        net.backward(fused_y, fused_caches),
    )
    assert_same(fused_dx, to_cpu(dx))
    for name, key in product(nets.convs(FULL), ["weight", "bias"]):
        assert_same(fused_grads[name][key], to_cpu(grads[name][key]))
    for rules in (PAPER, GRADIENT):
        assert_same(net.deconv(fused_y, fused_caches, rules), to_cpu(net.deconv(y, caches, rules)))


def test_a_convolution_that_is_asked_for_keeps_what_is_below_0(xp):
    net, x = nets.make(xp, FULL), image()
    outputs, _ = reference_up(net, FULL, x)
    for (name, y, _), want in zip(
        net.up(xp.asarray(x), asked=nets.convs(FULL)), outputs[1:], strict=True
    ):
        assert name not in nets.convs(FULL) or want.min() < 0
        assert_close(y, want, 1e-11)


def test_a_forward_leaves_the_caches_of_another_alone(xp):
    """Caches are values: two pictures can be looked at in turn."""
    net, first, second = nets.make(xp, FULL), image(seed=2), image(seed=3)
    y, caches = net.forward(xp.asarray(first.copy()))
    r = xp.asarray(to_cpu(y).copy())
    before = [to_cpu(net.deconv(r, caches, rules)).copy() for rules in (PAPER, GRADIENT)]
    back = to_cpu(net.backward(r, caches)[0]).copy()
    net.forward(xp.asarray(second.copy()), rng_key=(1, 1, np.array([1])))
    for rules, want in zip((PAPER, GRADIENT), before, strict=True):
        assert_same(net.deconv(r, caches, rules), want)
    assert_same(net.backward(r, caches)[0], back)


def test_a_forward_leaves_the_image_alone(xp):
    """With ReLUs in place above the first convolution."""
    x = image()
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


def test_a_image_too_small_for_the_net_is_refused():
    layers = [("conv1", Conv(4, 3)), ("pool1", MaxPool(3, 2)), ("conv2", Conv(3, 4))]
    with pytest.raises(ValueError) as refusal:
        Net((8, 12, 2), layers)
    assert len(str(refusal.value)) > 20 and "\n" not in str(refusal.value), "one sentence"


PROGRAM = """
import hashlib, numpy as np, nets
from rawconv import models
net = nets.make(np, nets.FULL)
y, caches = net.forward(nets.image(batch=70), rng_key=(1, 2, np.arange(70)))
dx, grads = net.backward(y.copy(), caches)
parts = [y, dx, net.deconv(y.copy(), caches)] + [grads[n][k] for n in nets.convs(nets.FULL) for k in ("weight", "bias")]
net = models.build("zf32", 7)
y, caches = net.forward(np.random.default_rng(0).random((9, 32, 32, 3), np.float32), rng_key=(1, 2, np.arange(9)))
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
            [sys.executable, "-c", PROGRAM],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        found.add(run.stdout)
    assert len(found) == 1 and len(found.pop().strip()) == hashlib.sha256().digest_size * 2


class Scale(Layer):
    """y = scale * x, with the contract's functions alone."""

    def __init__(self, scale=None):
        self.scale = scale
        self.params, self.settings = {"scale": scale}, {}

    def out_shape(self, shape):
        return shape

    def forward(self, x, rng_key=None):
        return self.scale * x, x

    def backward(self, dy, cache):
        return self.scale * dy, {"scale": (dy * cache).sum(axis=(0, 1, 2))}


def test_the_lowest_layer_that_learns_needs_no_function_of_its_own():
    """Its gradients alone are asked for: of a Conv without those of its input, of any other layer
    by its backward.
    """
    layers = [
        ("scale1", Scale(np.array([2.0, -3.0]))),
        ("relu1", ReLU()),
        ("scores", Conv(3, None)),
    ]
    net = Net((4, 5, 2), layers, dtype="float64")
    y, caches = net.forward(np.random.default_rng(8).standard_normal((2, 4, 5, 2)))
    dx, grads = net.backward(y, caches, stop="scale1")
    whole_dx, whole_grads = net.backward(y, caches)
    assert dx is None and whole_dx is not None and whole_grads["scale1"]["scale"].all()
    assert_same(grads["scale1"]["scale"], whole_grads["scale1"]["scale"])


def test_a_layer_that_is_not_there_is_named_beside_those_that_are():
    net = nets.make(np, nets.LINEAR)
    with pytest.raises(ValueError) as error:
        net.forward(nets.image(), "conv9")
    assert (
        str(error.value)
        == "There is no layer 'conv9'; the layers are conv1, pool1, conv2, pool2, drop2, scores."
    )


@pytest.mark.parametrize("walk", ["forward", "backward", "deconv"])
def test_what_no_walk_can_take_is_refused_in_a_sentence(walk):
    """Whole numbers, another precision, a list, and an array without the pictures' axis."""
    net = nets.make(np, nets.LINEAR)
    y, caches = net.forward(nets.image(batch=2))
    good, what = (
        (nets.image(batch=2), "x")
        if walk == "forward"
        else (y, {"backward": "dy", "deconv": "r"}[walk])
    )
    call = net.forward if walk == "forward" else lambda given: getattr(net, walk)(given, caches)
    call(good)
    size = "x".join(map(str, good.shape))
    for given, says in (
        (good.astype(np.uint8), f"as float64, not uint8 of shape {size}"),
        (good.astype(np.float32), f"as float64, not float32 of shape {size}"),
        (good[0], f"as float64, not float64 of shape {size.removeprefix('2x')}"),
        (good.tolist(), "as an array, not as a list"),
    ):
        with pytest.raises(ValueError) as error:
            call(given)
        assert str(error.value).startswith(f"This net takes {what} (N, H, W, C)") and says in str(
            error.value
        )
