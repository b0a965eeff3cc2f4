"""Dropout: the mask is Philox of (seed, stream; sample, epoch, element) and of nothing else."""

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_close, assert_same, check_backward, strided

from rawconv.layers import PAPER
from rawconv.layers.dropout import Dropout
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net


def draw_of(*samples, seed=5, epoch=2, number=0):
    return seed, epoch, np.array(samples, np.int64), number


def mask_of(xp, shape, rng_key, dtype="float64", **settings):
    return to_cpu(Dropout(**settings).forward(xp.ones(shape, dtype), rng_key)[0])


@pytest.mark.parametrize(
    "shape", [(3, 1, 1, 10), (1, 3, 4, 5), (2, 3, 3, 7), (2, 1, 1, 1), (0, 1, 1, 4)]
)
@pytest.mark.parametrize("rate", [0.5, 0.25, 0.9, 0.0])
def test_the_walks_equal_the_equations(shape, rate, xp, dtype):
    rng_key = draw_of(*[7, 1000003, 12][: shape[0]])
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    mask = ref.dropout_mask(shape, rate, rng_key, 3)
    layer = Dropout(rate=rate, stream=3)
    y, cache = layer.forward(xp.asarray(x), rng_key)
    np.testing.assert_array_equal(to_cpu(y) != 0, mask != 0)
    assert_close(y, x * mask, 1e-11 if dtype == "float64" else 1e-6)
    dx, grads = layer.backward(xp.asarray(dy), cache)
    assert_close(dx, dy * mask, 1e-11 if dtype == "float64" else 1e-6)
    assert (
        grads == {}
        and y.dtype == dx.dtype == dtype
        and isinstance(y, xp.ndarray)
        and isinstance(dx, xp.ndarray)
    )
    assert tuple(layer.out_shape(shape[1:])) == shape[1:] and not layer.params


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 9)),
    rate=st.sampled_from([0.1, 0.5, 0.8]),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 1000),
    first=st.integers(0, 2**31),
    stream=st.integers(0, 20),
)
def test_any_draw_equals_the_equations(shape, rate, seed, epoch, first, stream, xp):
    rng_key = seed, epoch, np.arange(first, first + shape[0])
    got = mask_of(xp, shape, rng_key, rate=rate, stream=stream)
    assert_close(got, ref.dropout_mask(shape, rate, rng_key, stream), 1e-11)


def test_a_word_on_the_threshold_is_kept(xp):
    """rate = word / 2^32 keeps that element, the next larger rate drops it; no other element changes."""
    shape, rng_key = (1, 2, 3, 5), draw_of(7)
    word = int(ref.random_words(rng_key, 3, 30)[0, 17])
    on, above = (
        mask_of(xp, shape, rng_key, rate=w / 2**32, stream=3).ravel() > 0 for w in (word, word + 1)
    )
    assert on[17] and not above[17] and (on != above).sum() == 1


def test_at_test_time_nothing_happens(xp, dtype):
    x = np.random.default_rng(2).standard_normal((3, 2, 3, 5)).astype(dtype)
    layer = Dropout()
    y, cache = layer.forward(xp.asarray(x))
    for same in (y, layer.backward(xp.asarray(x), cache)[0], layer.deconv(xp.asarray(x), cache)):
        assert_same(same, x)


def test_the_signal_goes_down_unmasked(xp, dtype):
    """Down is r, whatever the mask on the way up (DESIGN section 3: the same as backward at test
    time only).
    """
    r = np.random.default_rng(2).standard_normal((3, 2, 3, 5)).astype(dtype)
    layer = Dropout()
    cache = layer.forward(xp.asarray(r), draw_of(1, 2, 3))[1]
    assert_same(layer.deconv(xp.asarray(r), cache, PAPER), r)
    assert_same(layer.deconv(xp.asarray(r), cache), r)


def test_the_mask_does_not_depend_on_the_batch(xp):
    whole = mask_of(xp, (3, 2, 3, 5), draw_of(4, 9, 2))
    for row, sample in enumerate([4, 9, 2]):
        assert_same(mask_of(xp, (1, 2, 3, 5), draw_of(sample)), whole[row : row + 1])
    assert_same(mask_of(xp, (3, 2, 3, 5), draw_of(2, 4, 9)), whole[[2, 0, 1]])
    assert_same(mask_of(xp, (3, 2, 3, 5), draw_of(4, 9, 2)), whole)
    assert len({tuple(row.ravel()) for row in whole}) == 3


