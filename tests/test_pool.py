"""MaxPool: switches, the ways down through them, and the laws of both."""

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_close, assert_same, check_adjoint, check_backward, clear_of_kinks, strided

from rawconv.layers import GRADIENT, PAPER, Rules
from rawconv.layers.max_pool import MaxPool
from rawconv.machine.arrays import to_cpu

#        name            batch  (H, W, C)  settings
CASES = {
    "paper, clipped": (3, (8, 6, 2), dict(size=3, stride=2)),
    "paper, exact": (3, (7, 9, 3), dict(size=3, stride=2)),
    "floor": (3, (8, 6, 2), dict(size=3, stride=2, ceil_mode=False)),
    "2x2": (3, (6, 7, 5), dict(size=2, stride=2)),
    "stride 1": (1, (5, 6, 1), dict(size=3, stride=1)),
    "non-square": (3, (7, 8, 3), dict(size=(2, 4), stride=(1, 3))),
    "stride > window": (3, (9, 10, 2), dict(size=2, stride=3)),
    "stride > window, last dropped": (3, (6, 10, 2), dict(size=1, stride=(4, 4))),
    "pad": (3, (7, 6, 2), dict(size=3, stride=2, pad=1)),
    "pad, last dropped": (1, (4, 5, 3), dict(size=2, stride=(3, 2), pad=1)),
    "pad rows only": (1, (5, 7, 1), dict(size=(3, 2), stride=2, pad=(1, 0))),
    "asymmetric pad": (3, (6, 7, 2), dict(size=(3, 4), stride=(2, 3), pad=(0, 2, 1, 1))),
    "one map": (3, (6, 7, 1), dict(size=3, stride=2)),
    "odd channels": (1, (5, 6, 7), dict(size=3, stride=2)),
    "many channels": (1, (5, 6, 37), dict(size=3, stride=2)),
    "as small as the window": (3, (3, 4, 2), dict(size=(3, 4), stride=2)),
    "as small, with pads": (1, (1, 2, 3), dict(size=3, stride=2, pad=1)),
    "1x1": (3, (1, 1, 5), dict(size=1, stride=1)),
    "256 places": (1, (17, 18, 1), dict(size=16, stride=1)),
    "more than 256 places": (1, (19, 21, 2), dict(size=(16, 17), stride=2)),
    "more than 256, many channels": (1, (18, 19, 21), dict(size=(16, 17), stride=2)),
    "more than 256, clipped": (1, (30, 25, 1), dict(size=20, stride=7)),
}
SHARED = ["add", "max", "overwrite"]


def values(rng, shape, kind="distinct"):
    """Inputs that are hard on a max: `ties` after a ReLU, `negative` (a pad must not count as 0),
    `special` values.
    """
    x = clear_of_kinks(rng, shape)
    if kind == "ties":
        x = np.maximum(rng.integers(-2, 3, shape), 0).astype(float)
    elif kind == "negative":
        x = -1 - np.abs(x)
    elif kind == "special":
        x = rng.choice(
            [np.nan, -np.inf, np.inf, 0.0, -0.0, -1.0], shape, p=[0.05, 0.5, 0.05, 0.15, 0.15, 0.1]
        )
    return x


