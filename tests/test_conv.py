"""Conv: up, back and down against the equations, and the laws they obey.  Its algorithms:
test_conv_algorithms.py.
"""

import numpy as np
import pytest
from conv_cases import CASES, TOLERANCE, check_three_walks, make
from hypothesis import assume, given
from hypothesis import strategies as st
from laws import assert_close, assert_same, check_adjoint, check_backward, strided

from rawconv.layers.conv import Conv
from rawconv.machine.arrays import to_cpu


def test_a_convolution_by_hand(xp, dtype):
    """[1 2 3] correlated (not convolved) with [10 1], bias 100, stride 2: 1*10 + 2*1, then 3*10 +
    ceil's zero.
    """
    layer = Conv(1, (1, 2), stride=2)
    layer.build((1, 3, 1), np.random.default_rng(0), dtype=dtype)
    layer.weight = xp.asarray(np.array([10, 1], dtype).reshape(1, 2, 1, 1))
    layer.bias = xp.asarray(np.array([100], dtype))
    y, cache = layer.forward(xp.asarray(np.array([1, 2, 3], dtype).reshape(1, 1, 3, 1)))
    assert to_cpu(y).ravel().tolist() == [112, 130]
    signal = xp.asarray(np.array([1, 2], dtype).reshape(1, 1, 2, 1))
    dx, grads = layer.backward(signal, cache)
    assert to_cpu(dx).ravel().tolist() == [10, 1, 20]
    assert to_cpu(grads["weight"]).ravel().tolist() == [1 * 1 + 3 * 2, 2 * 1 + 0 * 2]
    assert to_cpu(grads["bias"]).ravel().tolist() == [3]
    assert to_cpu(layer.deconv(signal, cache)).ravel().tolist() == [10, 1, 20]


@pytest.mark.parametrize("case", CASES)
def test_the_three_walks_equal_the_equations(case, xp, dtype):
    check_three_walks(xp, dtype, *CASES[case])


def _sees_the_input(length, size, stride, before, after):
    """Whether some window of an axis reaches beyond the padding, however the sizes are rounded."""
    starts = range(-before, length + after - size + 1, stride)
    return any(start < length and start + size > 0 for start in starts)


@st.composite
def convolutions(draw):
    """(batch, (H, W, C), filters, settings): any geometry that fits."""
    groups = draw(st.integers(1, 3))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    size = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3)]))
    span = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    pad = draw(st.tuples(*[st.integers(0, 3)] * 4))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    h = draw(st.integers(max(1, span[0] - pad[0] - pad[2]), max(9, span[0])))
    w = draw(st.integers(max(1, span[1] - pad[1] - pad[3]), max(9, span[1])))
    ceil_mode = draw(st.booleans())
    assume(
        all(
            _sees_the_input(*axis)
            for axis in zip((h, w), span, stride, pad[:2], pad[2:], strict=True)
        )
    )
    settings = dict(
        size=size, stride=stride, pad=pad, groups=groups, ceil_mode=ceil_mode, dilation=dilation
    )
    return draw(st.integers(0, 3)), (h, w, channels), filters, settings


@given(case=convolutions())
def test_any_geometry_equals_the_equations(case, xp):
    check_three_walks(xp, "float64", *case)


@given(case=convolutions())
def test_down_is_the_transpose_of_up(case, xp):
    """<conv(x) - bias, y> = <x, deconv(y)>; a bias of 1000 would show if it went down as well."""
    batch, shape, filters, settings = case
    layer, _, bias, _ = make(xp, "float64", shape, filters, settings, bias=1000.0)
    rng = np.random.default_rng(3)
    x = rng.standard_normal((batch + 1, *shape))
    cache = layer.forward(xp.asarray(x))[1]
    y = rng.standard_normal((batch + 1, *layer.out_shape(shape)))
    layer.bias = xp.zeros_like(layer.bias)
    check_adjoint(
        lambda x: layer.forward(xp.asarray(x))[0],
        lambda y: layer.deconv(xp.asarray(y), cache),
        x,
        y,
    )
    check_adjoint(
        lambda x: layer.forward(xp.asarray(x))[0],
        lambda y: layer.backward(xp.asarray(y), cache)[0],
        x,
        y,
    )
    layer.bias = xp.asarray(bias)
    zero = layer.deconv(xp.zeros((batch + 1, *layer.out_shape(shape))), cache)
    assert not to_cpu(zero).any(), "no bias goes down"


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_finite_differences(case, xp):
    batch, shape, filters, settings = CASES[case]
    layer = make(xp, "float64", shape, filters, settings)[0]
    check_backward(xp, layer, np.random.default_rng(4).standard_normal((batch, *shape)))


