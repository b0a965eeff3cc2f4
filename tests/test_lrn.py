"""LRN across channels.  With the paper's alpha of 1e-4 a window one short would not show: most
cases take 0.5.
"""

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_close, assert_same, check_backward, strided

from rawconv.layers import GRADIENT, PAPER, Rules
from rawconv.layers.lrn import LRN
from rawconv.machine.arrays import to_cpu

#        name              (N, H, W, C)   settings
CASES = {
    "the paper's": ((3, 4, 5, 8), dict()),
    "strong": ((3, 4, 5, 8), dict(alpha=0.5)),
    "odd channels": ((3, 3, 4, 7), dict(alpha=0.5)),
    "one channel more": ((1, 3, 4, 6), dict(alpha=0.5)),
    "as many channels": ((1, 3, 4, 5), dict(alpha=0.5)),
    "fewer channels": ((3, 3, 4, 3), dict(alpha=0.5)),
    "fewer than half": ((3, 3, 4, 2), dict(alpha=0.5, size=9)),
    "one channel": ((1, 5, 4, 1), dict(alpha=0.5)),
    "size 3": ((3, 4, 3, 5), dict(size=3, alpha=0.5)),
    "size 7": ((1, 2, 3, 19), dict(size=7, alpha=0.5, k=1.0)),
    "size 1": ((3, 2, 3, 4), dict(size=1, alpha=0.5)),
    "beta 1": ((3, 2, 3, 9), dict(alpha=0.5, beta=1.0)),
    "beta 0.5": ((3, 2, 3, 9), dict(alpha=0.5, beta=0.5, k=1.5)),
    "many channels": ((1, 2, 3, 67), dict(alpha=0.5)),
}
TOLERANCE = {"float64": 1e-11, "float32": 1e-5}


def check_three_walks(xp, dtype, shape, settings, seed=0):
    rng = np.random.default_rng(seed)
    x, dy = (3 * rng.standard_normal((2, *shape))).astype(dtype)
    layer = LRN(**settings)
    y, cache = layer.forward(xp.asarray(x))
    assert_close(y, ref.lrn_up(x, **settings), TOLERANCE[dtype])
    want = ref.lrn_back(dy, x, **settings)
    dx, grads = layer.backward(xp.asarray(dy), cache)
    assert_close(dx, want, TOLERANCE[dtype])
    assert grads == {}
    for rules in (GRADIENT, Rules("deconv", "gradient", "max")):
        assert_close(layer.deconv(xp.asarray(dy), cache, rules), want, TOLERANCE[dtype])
    for rules in (PAPER, Rules("gradient", "identity", "add")):
        assert_same(layer.deconv(xp.asarray(dy), cache, rules), dy)
    assert_same(layer.deconv(xp.asarray(dy), cache), dy)
    assert y.dtype == dx.dtype == dtype and isinstance(y, xp.ndarray)
    assert tuple(layer.out_shape(shape[1:])) == shape[1:] and not layer.params


def test_by_hand(xp, dtype):
    """size 3, alpha 0.5 (not divided by 3), beta 1, k 1: 1 / (1 + (1 + 4) / 2), 2 / (1 + (1 + 4 +
    16) / 2), ...
    """
    layer = LRN(size=3, alpha=0.5, beta=1.0, k=1.0)
    y = to_cpu(
        layer.forward(xp.asarray(np.array([1, 2, 4, 0], dtype).reshape(1, 1, 1, 4)))[0]
    ).ravel()
    assert_close(y, np.array([1 / 3.5, 2 / 11.5, 4 / 11, 0]), 1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_three_walks_equal_the_equations(case, xp, dtype):
    check_three_walks(xp, dtype, *CASES[case])


@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 12)),
    settings=st.fixed_dictionaries(
        dict(
            size=st.sampled_from([1, 3, 5, 7]),
            alpha=st.sampled_from([1e-4, 0.1, 0.5]),
            beta=st.sampled_from([0.5, 0.75, 1.0]),
            k=st.sampled_from([1.0, 2.0]),
        )
    ),
)
def test_any_shape_equals_the_equations(shape, settings, xp):
    check_three_walks(xp, "float64", shape, settings)


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_finite_differences(case, xp):
    shape, settings = CASES[case]
    check_backward(xp, LRN(**settings), np.random.default_rng(4).standard_normal(shape))


def test_a_layer_of_real_size(xp):
    if xp is not np:
        pytest.skip("real layer sizes are for the CPU run and real cards")
    check_three_walks(xp, "float32", (9, 16, 15, 48), dict(alpha=0.5))
    check_backward(xp, LRN(alpha=0.5), np.random.default_rng(4).standard_normal((5, 16, 15, 96)))


def test_signals_of_the_paper_s_size(xp):
    """Activations of several hundred (pixels in [-128, 128]) in float32."""
    rng = np.random.default_rng(5)
    x = (300 * rng.standard_normal((2, 3, 4, 96))).astype("float32")
    dy = rng.standard_normal(x.shape).astype("float32")
    layer = LRN()
    y, cache = layer.forward(xp.asarray(x))
    assert_close(y, ref.lrn_up(x), 1e-5)
    assert_close(layer.backward(xp.asarray(dy), cache)[0], ref.lrn_back(dy, x), 1e-5)


def test_even_windows_are_refused():
    with pytest.raises(ValueError):
        LRN(size=4).out_shape((3, 3, 8))


def test_arrays_that_are_not_contiguous(xp, dtype):
    rng = np.random.default_rng(6)
    x, dy = rng.standard_normal((2, 3, 4, 5, 7)).astype(dtype)
    layer = LRN(alpha=0.5)
    for odd_x, odd_dy in zip(strided(xp, x), strided(xp, dy), strict=True):
        y, cache = layer.forward(odd_x)
        assert_close(y, ref.lrn_up(x, alpha=0.5), TOLERANCE[dtype])
        assert_close(
            layer.backward(odd_dy, cache)[0], ref.lrn_back(dy, x, alpha=0.5), TOLERANCE[dtype]
        )
        assert_close(
            layer.deconv(odd_dy, cache, GRADIENT), ref.lrn_back(dy, x, alpha=0.5), TOLERANCE[dtype]
        )


def test_arguments_stay_as_they_were(xp, dtype):
    rng = np.random.default_rng(7)
    x, dy = rng.standard_normal((2, 3, 4, 5, 7)).astype(dtype)
    layer, device_x, device_dy = LRN(alpha=0.5), xp.asarray(x.copy()), xp.asarray(dy.copy())
    y, cache = layer.forward(device_x)
    y_then = to_cpu(y).copy()
    first = to_cpu(layer.backward(device_dy, cache)[0]).copy()
    layer.forward(device_dy)
    assert_same(layer.backward(device_dy, cache)[0], first)
    assert_same(device_x, x)
    assert_same(device_dy, dy)
    assert_same(y, y_then)
