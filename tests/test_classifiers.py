"""The linear classifiers on features: equal to scikit-learn's, and to themselves on all columns."""

import builtins

import numpy as np
import pytest

from rawconv.data import Split
from rawconv.data.sources import join_names, split_names
from rawconv.data.subset import few, only, take
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import classifiers
from rawconv.experiments.classifiers import (
    PENALTIES,
    accuracy,
    chosen,
    compact,
    mean_per_class,
    softmax_classifier,
    standardised,
    svm_classifier,
)


def clouds(count, dimensions=40, classes=4, apart=0.5, seed=0):
    """Overlapping clouds, one a class, with features of very different sizes, and one that is constant."""
    rng = np.random.default_rng(7)
    centres, sizes = (
        rng.standard_normal((classes, dimensions)),
        10.0 ** rng.uniform(-3, 3, dimensions),
    )
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    x = (apart * centres[labels] + rng.standard_normal((count, dimensions))) * sizes
    x[:, 3] = 5
    return x.astype(np.float32).reshape(count, 2, -1, 4), labels


@pytest.mark.parametrize("count", [24, 200])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_softmax_is_scikit_learns(count, penalty):
    linear = pytest.importorskip("sklearn.linear_model")
    (x, labels), (others, _) = clouds(count), clouds(300, seed=1)
    wide, far = standardised(x, others)
    theirs = linear.LogisticRegression(C=1 / (count * penalty), tol=1e-8, max_iter=20000).fit(
        wide, labels
    )
    near, test = compact(wide, far)
    assert (softmax_classifier(near, labels, 4, penalty)(test) == theirs.predict(far)).mean() > 0.99


@pytest.mark.parametrize("count", [24, 200])
def test_compact_columns_give_the_svm_the_same_answers(count):
    pytest.importorskip("sklearn")
    (x, labels), (others, _) = clouds(count), clouds(300, seed=1)
    wide, far = standardised(x, others)
    near, test = compact(wide, far)
    assert near.shape[1] <= min(wide.shape)
    np.testing.assert_allclose(near @ near.T, wide @ wide.T, atol=1e-9)
    np.testing.assert_allclose(test @ near.T, far @ wide.T, atol=1e-9)
    gram = near.T @ near
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)
    same = svm_classifier(near, labels, 4, 1.0)(test) == svm_classifier(wide, labels, 4, 1.0)(far)
    assert same.mean() > 0.99


def test_features_are_standardised_by_the_training_images_alone():
    (x, _), (others, _) = clouds(50), clouds(20, seed=1)
    one, _ = standardised(x, others)
    again, half = standardised(x, others[:10] * 2)
    np.testing.assert_array_equal(one, again)
    np.testing.assert_allclose((one**2).sum(axis=1).mean(), 1)
    np.testing.assert_allclose(one.mean(axis=0), 0, atol=1e-9)
    assert not one[:, 3].any() and not half[:, 3].any()


def test_accuracy_is_the_mean_over_classes():
    labels = np.array([0] * 90 + [1] * 10)
    assert mean_per_class(np.zeros(100, int), labels) == 0.5
    (x, labels), (others, true) = clouds(80, apart=3.0), clouds(60, seed=1, apart=3.0)
    x, others = compact(*standardised(x, others))
    assert accuracy("softmax", x, labels, others, true, 4)[0] > 0.95
    guess = accuracy("softmax", x, np.random.default_rng(0).permutation(labels), others, true, 4)[0]
    assert guess < 0.6  # nothing of the test labels leaks


def test_the_regularisation_is_chosen_on_training_images_if_there_are_enough():
    x, labels = clouds(80)
    near = compact(standardised(x)[0])[0]
    assert chosen("softmax", near, labels, 4) in PENALTIES
    assert chosen("softmax", near[:8], labels[:8], 4) == PENALTIES[1]