def test_a_layer_of_real_size(xp):
    """Many pictures of conv1 and conv3's shape: whatever the layer cuts the batch into, nothing is lost."""
    if xp is not np:
        pytest.skip("real layer sizes are for the CPU run and real cards")
    check_three_walks(xp, "float64", 9, (64, 64, 3), 8, dict(size=7, stride=2, pad=2))
    check_three_walks(xp, "float32", 33, (16, 15, 24), 8, dict(size=3, pad=1))
    check_three_walks(xp, "float32", 9, (16, 17, 48), 16, dict(size=5, stride=2, groups=2))
    layer = make(xp, "float64", (32, 32, 24), 16, dict(size=3, pad=1))[0]
    check_backward(xp, layer, np.random.default_rng(4).standard_normal((3, 32, 32, 24)))


@pytest.mark.parametrize(
    "case", ["stride 2, overhang", "groups 2", "fully connected", "asymmetric pad"]
)
def test_a_batch_is_its_images_one_by_one(case, xp):
    _, shape, filters, settings = CASES[case]
    layer = make(xp, "float64", shape, filters, settings)[0]
    rng = np.random.default_rng(5)
    x, dy = rng.standard_normal((5, *shape)), rng.standard_normal((5, *layer.out_shape(shape)))
    y, cache = layer.forward(xp.asarray(x))
    dx, grads = layer.backward(xp.asarray(dy), cache)
    total = 0
    for n in range(5):
        y1, cache1 = layer.forward(xp.asarray(x[n : n + 1]))
        dx1, grads1 = layer.backward(xp.asarray(dy[n : n + 1]), cache1)
        assert_close(y1, to_cpu(y)[n : n + 1], 1e-13)
        assert_close(dx1, to_cpu(dx)[n : n + 1], 1e-13)
        total = total + to_cpu(grads1["weight"])
    assert_close(grads["weight"], total, 1e-13)


@pytest.mark.parametrize("case", ["plain", "groups 3, stride", "fully connected", "asymmetric pad"])
def test_no_images(case, xp, dtype):
    _, shape, filters, settings = CASES[case]
    layer, weight, bias, _ = make(xp, dtype, shape, filters, settings)
    y, cache = layer.forward(xp.zeros((0, *shape), dtype))
    assert y.shape == (0, *layer.out_shape(shape)) and y.dtype == dtype
    dx, grads = layer.backward(xp.zeros_like(y), cache)
    assert dx.shape == (0, *shape) and dx.dtype == dtype
    assert_same(grads["weight"], np.zeros_like(weight))
    assert_same(grads["bias"], np.zeros_like(bias))
    assert layer.deconv(xp.zeros_like(y), cache).shape == (0, *shape)


@pytest.mark.parametrize(
    "case", ["pad", "uneven strides", "groups 2", "one by one", "fully connected", "odd channels"]
)
def test_arrays_that_are_not_contiguous(case, xp, dtype):
    _, shape, filters, settings = CASES[case]
    layer = make(xp, dtype, shape, filters, settings)[0]
    rng = np.random.default_rng(6)
    x = rng.standard_normal((3, *shape)).astype(dtype)
    signal = rng.standard_normal((3, *layer.out_shape(shape))).astype(dtype)
    y, cache = layer.forward(xp.asarray(x))
    y = to_cpu(y).copy()
    dx, grads = layer.backward(xp.asarray(signal), cache)
    tolerance = TOLERANCE[dtype] / 100
    for odd_x, odd_signal in zip(strided(xp, x), strided(xp, signal), strict=True):
        y2, cache2 = layer.forward(odd_x)
        assert_close(y2, y, tolerance)
        dx2, grads2 = layer.backward(odd_signal, cache2)
        assert_close(dx2, to_cpu(dx), tolerance)
        assert_close(grads2["weight"], to_cpu(grads["weight"]), tolerance)
        assert_close(grads2["bias"], to_cpu(grads["bias"]), tolerance)
        assert_close(layer.deconv(odd_signal, cache2), to_cpu(dx), tolerance)
    weight = to_cpu(layer.weight)
    layer.weight = strided(xp, weight)[0]
    assert_close(layer.forward(xp.asarray(x))[0], y, tolerance)
    assert_close(layer.deconv(xp.asarray(signal), cache), to_cpu(dx), tolerance)


