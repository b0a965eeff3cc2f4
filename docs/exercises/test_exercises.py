"""They fail until the exercises are solved."""

import numpy as np
import pytest
from laws import assert_close, check_adjoint, check_backward

from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import Cache, MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net


@pytest.mark.parametrize(
    "shape, size, stride", [((5, 5), 3, 2), ((8, 7), 3, 2), ((6, 6), 2, 2), ((7, 9), 4, 1)]
)
def test_unpool_is_the_layer_s_and_the_transpose_of_pooling(exercise, shape, size, stride):
    rng = np.random.default_rng(0)
    pool, x = MaxPool(size, stride), rng.standard_normal(shape)
    y, cache = pool.forward(x[None, :, :, None])
    r = rng.standard_normal(y.shape)
    down = exercise("unpool").unpool(r[0, :, :, 0], cache.switches[0, :, :, 0], size, stride, shape)
    assert_close(down, pool.deconv(r, cache)[0, :, :, 0], 1e-12)
    assert abs((y * r).sum() - (x * down).sum()) < 1e-12 * np.abs(y * r).sum()


@pytest.mark.parametrize("stride, pad", [(1, 0), (2, 0), (1, 1), (2, 2), (3, 1)])
def test_transpose_obeys_the_adjoint_law(exercise, stride, pad):
    module, rng = exercise("transpose"), np.random.default_rng(1)
    x, weight = rng.standard_normal((9, 10, 2)), rng.standard_normal((3, 4, 2, 5))
    y = module.convolve(x, weight, stride, pad)
    check_adjoint(
        lambda x: module.convolve(x, weight, stride, pad),
        lambda r: module.transpose(r, weight, stride, pad, x.shape),
        x,
        rng.standard_normal(y.shape),
    )


def test_switches_do_what_you_predicted(exercise):
    """The net of chapter 6, up with one row of pixels and down with the switches of another."""
    guess = exercise("switches")
    net = Net(
        (1, 8, 1),
        [
            ("conv1", Conv(1, (1, 3))),
            ("relu1", ReLU()),
            ("pool1", MaxPool((1, 2), (1, 2))),
            ("conv2", Conv(1, (1, 2))),
            ("relu2", ReLU()),
        ],
        dtype="float64",
    )
    net["conv1"].weight[:] = np.reshape([-1, 2, -1], (1, 3, 1, 1))
    net["conv2"].weight[:] = np.reshape([1, 3], (1, 2, 1, 1))
    y, caches = net.forward(np.reshape([0, 0, 5, 0, 0, 2, 4, 0.0], (1, 1, 8, 1)))
    _, others = net.forward(np.reshape([0, 0, 0, 9, 0, 0, 0, 0.0], (1, 1, 8, 1)))
    assert others["pool1"].switches.ravel().tolist() == guess.SWITCHES
    caches["pool1"] = Cache(others["pool1"].switches, caches["pool1"].shape)
    y[0, 0, 0, 0] = 0
    assert net.deconv(y, caches).ravel().tolist() == guess.PIXELS


CASES = [
    (3, (8, 6, 2), dict(size=3, stride=2)),
    (2, (7, 9, 3), dict(size=2, stride=2, ceil_mode=False)),
    (1, (5, 5, 1), dict(size=5, stride=1)),
    (2, (7, 6, 2), dict(size=3, stride=2, pad=1)),
    (0, (6, 6, 2), dict(size=3, stride=2)),
    (2, (6, 7, 2), dict(size=(3, 4), stride=(2, 3), pad=(0, 2, 1, 1))),
]


@pytest.mark.parametrize("batch, shape, settings", CASES)
def test_mean_pool_is_the_naive_loop_and_obeys_the_laws(exercise, batch, shape, settings):
    layer = exercise("mean_pool").MeanPool(**settings)
    x = np.random.default_rng(2).standard_normal((batch, *shape))
    y, cache = layer.forward(x)
    assert y.shape[1:] == layer.out_shape(shape) == MaxPool(**settings).out_shape(shape)
    (kh, kw), (sh, sw), (top, left, *_) = layer.window.size, layer.window.stride, layer.window.pad
    want = np.empty(y.shape)
    for n, i, j, c in np.ndindex(y.shape):
        rows = slice(max(0, i * sh - top), max(0, i * sh - top + kh))
        columns = slice(max(0, j * sw - left), max(0, j * sw - left + kw))
        want[n, i, j, c] = x[n, rows, columns, c].mean()
    assert_close(y, want, 1e-12)
    check_backward(np, layer, x)
    r = np.random.default_rng(3).standard_normal(y.shape)
    check_adjoint(lambda x: layer.forward(x)[0], lambda r: layer.deconv(r, cache), x, r)
    assert type(layer)(**layer.settings).settings == layer.settings
