"""Gradient descent against its formula written out, filter renormalisation, and the schedules."""

import sys

import numpy as np
import pytest

from rawconv import models
from rawconv.layers.conv import Conv
from rawconv.machine.arrays import Device, to_cpu
from rawconv.machine.kernels import tiles
from rawconv.net import Net
from rawconv.training import optimizer
from rawconv.training.optimizer import SGD, Schedule


def small_net(xp, filters=4, dtype="float64", channels=3):
    layers = [("conv1", Conv(filters, 3, init_std=0.3)), ("fc2", Conv(5, None, init_std=0.3))]
    net = Net((6, 5, channels), layers, seed=0, dtype=dtype)
    return net.to(Device(None if xp is np else 0))


def within(weight, radius):
    """Every filter whose RMS exceeds radius scaled back to it."""
    rms = np.sqrt(np.mean(weight**2, axis=(0, 1, 2)))
    return weight * np.where(rms > radius, radius / rms, 1)


@pytest.mark.parametrize(
    ("filters", "channels"), [(1, 3), (4, 3), (7, 3), (9, 3), (65, 3), (130, 3), (33, 40)]
)
@pytest.mark.parametrize("renorm", [None, 0.3])
def test_three_steps_are_the_formula(filters, channels, renorm, xp, dtype):
    """Filters of RMS 0.3 lie on both sides of the radius; those of 40 channels are cut into parts
    on a GPU.
    """
    net, rng, tolerance = (
        small_net(xp, filters, dtype, channels),
        np.random.default_rng(1),
        {"float64": 1e-12, "float32": 1e-5},
    )
    weights = {key: to_cpu(value).astype(np.float64) for key, value in net.params.items()}
    speeds = {key: np.zeros_like(value) for key, value in weights.items()}
    optimizer = SGD(net, momentum=0.9, weight_decay=0.01, max_filter_rms=renorm)
    for lr in (0.1, 0.05, 0.2):
        grads = {}
        for (layer, name), value in weights.items():
            gradient = rng.standard_normal(value.shape).astype(dtype)
            grads.setdefault(layer, {})[name] = xp.asarray(gradient)
            decay = 0.01 if name == "weight" else 0.0
            speeds[layer, name] = 0.9 * speeds[layer, name] - lr * (decay * value + gradient / 8.0)
            weights[layer, name] = value + speeds[layer, name]
        if renorm:
            weights["conv1", "weight"] = within(weights["conv1", "weight"], renorm)
        optimizer.update(grads, lr, 1 / 8)
    for key, value in net.params.items():
        np.testing.assert_allclose(
            to_cpu(value), weights[key], rtol=tolerance[dtype], atol=tolerance[dtype] / 100
        )
        np.testing.assert_allclose(
            to_cpu(optimizer.velocity[key]),
            speeds[key],
            rtol=tolerance[dtype],
            atol=tolerance[dtype] / 100,
        )


def test_renormalisation_scales_only_what_is_too_large(xp):
    rng, net = np.random.default_rng(2), small_net(xp, 6)
    weight = rng.standard_normal((3, 3, 3, 6)) * np.array([0.01, 0.05, 0.09, 0.15, 0.5, 2.0])
    rms = np.sqrt(np.mean(weight**2, axis=(0, 1, 2)))
    assert (rms[:3] < 0.1).all() and (rms[3:] > 0.1).all()
    grads = {
        name: {key: xp.zeros_like(value) for key, value in layer.params.items()}
        for name, layer in net.layers
    }

    def renormalised(weight):
        net.params["conv1", "weight"][:] = xp.asarray(weight)
        SGD(net, weight_decay=0.0, max_filter_rms=0.1).update(grads, 0.1, 1.0)
        return to_cpu(net.params["conv1", "weight"]).copy()

    found = renormalised(weight)
    after = np.sqrt(np.mean(found**2, axis=(0, 1, 2)))
    np.testing.assert_allclose(after, np.minimum(rms, 0.1), rtol=1e-12)
    assert np.array_equal(found[..., :3], weight[..., :3])
    np.testing.assert_allclose(found / after, weight / rms, rtol=1e-12)
    np.testing.assert_allclose(renormalised(found), found, rtol=1e-15)