def test_the_strongest_of_the_best_is_chosen_on_a_fifth_of_each_class(monkeypatch):
    """The first fifth of each class is held out and the others are learnt from; of equal ones the
    first is taken.
    """
    labels, tried = np.array([0] * 5 + [1] * 11 + [2] * 7), []
    # whether it gets the pictures of a class
    right = {10: (0, 0, 1), 1: (1, 1, 0), 0.1: (1, 0, 1), 0.01: (1, 0, 0)}

    def fit(x, own, classes, choice):
        tried.append((choice, x[:, 0].tolist(), own.tolist(), classes))
        return lambda held: np.where(
            [right[choice][labels[k]] for k in held[:, 0]], labels[held[:, 0]], 9
        )

    monkeypatch.setitem(classifiers.CLASSIFIERS, "softmax", (fit, list(right)))
    assert chosen("softmax", np.arange(23)[:, None], labels, 3) == 1
    learnt = [k for k in range(23) if k not in (0, 5, 6, 16)]
    assert tried == [(choice, learnt, labels[learnt].tolist(), 3) for choice in right]


def test_shares_of_each_class_by_hand():
    labels, guess = np.array([0, 0, 0, 0, 2, 2, 2]), np.array([0, 0, 1, 0, 2, 0, 0])
    np.testing.assert_allclose(classifiers.shares(guess, labels, 4), [0.75, np.nan, 1 / 3, np.nan])
    assert mean_per_class(guess, labels) == pytest.approx((0.75 + 1 / 3) / 2)


def test_without_scikit_learn_a_sentence_names_the_extra(monkeypatch):
    real = builtins.__import__

    def none(name, *rest):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", none)
    classifiers.check(["softmax"])
    with pytest.raises(RawconvError, match=r"rawconv\[svm\]"):
        classifiers.check(["svm"])


# ------------------------------------------------------------------------------------------- parts of a data set


def split_of(labels):
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 2, 3), np.uint8
    )
    return Split(pixels.__getitem__, labels, [f"p{k}" for k in range(len(labels))], (2, 2, 3))


def test_some_classes_of_a_data_set_in_the_order_asked():
    from rawconv.data import DataSet

    data = DataSet("d", "d.zip", ["a", "b", "c"], split_of([0, 1, 2, 0, 2]), split_of([2, 1]))
    some = only(data, ["c", "a"])
    assert some.classes == ["c", "a"] and some.source == "d.zip@c,a"
    assert some.train.labels.tolist() == [1, 0, 1, 0] and some.train.names == [
        "p0",
        "p2",
        "p3",
        "p4",
    ]
    assert some.train.read([1, 3])[:, 0, 0, 0].tolist() == [2, 4] and some.val.labels.tolist() == [
        0
    ]
    for wrong in (["a", "x"], ["a", "a"]):
        with pytest.raises(UsageError, match=wrong[1]):
            only(data, wrong)


def test_a_source_with_classes_is_part_of_that_source():
    from rawconv.data import open_data

    some, all_of_it = open_data("scenes:24@car,face", 28), open_data("scenes:24", 28)
    assert some.source == "scenes:24@car,face" and len(some.train) == 4
    face = np.flatnonzero(all_of_it.train.labels == 0)
    np.testing.assert_array_equal(
        some.train.read(np.flatnonzero(some.train.labels == 1)), all_of_it.train.read(face)
    )
    with pytest.raises(UsageError, match="dog"):
        open_data("scenes:24@dog", 28)


def test_names_with_commas_can_be_asked_for():
    names = ["tench, Tinca tinca", "cat", "a,b,c"]
    assert (
        split_names(join_names(names)) == names
        and join_names(names[:2]) == r"tench\, Tinca tinca,cat"
    )


def test_few_draws_each_class_and_fewer_are_part_of_more():
    labels = np.random.default_rng(0).integers(0, 3, 60)
    labels[:2] = 3
    more, less = few(labels, 5, 4, seed=1), few(labels, 2, 4, seed=1)
    assert np.bincount(labels[more]).tolist() == [5, 5, 5, 2] and set(less) <= set(more)
    assert not np.array_equal(more, few(labels, 5, 4, seed=2))
    twice = take(split_of([0, 1]), [1, 1, 0])
    assert twice.labels.tolist() == [1, 1, 0] and len(twice) == 3