def test_everything_else_changes_it(xp):
    shape = (1, 1, 1, 400)
    base = mask_of(xp, shape, draw_of(4))
    for other in (
        mask_of(xp, shape, draw_of(5)),
        mask_of(xp, shape, draw_of(4, seed=6)),
        mask_of(xp, shape, draw_of(4, epoch=3)),
        mask_of(xp, shape, draw_of(4, number=1)),
    ):
        assert 140 < (base != other).sum() < 260, (
            "independent masks of rate 1/2 differ in about half of 400 places"
        )


def test_the_stream_is_the_number_of_the_node_unless_the_layer_has_its_own(xp):
    shape = (1, 1, 1, 400)
    assert_same(mask_of(xp, shape, draw_of(4, number=7)), mask_of(xp, shape, draw_of(4), stream=7))
    assert_same(
        mask_of(xp, shape, draw_of(4, number=3), stream=7), mask_of(xp, shape, draw_of(4), stream=7)
    )
    assert Dropout(0.3).settings == {"rate": 0.3} and Dropout(0.3, 7).settings == {
        "rate": 0.3,
        "stream": 7,
    }
    net = Net(
        shape[1:],
        [("one", Dropout()), ("relu", ReLU()), ("two", Dropout()), ("own", Dropout(stream=9))],
    )
    ones, key = xp.ones(shape, "float32"), draw_of(4)[:3]
    masks = [to_cpu(y) for name, y, _ in net.up(ones, key) if name in ("one", "two", "own")]
    streams = [to_cpu(Dropout().forward(ones, (*key, number))[0]) for number in (0, 2, 9)]
    assert_same(masks[1], streams[0] * streams[1])
    assert_same(masks[2], streams[0] * streams[1] * streams[2])


def test_how_many_are_kept(xp):
    mask = mask_of(xp, (2, 8, 8, 64), draw_of(1, 2), rate=0.3)
    kept = (mask > 0).mean()
    assert abs(kept - 0.7) < 5 * np.sqrt(0.21 / mask.size)
    assert_close(mask[mask > 0], np.full((mask > 0).sum(), 1 / 0.7), 1e-12)


def test_gradients_equal_finite_differences(xp):
    x = np.random.default_rng(4).standard_normal((3, 2, 3, 5))
    check_backward(xp, Dropout(rate=0.4), x, draw_of(1, 2, 3))
    check_backward(xp, Dropout(rate=0.4), x)
    if xp is np:
        check_backward(
            xp,
            Dropout(stream=7),
            np.random.default_rng(4).standard_normal((32, 1, 1, 512)),
            draw_of(*range(32)),
        )


def test_arrays_that_are_not_contiguous(xp, dtype):
    rng = np.random.default_rng(6)
    x, dy = rng.standard_normal((2, 3, 4, 5, 7)).astype(dtype)
    rng_key = draw_of(1, 2, 3)
    mask = ref.dropout_mask(x.shape, 0.5, rng_key, 0)
    for odd_x, odd_dy in zip(strided(xp, x), strided(xp, dy), strict=True):
        layer = Dropout()
        y, cache = layer.forward(odd_x, rng_key)
        assert_close(y, x * mask, 1e-6)
        assert_close(layer.backward(odd_dy, cache)[0], dy * mask, 1e-6)


def test_arguments_stay_as_they_were(xp, dtype):
    rng = np.random.default_rng(7)
    x, dy = rng.standard_normal((2, 3, 4, 5, 7)).astype(dtype)
    layer, device_x, device_dy = Dropout(), xp.asarray(x.copy()), xp.asarray(dy.copy())
    y, cache = layer.forward(device_x, draw_of(1, 2, 3))
    y_then = to_cpu(y).copy()
    first = to_cpu(layer.backward(device_dy, cache)[0]).copy()
    layer.forward(device_dy, draw_of(3, 4, 5))
    assert_same(layer.backward(device_dy, cache)[0], first)
    assert_same(device_x, x)
    assert_same(device_dy, dy)
    assert_same(y, y_then)
