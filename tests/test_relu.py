"""ReLU: the four quadrants of (input, signal), under the three rules."""

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_same, check_backward, clear_of_kinks, strided

from rawconv.layers import GRADIENT, PAPER, Rules
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu

IN_PLACE = pytest.mark.parametrize("in_place", [False, True])
RULES = ["deconv", "gradient", "guided"]


@IN_PLACE
@pytest.mark.parametrize(
    ("x", "r", "deconv", "gradient", "guided"),
    [
        (2, 3, 3, 3, 3),
        (2, -3, 0, -3, 0),
        (-2, 3, 3, 0, 0),
        (-2, -3, 0, 0, 0),
        (0, 3, 3, 0, 0),  # x = 0 is not active
        (0, -3, 0, 0, 0),
        (2, 0, 0, 0, 0),
        (-2, 0, 0, 0, 0),
    ],
)
def test_the_four_quadrants(x, r, deconv, gradient, guided, in_place, xp, dtype):
    def full(value):
        return xp.full((1, 2, 1, 3), value, dtype)

    layer = ReLU()
    y, cache = layer.forward(full(x))
    assert_same(y, np.full((1, 2, 1, 3), max(x, 0), dtype))
    for rule, want in [("deconv", deconv), ("gradient", gradient), ("guided", guided)]:
        got = to_cpu(layer.deconv(full(r), cache, Rules(rule, "identity", "add")))
        assert got.dtype == dtype and (got == want).all() and got.shape == (1, 2, 1, 3), rule
    assert (to_cpu(layer.deconv(full(r), cache)) == deconv).all(), "the paper's rule is the default"
    assert (to_cpu(layer.deconv(full(r), cache, PAPER)) == deconv).all()
    assert (to_cpu(layer.deconv(full(r), cache, GRADIENT)) == gradient).all()
    dx, grads = layer.backward(full(r), cache, in_place)
    assert grads == {} and dx.dtype == dtype and (to_cpu(dx) == gradient).all()


@IN_PLACE
@given(shape=st.tuples(st.integers(0, 3), *[st.integers(1, 6)] * 3), seed=st.integers(0, 99))
def test_the_three_walks_equal_the_equations(shape, seed, in_place, xp):
    rng = np.random.default_rng(seed)
    x, r = rng.integers(-2, 3, (2, *shape)).astype("float32")
    layer = ReLU()
    y, cache = layer.forward(xp.asarray(x.copy()))
    np.testing.assert_array_equal(to_cpu(y), ref.relu_up(x))
    for rule in RULES:
        got = to_cpu(layer.deconv(xp.asarray(r.copy()), cache, Rules(relu=rule)))
        np.testing.assert_array_equal(got, ref.relu_down(r, x, rule))
    np.testing.assert_array_equal(
        to_cpu(layer.backward(xp.asarray(r.copy()), cache, in_place)[0]), ref.relu_down(r, x, "gradient")
    )


@pytest.mark.parametrize("shape", [(3, 5, 4, 3), (1, 1, 1, 1), (1, 7, 2, 5), (2, 33, 17, 24)])
def test_gradients_equal_finite_differences(shape, xp):
    check_backward(xp, ReLU(), clear_of_kinks(np.random.default_rng(1), shape))


def test_the_way_back_in_place_and_the_way_down_not():
    x, signal = np.random.default_rng(0).standard_normal((2, 2, 3, 4, 5))
    layer = ReLU()
    cache = layer.forward(x.copy())[1]
    dy, r = signal.copy(), signal.copy()
    assert layer.backward(dy, cache, in_place=True)[0] is dy
    for rule in RULES:
        layer.deconv(r, cache, Rules(relu=rule))
    assert_same(r, signal)


def test_a_nan_is_not_hidden(xp, dtype):
    y = ReLU().forward(xp.asarray(np.array([np.nan, -np.inf, np.inf, -1], dtype).reshape(1, 1, 1, 4)))[0]
    np.testing.assert_array_equal(to_cpu(y).ravel(), [np.nan, 0, np.inf, 0])


def test_arguments_stay_as_they_were(xp, dtype):
    """deconv and backward do not write into their signal: one forward serves any number of them."""
    rng = np.random.default_rng(2)
    x, r = rng.standard_normal((2, 3, 4, 5, 2)).astype(dtype)
    layer = ReLU()
    device_x, device_r = xp.asarray(x.copy()), xp.asarray(r.copy())
    y, cache = layer.forward(device_x)
    for rule in RULES:
        first = to_cpu(layer.deconv(device_r, cache, Rules(relu=rule))).copy()
        assert_same(layer.deconv(device_r, cache, Rules(relu=rule)), first)
    layer.backward(device_r, cache)
    assert_same(device_x, x)
    assert_same(device_r, r)
    assert_same(y, np.maximum(x, 0))


def test_arrays_that_are_not_contiguous(xp, dtype):
    rng = np.random.default_rng(3)
    x, r = rng.standard_normal((2, 3, 4, 5, 2)).astype(dtype)
    for odd_x, odd_r in zip(strided(xp, x), strided(xp, r), strict=True):
        layer = ReLU()
        y, cache = layer.forward(odd_x)
        np.testing.assert_array_equal(to_cpu(y), ref.relu_up(x))
        for rule in RULES:
            got = to_cpu(layer.deconv(odd_r, cache, Rules(relu=rule)))
            np.testing.assert_array_equal(got, ref.relu_down(r, x, rule))
        dx = layer.backward(odd_r, cache, in_place=True)[0]
        np.testing.assert_array_equal(to_cpu(dx), ref.relu_down(r, x, "gradient"))


def test_shape_and_parameters(xp):
    assert tuple(ReLU().out_shape((3, 4, 5))) == (3, 4, 5) and not ReLU().params