def test_renormalisation_leaves_fully_connected_layers_and_biases(xp):
    net = small_net(xp)
    before = {key: to_cpu(value).copy() for key, value in net.params.items()}
    grads = {
        name: {key: xp.zeros_like(value) for key, value in layer.params.items()}
        for name, layer in net.layers
    }
    SGD(net, weight_decay=0.0, max_filter_rms=0.1).update(grads, 0.1, 1.0)
    for key, value in net.params.items():
        changed = not np.array_equal(to_cpu(value), before[key])
        assert changed == (key == ("conv1", "weight"))


def test_plateau_cuts_after_five_epochs_and_stops_after_three_cuts():
    schedule = Schedule("plateau", 0.01, epochs=70)
    assert schedule.after_epoch(0.5) and schedule.rate(1) == 0.01
    for _ in range(4):
        assert schedule.after_epoch(0.5005)
    assert schedule.rate(5) == 0.01
    assert schedule.after_epoch(0.5005) and schedule.rate(6) == pytest.approx(0.001)
    assert schedule.after_epoch(0.6)
    for _ in range(9):
        assert schedule.after_epoch(0.6)
    assert not schedule.after_epoch(0.6)


def test_cosine_step_constant_and_warmup():
    cosine = Schedule("cosine", 0.1, epochs=10, warmup=1)
    assert (
        cosine.rate(0) < 0.001
        and cosine.rate(5) == pytest.approx(0.05)
        and cosine.rate(10) == pytest.approx(0)
    )
    step = Schedule("step", 0.1, epochs=9)
    assert [step.rate(t) for t in (0, 2.9, 3, 6, 9)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.001, 0.001]
    )
    assert Schedule("constant", 0.1, epochs=9).rate(8) == 0.1
    with pytest.raises(ValueError, match="cosine"):
        Schedule("cosnie", 0.1, 9)


def test_what_is_not_said_is_the_papers():
    """Momentum 0.9, weight decay 5e-4, filters within 0.1: one step by hand on numbers that show
    each of them.

    A convolution is what has a window smaller than its input, whatever it is called.
    """
    net = Net((1, 2, 1), [("first", Conv(1, 1)), ("conv9", Conv(1, None))], dtype="float64")
    assert net.convolutions == ["first"]
    grads = {}
    for name, value in (("first", 0.05), ("conv9", 2.0)):
        net[name].weight[:], net[name].bias[:] = value, 1.0
        grads[name] = {key: np.full_like(array, 4.0) for key, array in net[name].params.items()}
    optimizer = SGD(net)
    for velocity in optimizer.velocity.values():
        velocity[:] = 0.01
    optimizer.update(grads, 0.5, 0.001)
    step = 0.9 * 0.01 - 0.5 * 0.001 * 4
    assert net["conv9"].weight == pytest.approx(2 + step - 0.5 * 5e-4 * 2, rel=1e-12)
    assert net["first"].weight == pytest.approx(0.05 + step - 0.5 * 5e-4 * 0.05, rel=1e-12)
    assert net["first"].bias == net["conv9"].bias == pytest.approx(1 + step, rel=1e-12)
    net["first"].weight[:] = 7.0
    optimizer.update(grads, 1e-9, 1.0)
    assert net["first"].weight == pytest.approx(0.1) and net["conv9"].weight.min() > 1.9


def test_a_layer_learns_at_its_own_rate_and_a_frozen_one_not_at_all():
    net = small_net(np)
    before = {key: value.copy() for key, value in net.params.items()}
    optimizer = SGD(
        net,
        momentum=0.5,
        weight_decay=0.0,
        max_filter_rms=None,
        lr_multipliers={"conv1": 0.0, "fc2": 0.25},
    )
    assert optimizer.lowest == "fc2" and SGD(net).lowest == "conv1"
    grads = {
        name: {key: np.ones_like(value) for key, value in layer.params.items()}
        for name, layer in net.layers
    }
    optimizer.update(grads, 0.8, 0.5)
    for key, value in net.params.items():
        np.testing.assert_allclose(value, before[key] - (0.1 if key[0] == "fc2" else 0), rtol=1e-12)


