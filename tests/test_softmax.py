"""Softmax and the cross-entropy beside the net: sums over the pictures, never means."""

import math

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from laws import STEP, assert_close, assert_same

from rawconv.layers.softmax import softmax, softmax_cross_entropy
from rawconv.machine.arrays import to_cpu

SHAPES = pytest.mark.parametrize(
    "shape", [(3, 1, 1, 5), (3, 5), (1, 1, 1, 1), (1, 7), (4, 2), (2, 1000)]
)
TOLERANCE = {"float64": 1e-11, "float32": 1e-5}


@SHAPES
def test_the_equations(shape, xp, dtype):
    rng = np.random.default_rng(1)
    scores, labels = (
        (3 * rng.standard_normal(shape)).astype(dtype),
        rng.integers(0, shape[-1], shape[0]),
    )
    device_scores = xp.asarray(scores.copy())
    loss, dscores = softmax_cross_entropy(device_scores, xp.asarray(labels))
    want_loss, want = ref.softmax_cross_entropy(scores, labels)
    assert abs(float(loss) - want_loss) <= TOLERANCE[dtype] * max(want_loss, 1)
    assert_close(dscores, want, TOLERANCE[dtype])
    assert_close(softmax(device_scores), ref.softmax(scores), TOLERANCE[dtype])
    assert (
        dscores.dtype == dtype
        and softmax(device_scores).dtype == dtype
        and isinstance(dscores, xp.ndarray)
    )
    assert_same(device_scores, scores)


@SHAPES
def test_weighted_classes_are_the_equations(shape, xp, dtype):
    rng = np.random.default_rng(4)
    scores, labels = (
        (3 * rng.standard_normal(shape)).astype(dtype),
        rng.integers(0, shape[-1], shape[0]),
    )
    weights = rng.uniform(0, 5, shape[-1]).astype(dtype)
    loss, dscores = softmax_cross_entropy(
        xp.asarray(scores), xp.asarray(labels), xp.asarray(weights)
    )
    want_loss, want = ref.softmax_cross_entropy(scores, labels, weights)
    assert abs(float(loss) - want_loss) <= TOLERANCE[dtype] * want_loss
    assert_close(dscores, want, TOLERANCE[dtype])
    assert dscores.dtype == dtype and isinstance(dscores, xp.ndarray)


def test_weights_of_one_change_no_bit(xp, dtype):
    rng = np.random.default_rng(5)
    scores, labels = (
        xp.asarray(rng.standard_normal((5, 7)).astype(dtype)),
        xp.asarray(rng.integers(0, 7, 5)),
    )
    plain, weighted = (
        softmax_cross_entropy(scores, labels),
        softmax_cross_entropy(scores, labels, xp.ones(7, dtype)),
    )
    assert float(plain[0]) == float(weighted[0])
    assert_same(to_cpu(plain[1]), to_cpu(weighted[1]))


def test_by_hand(xp, dtype):
    """Equal scores: -log(1/4) for each of two pictures (a sum, not a mean), and p - t = 1/4, 1/4 - 1."""
    loss, dscores = softmax_cross_entropy(
        xp.ones((2, 1, 1, 4), dtype), xp.asarray(np.array([1, 3]))
    )
    assert abs(float(loss) - 2 * math.log(4)) < 1e-5
    want = np.full((2, 1, 1, 4), 0.25)
    want[0, 0, 0, 1] = want[1, 0, 0, 3] = -0.75
    assert_close(dscores, want, 1e-6)


@given(
    shape=st.tuples(st.integers(0, 4), st.integers(1, 9)),
    seed=st.integers(0, 99),
    offset=st.floats(-500, 500),
)
def test_a_constant_added_to_all_scores_changes_nothing(shape, seed, offset, xp):
    rng = np.random.default_rng(seed)
    scores, labels = rng.standard_normal(shape), rng.integers(0, shape[1], shape[0])
    loss, dscores = softmax_cross_entropy(xp.asarray(scores + offset), xp.asarray(labels))
    want_loss, want = ref.softmax_cross_entropy(scores, labels)
    assert abs(float(loss) - want_loss) <= 1e-9 * max(want_loss, 1)
    assert_close(dscores, want, 1e-9)
    assert np.abs(to_cpu(dscores).sum(axis=-1)).max(initial=0) < 1e-12, "p - t sums to 0"