@pytest.mark.parametrize("case", ["pad", "groups 2", "stride 2, overhang"])
def test_one_forward_serves_any_number_of_ways_down(case, xp, dtype):
    """The cache is a value: no other forward, no other way down changes it; arguments stay as they were."""
    batch, shape, filters, settings = CASES[case]
    layer = make(xp, dtype, shape, filters, settings)[0]
    rng = np.random.default_rng(7)
    x, other = rng.standard_normal((2, batch, *shape)).astype(dtype)
    device_x = xp.asarray(x.copy())
    y, cache = layer.forward(device_x)
    signal = rng.standard_normal(y.shape).astype(dtype)
    device_signal = xp.asarray(signal.copy())
    y_then = to_cpu(y).copy()
    dx, grads = layer.backward(device_signal, cache)
    dx, dweight = to_cpu(dx).copy(), to_cpu(grads["weight"]).copy()
    layer.backward(xp.asarray(signal[::-1].copy()), layer.forward(xp.asarray(other))[1])
    layer.deconv(xp.asarray(signal[::-1].copy()), cache)
    assert_same(y, y_then)
    dx2, grads2 = layer.backward(device_signal, cache)
    assert_same(dx2, dx)
    assert_same(grads2["weight"], dweight)
    assert_same(layer.deconv(device_signal, cache), dx)
    assert_same(device_x, x)
    assert_same(device_signal, signal)


@pytest.mark.parametrize(
    ("shape", "settings", "want"),
    [
        ((224, 224, 3), dict(size=7, stride=2), (110, 110)),  # the paper's net
        ((55, 55, 3), dict(size=5, stride=2), (26, 26)),
        ((224, 200, 3), dict(size=11, stride=4), (55, 49)),  # AlexNet
        ((224, 200, 3), dict(size=11, stride=4, ceil_mode=False), (54, 48)),
        ((13, 14, 3), dict(size=3, pad=1), (13, 14)),
        ((64, 32, 3), dict(size=7, stride=2, pad=2), (32, 16)),
        ((5, 9, 3), dict(size=1, stride=3), (3, 4)),  # a window beyond the end: a conv keeps it
        ((6, 9, 3), dict(size=None), (1, 1)),
        ((4, 5, 3), dict(size=2, pad=(0, 1, 2, 3)), (5, 8)),
    ],
)
def test_map_sizes(shape, settings, want):
    assert tuple(Conv(5, **settings).out_shape(shape)) == (*want, 5)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 5, 1), dict(size=3)),
        ((5, 2, 1), dict(size=3)),
        ((5, 2, 1), dict(size=(1, 4), pad=(3, 0))),
        ((2, 5, 1), dict(size=5, pad=1)),
        ((3, 5, 1), dict(size=5, pad=(1, 0, 0, 0), stride=4)),
        ((3, 5, 1), dict(size=5, pad=(0, 0, 1, 0), ceil_mode=False)),
    ],
)
def test_an_input_smaller_than_its_window_is_refused(shape, settings):
    with pytest.raises(ValueError) as refusal:
        Conv(2, **settings).out_shape(shape)
    assert len(str(refusal.value)) > 20 and "\n" not in str(refusal.value), "one sentence"


def test_a_built_layer_refuses_a_smaller_image(xp):
    layer = make(xp, "float32", (5, 5, 2), 3, dict(size=3))[0]
    for shape in [(1, 2, 5, 2), (1, 5, 2, 2)]:
        with pytest.raises(ValueError):
            layer.forward(xp.zeros(shape, "float32"))


def test_groups_must_divide_channels_and_filters():
    for channels, filters in [(4, 6), (6, 4)]:
        with pytest.raises(ValueError):
            Conv(filters, 3, groups=3).build((5, 5, channels), np.random.default_rng(0))


def test_the_drawn_parameters():
    """N(0, 0.01^2) weights, zero biases, the same from the same generator."""
    first, second, wide = Conv(64, 5), Conv(64, 5), Conv(64, 5, init_std=0.3)
    for layer in (first, second, wide):
        layer.build((9, 9, 32), np.random.default_rng(11))
    assert first.weight.dtype == np.float32 and not first.bias.any()
    assert abs(first.weight.std() / 0.01 - 1) < 0.02 and abs(first.weight.mean()) < 2e-4
    assert abs(wide.weight.std() / 0.3 - 1) < 0.02
    assert_same(first.weight, second.weight)
    assert first.params["weight"] is first.weight and first.params["bias"] is first.bias