def check_three_walks(xp, dtype, batch, shape, settings, kind="distinct", seed=0):
    """Value and switch bit for bit; the three ways to share a place, and backward, as in the loops."""
    layer = MaxPool(**settings)
    rng = np.random.default_rng(seed)
    x = values(rng, (batch, *shape), kind).astype(dtype)
    y, cache = layer.forward(xp.asarray(x))
    want, switches = ref.pool_up(x, **settings)
    assert_same(y, want)
    assert_same(cache.switches, switches)
    assert tuple(layer.out_shape(shape)) == y.shape[1:] and isinstance(y, xp.ndarray)
    window = {name: value for name, value in settings.items() if name != "ceil_mode"}
    # small integers: their sums are exact in any order
    r = rng.integers(-9, 10, y.shape).astype(dtype)
    for shared in SHARED:
        down = ref.pool_down(r, switches, x.shape, **window, shared_switches=shared).astype(dtype)
        got = layer.deconv(xp.asarray(r), cache, Rules("deconv", "identity", shared))
        np.testing.assert_array_equal(to_cpu(got), down, err_msg=shared)
        assert got.dtype == dtype and got.shape == x.shape
    added = ref.pool_down(r, switches, x.shape, **window).astype(dtype)
    dx, grads = layer.backward(xp.asarray(r), cache)
    assert grads == {} and dx.dtype == dtype
    np.testing.assert_array_equal(to_cpu(dx), added)
    for rules in (PAPER, GRADIENT):
        np.testing.assert_array_equal(to_cpu(layer.deconv(xp.asarray(r), cache, rules)), added)
    r = rng.standard_normal(y.shape).astype(dtype)
    for shared in SHARED:
        down = ref.pool_down(r, switches, x.shape, **window, shared_switches=shared)
        got = layer.deconv(xp.asarray(r), cache, Rules("deconv", "identity", shared))
        assert_close(got, down, 1e-11 if dtype == "float64" else 1e-6)


def test_a_pool_by_hand(xp, dtype):
    """3x3/2 on a 4x5 map, ceil: the second row of windows is clipped to rows 2 and 3; 9 is shared
    by two windows.
    """
    image = [[0, 0, 0, 0, 0], [0, 1, 9, 1, 7], [2, 0, 3, 3, 0], [0, 2, 0, 0, 4]]
    layer = MaxPool(3, 2)
    y, cache = layer.forward(xp.asarray(np.array(image, dtype).reshape(1, 4, 5, 1)))
    assert to_cpu(y).squeeze().tolist() == [[9, 9], [3, 4]]
    assert to_cpu(cache.switches).squeeze().tolist() == [
        [1 * 3 + 2, 1 * 3 + 0],
        [0 * 3 + 2, 1 * 3 + 2],
    ]
    r = xp.asarray(np.array([[-2, -5], [3, 4]], dtype).reshape(1, 2, 2, 1))
    for shared, nine in [("add", -7), ("max", -2), ("overwrite", -5)]:
        down = to_cpu(layer.deconv(r, cache, Rules("deconv", "identity", shared))).squeeze()
        assert (down[1, 2], down[2, 2], down[3, 4]) == (nine, 3, 4) and np.count_nonzero(down) == 3
    single = xp.asarray(np.array([[6, 0], [0, 0]], dtype).reshape(1, 2, 2, 1))
    # the zero of the later window overwrites the 6
    for shared, nine in [("add", 6), ("max", 6), ("overwrite", 0)]:
        down = to_cpu(layer.deconv(single, cache, Rules("deconv", "identity", shared))).squeeze()
        assert down[1, 2] == nine and np.count_nonzero(down) == (nine != 0), shared
    negative = xp.asarray(np.array([[-6, -8], [0, 0]], dtype).reshape(1, 2, 2, 1))
    assert (
        to_cpu(layer.deconv(negative, cache, Rules("deconv", "identity", "max")))[0, 1, 2, 0] == -6
    ), "not over 0"


@pytest.mark.parametrize("kind", ["distinct", "ties", "negative", "special"])
@pytest.mark.parametrize("case", CASES)
def test_the_three_walks_equal_the_equations(case, kind, xp, dtype):
    check_three_walks(xp, dtype, *CASES[case], kind)


@st.composite
def pools(draw):
    """(batch, (H, W, C), settings): any geometry that fits; pads smaller than the window."""
    size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    pad = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    h = draw(st.integers(max(1, size[0] - 2 * pad[0]), 10))
    w = draw(st.integers(max(1, size[1] - 2 * pad[1]), 10))
    ceil_mode = draw(st.booleans())
    shape = h, w, draw(st.sampled_from([1, 2, 3, 5, 16, 19, 33]))
    return (
        draw(st.integers(0, 3)),
        shape,
        dict(size=size, stride=stride, pad=pad, ceil_mode=ceil_mode),
    )