def test_large_scores(xp, dtype):
    """Nothing overflows; a sure and wrong answer costs the difference of its scores, not infinity."""
    scores = np.array([[1000, 0, -1000], [1e4, 0, -1e4], [-1e4, -1e4, -1e4]], dtype)
    loss, dscores = softmax_cross_entropy(xp.asarray(scores), xp.asarray(np.array([0, 2, 1])))
    assert abs(float(loss) / (0 + 2e4 + math.log(3)) - 1) < 1e-6
    assert_close(dscores, np.array([[0, 0, 0], [1, 0, -1], [1 / 3, -2 / 3, 1 / 3]]), 1e-6)
    assert_close(softmax(xp.asarray(scores)), np.array([[1, 0, 0], [1, 0, 0], [1 / 3] * 3]), 1e-6)


def test_a_small_loss_keeps_its_digits(xp):
    """-log p of a confident right answer: log(1 + e^-30) = 9.4e-14, not 0."""
    loss, _ = softmax_cross_entropy(xp.asarray(np.array([[30.0, 0.0]])), xp.asarray(np.array([0])))
    assert abs(float(loss) - math.exp(-30)) < 1e-15


def test_the_gradient_equals_finite_differences(xp):
    rng = np.random.default_rng(2)
    scores, labels = 2 * rng.standard_normal((3, 1, 1, 6)), xp.asarray(rng.integers(0, 6, 3))
    dscores = to_cpu(softmax_cross_entropy(xp.asarray(scores), labels)[1])
    for _ in range(3):
        v = rng.uniform(-1, 1, scores.shape)
        ahead, behind = (
            float(softmax_cross_entropy(xp.asarray(scores + h * v), labels)[0])
            for h in (STEP, -STEP)
        )
        assert abs((ahead - behind) / (2 * STEP) - (dscores * v).sum()) < 1e-7 * np.linalg.norm(
            dscores
        )


def test_the_weighted_gradient_equals_finite_differences(xp):
    rng = np.random.default_rng(6)
    scores, labels, weights = (
        rng.standard_normal((4, 5)),
        xp.asarray(np.array([0, 3, 3, 1])),
        xp.asarray([3.0, 0.5, 9, 0.2, 1]),
    )
    dscores = to_cpu(softmax_cross_entropy(xp.asarray(scores), labels, weights)[1])
    for _ in range(3):
        v = rng.uniform(-1, 1, scores.shape)
        ahead, behind = (
            float(softmax_cross_entropy(xp.asarray(scores + h * v), labels, weights)[0])
            for h in (STEP, -STEP)
        )
        assert abs((ahead - behind) / (2 * STEP) - (dscores * v).sum()) < 1e-7 * np.linalg.norm(
            dscores
        )


def test_no_images(xp, dtype):
    loss, dscores = softmax_cross_entropy(
        xp.zeros((0, 5), dtype), xp.asarray(np.zeros(0, np.int64)), xp.ones(5, dtype)
    )
    assert float(loss) == 0 and dscores.shape == (0, 5)
    loss, dscores = softmax_cross_entropy(
        xp.zeros((0, 1, 1, 5), dtype), xp.asarray(np.zeros(0, np.int64))
    )
    assert float(loss) == 0 and dscores.shape == (0, 1, 1, 5)


@pytest.mark.parametrize("label", [-1, 3, 2**40])
def test_a_label_that_is_no_class_makes_the_loss_nan(label, xp, dtype):
    scores = np.arange(6, dtype=dtype).reshape(2, 3)
    loss, dscores = softmax_cross_entropy(xp.asarray(scores), xp.asarray(np.array([1, label])))
    assert math.isnan(float(loss))
    weighted = softmax_cross_entropy(
        xp.asarray(scores), xp.asarray(np.array([1, label])), xp.zeros(3, dtype)
    )
    assert math.isnan(float(weighted[0])), "whatever the weights"
    assert_close(dscores[:1], ref.softmax_cross_entropy(scores[:1], np.array([1]))[1], 1e-6)


@pytest.mark.parametrize("score", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 299])
def test_a_score_that_is_not_a_number_makes_the_loss_nan(score, place, xp, dtype):
    scores = np.zeros((1, 300), dtype)
    scores[0, place] = score
    assert math.isnan(
        float(softmax_cross_entropy(xp.asarray(scores), xp.asarray(np.array([7])))[0])
    )


def test_scores_that_are_not_contiguous(xp, dtype):
    scores, labels = (
        np.random.default_rng(3).standard_normal((6, 8)).astype(dtype),
        np.array([0, 3, 1]),
    )
    loss, dscores = softmax_cross_entropy(xp.asarray(scores)[::2, ::2], xp.asarray(labels))
    want_loss, want = ref.softmax_cross_entropy(scores[::2, ::2], labels)
    assert abs(float(loss) - want_loss) <= TOLERANCE[dtype] * want_loss
    assert_close(dscores, want, TOLERANCE[dtype])