def test_better_means_a_tenth_of_a_point_more():
    for gain, cut in ((0.0009, True), (0.0011, False)):
        schedule = Schedule("plateau", 1.0, epochs=70)
        schedule.after_epoch(0.5)
        for k in range(5):
            schedule.after_epoch(0.5 + gain * (k == 0))
        assert (schedule.rate(6) < 1) == cut


def test_warmup_is_a_line_from_nearly_nothing_and_multiplies_every_schedule():
    constant = Schedule("constant", 0.1, epochs=10, warmup=2)
    assert [constant.rate(t) for t in (0, 0.5, 1, 1.999, 2, 9)] == pytest.approx(
        [5e-5, 0.02505, 0.05005, 0.1, 0.1, 0.1]
    )
    cosine = Schedule("cosine", 0.1, epochs=10, warmup=2)
    assert cosine.rate(1) == pytest.approx(0.05005 * (1 + np.cos(np.pi / 10)) / 2)
    assert cosine.rate(12) == pytest.approx(0)


@pytest.mark.parametrize("model", ["zfnet", "zf64", "zf32", "lenet"])
def test_a_gpu_s_update_keeps_every_multiprocessor_busy(model):
    """A tile a block of threads: 132 multiprocessors of an H200, two blocks each; a filter's part is
    at least ROWS rows.
    """
    blocks = 0
    for value in models.build(model, 64).params.values():
        rows = value.size // value.shape[-1]
        across, step, parts = tiles(rows, value.shape[-1], optimizer.BLOCKS, optimizer.ROWS)
        assert parts == 1 or step >= optimizer.ROWS
        blocks += across * parts
    assert blocks >= 2 * 132


def test_a_small_net_s_update_is_one_call_of_a_compiled_loop():
    """A call for each of its 16 parameters would take as long as the work."""
    net = models.build("zf32", [str(i) for i in range(10)])
    sgd, grads, calls = SGD(net), {}, []
    for (layer, name), value in net.params.items():
        grads.setdefault(layer, {})[name] = np.ones_like(value)
    sgd.update(grads, 0.1, 1.0)
    sys.setprofile(lambda frame, event, _: event == "call" and calls.append(frame.f_code.co_name))
    sgd.update(grads, 0.1, 1.0)
    sys.setprofile(None)
    assert calls.count("run_ranges") == 1 and not {"sgd", "sgd_filters", "cut"} & set(calls)


def test_an_update_follows_arrays_that_are_replaced():
    """As those of a checkpoint are, or of a net that moves."""
    net = small_net(np)
    grads = {
        name: {key: np.ones_like(v) for key, v in layer.params.items()}
        for name, layer in net.layers
    }
    sgd = SGD(net, momentum=0.5, weight_decay=0.0, max_filter_rms=None)
    sgd.update(grads, 0.1, 1.0)
    before = net["fc2"].weight
    net["fc2"].weight = before.copy()
    sgd.velocity["fc2", "weight"] = np.full_like(before, 3.0)
    sgd.update(grads, 0.1, 1.0)
    np.testing.assert_allclose(net["fc2"].weight, before + 1.5 - 0.1, rtol=1e-12)
    sgd.max_filter_rms = 1e-3
    sgd.update(grads, 0.1, 1.0)
    rms = np.sqrt(np.mean(net["conv1"].weight ** 2, axis=(0, 1, 2)))
    np.testing.assert_allclose(rms, 1e-3, rtol=1e-9)


@pytest.mark.parametrize(
    "spoil", [np.asfortranarray, lambda weight: weight.astype(np.float32)], ids=["order", "dtype"]
)
def test_weights_that_do_not_lie_as_the_update_needs_them_are_refused(spoil):
    net = small_net(np)
    net["fc2"].weight = spoil(net["fc2"].weight)
    grads = {
        name: {key: np.ones_like(v) for key, v in layer.params.items()}
        for name, layer in net.layers
    }
    with pytest.raises(ValueError, match="Parameter 2.*is not a contiguous array of float64"):
        SGD(net).update(grads, 0.1, 1.0)