@given(case=pools(), kind=st.sampled_from(["distinct", "ties", "negative", "special"]))
def test_any_geometry_equals_the_equations(case, kind, xp):
    check_three_walks(xp, "float32", *case, kind)


@given(case=pools())
def test_down_is_the_transpose_of_up_at_fixed_switches(case, xp):
    """<x at the switches, r> = <x, unpool(r)> for every x, also where windows overlap and share switches."""
    batch, shape, settings = case
    layer = MaxPool(**settings)
    window = {name: value for name, value in settings.items() if name != "ceil_mode"}
    rng = np.random.default_rng(3)
    x, other = values(rng, (batch + 1, *shape)), rng.standard_normal((batch + 1, *shape))
    y, cache = layer.forward(xp.asarray(x))
    switches = to_cpu(cache.switches)
    r = rng.standard_normal(y.shape)

    def down(r):
        return layer.deconv(xp.asarray(r), cache)

    check_adjoint(lambda x: ref.pool_at(x, switches, **window), down, other, r)
    check_adjoint(lambda x: layer.forward(xp.asarray(x))[0], down, x, r)


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_finite_differences(case, xp):
    batch, shape, settings = CASES[case]
    check_backward(
        xp, MaxPool(**settings), clear_of_kinks(np.random.default_rng(4), (batch, *shape))
    )


def test_a_layer_of_real_size(xp):
    """Many pictures of pool1's shape (values that tie, too): whatever the layer cuts them into,
    nothing is lost.
    """
    if xp is not np:
        pytest.skip("real layer sizes are for the CPU run and real cards")
    check_three_walks(xp, "float32", 3, (32, 31, 24), dict(size=3, stride=2), "ties")
    check_backward(xp, MaxPool(3, 2), clear_of_kinks(np.random.default_rng(4), (3, 32, 32, 48)))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_value_that_is_not_finite_goes_to_its_switch_alone(bad, xp, dtype):
    x = clear_of_kinks(np.random.default_rng(5), (1, 7, 7, 19)).astype(dtype)
    layer = MaxPool(3, 2)
    y, cache = layer.forward(xp.asarray(x))
    r = np.zeros(y.shape, dtype)
    r[0, 1, 1] = bad
    down = to_cpu(layer.deconv(xp.asarray(r), cache))
    assert np.all(np.count_nonzero(~np.isfinite(down), axis=(0, 1, 2)) == 1)
    assert not np.any(down[np.isfinite(down)])


@pytest.mark.parametrize("shape", [(9, 9, 2), (8, 10, 3)])
def test_unpool_of_pool_keeps_the_maxima_only(shape, xp, dtype):
    """With `max` and `overwrite` (of windows that share a place, all carry its value) the picture
    at its switches.
    """
    x = clear_of_kinks(np.random.default_rng(5), (2, *shape)).astype(dtype)
    layer = MaxPool(3, 2)
    y, cache = layer.forward(xp.asarray(x))
    winners = ref.pool_down(np.ones(y.shape), to_cpu(cache.switches), x.shape, 3, 2, 0, "max") > 0
    assert 0 < winners.mean() < 1
    for shared in ("max", "overwrite"):
        got = to_cpu(layer.deconv(y, cache, Rules("deconv", "identity", shared)))
        np.testing.assert_array_equal(got, np.where(winners, x, 0).astype(dtype))


@pytest.mark.parametrize("case", ["paper, clipped", "pad", "more than 256 places"])
def test_no_images(case, xp, dtype):
    _, shape, settings = CASES[case]
    layer = MaxPool(**settings)
    y, cache = layer.forward(xp.zeros((0, *shape), dtype))
    assert y.shape == cache.switches.shape == (0, *layer.out_shape(shape)) and y.dtype == dtype
    assert layer.backward(y, cache)[0].shape == (0, *shape)
    for shared in SHARED:
        assert layer.deconv(y, cache, Rules("deconv", "identity", shared)).shape == (0, *shape)


