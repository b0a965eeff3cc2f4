"""Gradient descent against its formula written out, filter renormalisation, and the schedules."""

import numpy as np
import pytest

from rawconv.arrays import to_cpu
from rawconv.layers.conv import Conv
from rawconv.net import Net
from rawconv.optimizer import SGD, Schedule, renormalise


def small_net(xp, seed=0):
    net = Net((6, 5, 3), [("conv1", Conv(4, 3, std=0.3)), ("fc2", Conv(5, None, std=0.3))], seed=seed, dtype="float64")
    return net.to(type("There", (), {"put": staticmethod(xp.asarray)})())


def test_three_steps_are_the_formula(xp):
    net, rng = small_net(xp), np.random.default_rng(1)
    weights = {key: to_cpu(value).copy() for key, value in net.params.items()}
    speeds = {key: np.zeros_like(value) for key, value in weights.items()}
    optimizer = SGD(net, momentum=0.9, decay=0.01, renorm=None)
    for lr in (0.1, 0.05, 0.2):
        grads = {}
        for (layer, name), value in weights.items():
            gradient = rng.standard_normal(value.shape)
            grads.setdefault(layer, {})[name] = xp.asarray(gradient)
            decay = 0.01 if name == "weight" else 0.0
            speeds[layer, name] = 0.9 * speeds[layer, name] - lr * (decay * value + gradient / 8)
            weights[layer, name] = value + speeds[layer, name]
        optimizer.update(grads, lr, 1 / 8)
    for key, value in net.params.items():
        np.testing.assert_allclose(to_cpu(value), weights[key], rtol=1e-12, atol=1e-14)


def test_renormalisation_scales_only_what_is_too_large(xp):
    rng = np.random.default_rng(2)
    weight = rng.standard_normal((3, 3, 2, 6)) * np.array([0.01, 0.05, 0.0999, 0.11, 0.5, 2.0])
    rms = np.sqrt(np.mean(weight**2, axis=(0, 1, 2)))
    found = xp.asarray(weight.copy())
    renormalise(found, 0.1)
    found = to_cpu(found)
    after = np.sqrt(np.mean(found**2, axis=(0, 1, 2)))
    np.testing.assert_allclose(after, np.minimum(rms, 0.1), rtol=1e-12)
    assert np.array_equal(found[..., rms < 0.1], weight[..., rms < 0.1])
    np.testing.assert_allclose(found / after, weight / rms, rtol=1e-12)
    again = xp.asarray(found.copy())
    renormalise(again, 0.1)
    np.testing.assert_allclose(to_cpu(again), found, rtol=1e-15)


def test_renormalisation_leaves_fully_connected_layers_and_biases(xp):
    net = small_net(xp)
    before = {key: to_cpu(value).copy() for key, value in net.params.items()}
    grads = {name: {key: xp.zeros_like(value) for key, value in layer.params.items()} for name, layer in net.layers}
    SGD(net, decay=0.0, renorm=0.1).update(grads, 0.1, 1.0)
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
    assert cosine.rate(0) < 0.001 and cosine.rate(5) == pytest.approx(0.05) and cosine.rate(10) == pytest.approx(0)
    step = Schedule("step", 0.1, epochs=9)
    assert [step.rate(t) for t in (0, 2.9, 3, 6, 9)] == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])
    assert Schedule("constant", 0.1, epochs=9).rate(8) == 0.1
    with pytest.raises(ValueError, match="cosine"):
        Schedule("cosnie", 0.1, 9)
