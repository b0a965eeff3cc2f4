"""Linear classifiers on the features of a fixed net: softmax and linear SVM.  Zeiler & Fergus 2013,
sections 5.2, 5.3.

    train, test = compact(*standardised(train, test))
    guess = softmax_classifier(train, labels, classes, penalty)(test)

The paper does not say how it scaled features or chose the SVM's C.  Here each feature is
standardised over the training pictures (those of table 7, which are too many for memory, over all
pictures: kernel.py), all are divided by sqrt(d) so that a picture has length 1 on average, and C is
chosen by `chosen`.
"""

import numpy as np

from ..errors import RawconvError
from ..layers.softmax import softmax_cross_entropy

PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # of the softmax, strongest first
COSTS = (1e-1, 1e0, 1e1, 1e2)  # C of the SVM, strongest regularisation first
MOST_STEPS, MOMENTUM = 2000, 0.9
HELD_OUT = 0.2  # of the training pictures, to choose by


def standardised(train, *others):
    """x -> (x - mean) / std / sqrt(d) per feature, by mean and std of train (N, ...): float64 (N, d) arrays.

    A feature that is constant over the training pictures, as a dead map's, becomes 0.
    """
    flat = [x.reshape(len(x), -1).astype(np.float64) for x in (train, *others)]
    mean, std = flat[0].mean(axis=0), flat[0].std(axis=0)
    live = std > 1e-6 * max(std.max(initial=0), 1e-30)
    scale = np.where(live, 1 / np.where(live, std, 1), 0) / np.sqrt(max(live.sum(), 1))
    return [(x - mean) * scale for x in flat]


def compact(train, *others):
    """The principal axes of train (N, d), all that are not empty: at most N columns instead of d.

    A linear classifier with a squared penalty has its weights in the space that the rows of train
    span, so its answers are the same.  In these coordinates train.T @ train is diagonal.
    """
    wide = train.shape[1] > len(train)
    size, axes = np.linalg.eigh(train @ train.T if wide else train.T @ train)
    kept = size > 1e-10 * max(size[-1], 1e-30)
    axes = train.T @ axes[:, kept] / np.sqrt(size[kept]) if wide else axes[:, kept]
    return [x @ axes for x in (train, *others)]


def softmax_classifier(x, labels, classes, penalty):
    """The function x (N, d) -> label of `softmax_scores`."""
    scores = softmax_scores(x, labels, classes, penalty)
    return lambda others: scores(others).argmax(axis=1)


def softmax_scores(x, labels, classes, penalty):
    """The function x (N, d) -> (N, classes), before softmax, that minimises mean of -log p +
    penalty / 2 |w|^2, for compact, centred x.

    Descent with momentum, each weight's step divided by its curvature, which is at most mean of x^2
    / 2 + penalty (Boehning 1992); deterministic, from w = 0.
    """
    count, dimensions = x.shape
    weight, bias = np.zeros((dimensions, classes)), np.zeros(classes)
    speed, drift = np.zeros_like(weight), np.zeros_like(bias)
    curvature = (np.square(x).mean(axis=0) / 2 + penalty)[:, None]
    for _ in range(MOST_STEPS):
        _, dscores = softmax_cross_entropy(x @ weight + bias, labels)
        slope = x.T @ dscores / count + penalty * weight
        speed = MOMENTUM * speed - slope / curvature
        drift = MOMENTUM * drift - dscores.mean(axis=0) / 0.5
        weight += speed
        bias += drift
        if np.abs(slope).max(initial=0) < 1e-6:
            break
    return lambda others: others @ weight + bias


def svm_classifier(x, labels, classes, cost):
    """The function x (N, d) -> label of `svm_scores`."""
    scores = svm_scores(x, labels, classes, cost)
    return lambda others: scores(others).argmax(axis=1)


def svm_scores(x, labels, classes, cost):
    """The function x (N, d) -> (N, classes), distances from the planes of a linear SVM times |w|: one
    against the rest, squared hinge, C = cost, the intercept penalised as a weight.  Needs scikit-learn.
    """
    fitted = _svm()(C=cost, dual=False, tol=1e-5, max_iter=5000).fit(x, labels)

    def scores(others):
        values = fitted.decision_function(others)
        whole = np.full((len(others), classes), -np.inf)  # of a class that was not learnt
        whole[:, fitted.classes_] = np.stack([-values, values], 1) if values.ndim == 1 else values
        return whole

    return scores


def _svm():
    try:
        from sklearn.svm import LinearSVC
    except ImportError:
        raise RawconvError(
            "The SVM needs scikit-learn: pip install 'rawconv[svm]', or choose --classifier softmax."
        ) from None
    return LinearSVC


CLASSIFIERS = {"svm": (svm_classifier, COSTS), "softmax": (softmax_classifier, PENALTIES)}


def check(names):
    """RawconvError where one of these classifiers cannot run here."""
    if "svm" in names:
        _svm()


def chosen(name, x, labels, classes):
    """The strongest regularisation that is best on a fifth of each class's pictures, trained on the others.

    x: compact training features.  Where a class has fewer than five pictures, the second strongest:
    nothing can be held out of so few.
    """
    fit, choices = CLASSIFIERS[name]
    counts = np.bincount(labels, minlength=classes)
    if counts.min() < round(1 / HELD_OUT):
        return choices[1]
    rank = np.empty(len(labels), np.int64)
    for label in range(classes):
        rank[labels == label] = np.arange(counts[label])
    held = rank < (HELD_OUT * counts[labels]).astype(np.int64)
    scores = [
        mean_per_class(fit(x[~held], labels[~held], classes, c)(x[held]), labels[held])
        for c in choices
    ]
    return choices[int(np.argmax(scores))]


def accuracy(name, x, labels, others, true, classes):
    """(mean per-class accuracy on `others`, whose labels are `true`, the regularisation chosen) of a
    classifier on compact features (N, d).
    """
    choice = chosen(name, x, labels, classes)
    guess = CLASSIFIERS[name][0](x, labels, classes, choice)(others)
    return mean_per_class(guess, true), choice


def mean_per_class(guess, labels):
    """The mean over the classes of the share of each that is right: rare classes count as much as
    frequent ones.
    """
    return float(np.nanmean(shares(guess, labels, int(labels.max()) + 1)))


def shares(guess, labels, classes):
    """Of each class the share of its pictures that is right: (classes,), NaN where it has none."""
    counts = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[guess == labels], minlength=classes)
    return np.where(counts, right / np.maximum(counts, 1), np.nan)