@pytest.mark.parametrize(
    "case", ["paper, clipped", "non-square", "pad", "odd channels", "more than 256 places"]
)
def test_arrays_that_are_not_contiguous(case, xp, dtype):
    _, shape, settings = CASES[case]
    layer = MaxPool(**settings)
    rng = np.random.default_rng(6)
    x = values(rng, (3, *shape)).astype(dtype)
    y, cache = layer.forward(xp.asarray(x))
    r = rng.integers(-9, 10, y.shape).astype(dtype)
    want = {
        shared: to_cpu(layer.deconv(xp.asarray(r), cache, Rules(shared_switches=shared)))
        for shared in SHARED
    }
    for odd_x, odd_r in zip(strided(xp, x), strided(xp, r), strict=True):
        y2, cache2 = layer.forward(odd_x)
        assert_same(y2, to_cpu(y))
        assert_same(cache2.switches, to_cpu(cache.switches))
        np.testing.assert_array_equal(to_cpu(layer.backward(odd_r, cache2)[0]), want["add"])
        for shared in SHARED:
            got = layer.deconv(odd_r, cache2, Rules(shared_switches=shared))
            np.testing.assert_array_equal(to_cpu(got), want[shared])


def test_one_forward_serves_any_number_of_ways_down(xp, dtype):
    rng = np.random.default_rng(7)
    x, other = (clear_of_kinks(rng, (2, 7, 8, 3)).astype(dtype) for _ in range(2))
    layer = MaxPool(3, 2)
    device_x = xp.asarray(x.copy())
    y, cache = layer.forward(device_x)
    r = rng.standard_normal(y.shape).astype(dtype)
    device_r, y_then = xp.asarray(r.copy()), to_cpu(y).copy()
    first = [
        to_cpu(layer.deconv(device_r, cache, Rules(shared_switches=shared))).copy()
        for shared in SHARED
    ]
    layer.deconv(xp.asarray(-r), layer.forward(xp.asarray(other))[1])
    for shared, before in zip(SHARED, first, strict=True):
        assert_same(layer.deconv(device_r, cache, Rules(shared_switches=shared)), before)
    assert_same(device_x, x)
    assert_same(device_r, r)
    assert_same(y, y_then)


@pytest.mark.parametrize(
    ("shape", "settings", "want"),
    [
        ((110, 110, 3), dict(size=3, stride=2), (55, 55)),  # the paper's net
        ((26, 26, 3), dict(size=3, stride=2), (13, 13)),
        ((13, 13, 3), dict(size=3, stride=2), (6, 6)),
        ((110, 13, 3), dict(size=3, stride=2, ceil_mode=False), (54, 6)),
        ((32, 33, 3), dict(size=3, stride=2), (16, 16)),
        # a third window would start at 6 of 5, and at 6 of 6: dropped
        ((5, 6, 3), dict(size=1, stride=3), (2, 2)),
        # a third window of (4 + 2) would start at 5: dropped
        ((4, 5, 3), dict(size=2, stride=3, pad=1), (2, 2)),
        # a fourth window of (6 + 2) starts at 5 of 6: kept
        ((4, 6, 3), dict(size=3, stride=2, pad=1), (3, 4)),
        # the window after that would hold the pad alone
        ((7, 2, 3), dict(size=2, stride=2, pad=1), (4, 2)),
    ],
)
def test_map_sizes(shape, settings, want):
    assert tuple(MaxPool(**settings).out_shape(shape)) == (*want, shape[2])


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 5, 1), dict(size=3, stride=2)),
        ((5, 2, 1), dict(size=3, stride=2)),
        ((5, 2, 1), dict(size=(3, 5), stride=2, pad=1)),
        ((2, 5, 1), dict(size=3, stride=4, ceil_mode=False)),
    ],
)
def test_an_input_smaller_than_its_window_is_refused(shape, settings):
    with pytest.raises(ValueError):
        MaxPool(**settings).forward(np.zeros((1, *shape), "float32"))
    with pytest.raises(ValueError) as refusal:
        MaxPool(**settings).out_shape(shape)
    assert len(str(refusal.value)) > 20 and "\n" not in str(refusal.value), "one sentence"
