"""Whether features go as far as a picture goes: how straight the curve of their distance is, against
the size of the transformation.

    r_squared(sizes, distances)                     of a straight line, for each curve
    numbers = summary(kind, curves, layers)         of a family of transformations, over pictures

The paper calls the features of its layer 7 quasi-linear in translation and scaling and gives no
number.  Here it is R squared of the distance as a multiple of the size of the transformation, of each
picture by itself: a picture that stays has distance 0, so the line goes through the origin.  Beside it
stands the same of the net before training, in which nothing is learnt but the layers are the same.
"""

import numpy as np

from . import intervals

DISTANCES = ("raw", "relative", "unit")
NETS = 5  # before training


def r_squared(sizes, distances):
    """(...,) R squared of lines through the origin, distance = b |size|, one to each side of 0, their mean.

    sizes: (V,), below 0 the other way; distances: (V, ...).  1 is a straight line; below 0 a distance that
    is the same everywhere fits better.  NaN where the distances are all equal.
    """
    sides = [side * sizes >= 0 for side in (1, -1) if (side * sizes > 0).any()]
    return np.mean([_through_origin(np.abs(sizes[s]), distances[s]) for s in sides], axis=0)


def _through_origin(x, y):
    left = y - np.multiply.outer(x, np.tensordot(x, y, 1) / (x @ x))
    spread = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    return 1 - (left**2).sum(axis=0) / np.where(spread, spread, np.nan)


def summary(kind, curves, layers):
    """{"step", "distance", "p", "intervals", "linearity"} of an invariance.Kind.

    curves: of each picture {raw, relative, unit: (V, layers), p: (V,), untrained: (NETS, 3, V, layers)}.
    layers: a low and a high one, as users name them.
    """
    still = int(np.abs(kind.values - kind.neutral).argmin())
    p = np.stack([curve["p"] for curve in curves])
    known = {
        layer: {
            which: _far(np.stack([curve[which][:, k] for curve in curves]), still)
            for which in DISTANCES
        }
        for k, layer in enumerate(layers)
    }
    p_known = {"still": _mean(p[:, still]), "mean": _mean(p.mean(axis=1))}
    return {
        "step": kind.values[still + 1],
        "distance": _means(known),
        "p": _means(p_known),
        "intervals": {"p": p_known, "distance": known},
        "linearity": _linearity(kind, curves, layers),
    }


def _far(distances, still):
    """{"step", "largest"}: intervals of distances (P, V) after the smallest step, and where their mean is largest."""
    return {
        "step": _mean(distances[:, still + 1]),
        "largest": _mean(distances[:, distances.mean(axis=0).argmax()]),
    }


def _means(known):
    """Nested dicts of intervals as their means alone."""
    if "mean" in known and not isinstance(known["mean"], dict):
        return known["mean"]
    return {name: _means(part) for name, part in known.items()}


def _linearity(kind, curves, layers):
    """{"learned", "untrained": {layer: {distance: interval of R squared}}, "learned minus untrained" and
    "high minus low": the same of their differences, picture by picture}.
    """
    sizes = kind.sizes()
    learned = np.stack(
        [[r_squared(sizes, curve[which]) for which in DISTANCES] for curve in curves], axis=-1
    )  # (3, layers, P)
    before = np.stack(
        [r_squared(sizes, np.moveaxis(curve["untrained"], 2, 0)) for curve in curves], axis=-1
    )  # (NETS, 3, layers, P)
    groups = {
        "learned": learned[None],
        "untrained": before,
        "learned minus untrained": learned - before,
    }
    by_net = {
        name: {
            layer: {which: _mean(values[:, d, k]) for d, which in enumerate(DISTANCES)}
            for k, layer in enumerate(layers)
        }
        for name, values in groups.items()
    }
    more = {"learned": learned[None], "untrained": before}
    return by_net | {
        "high minus low": {
            net: {
                which: _mean(values[:, d, 1] - values[:, d, 0]) for d, which in enumerate(DISTANCES)
            }
            for net, values in more.items()
        }
    }


def _mean(values):
    """intervals.mean of values (P,) or (N, P), one of each picture."""
    return intervals.mean(values, np.arange(values.shape[-1]))


def sentence(kind, numbers, layers):
    """What a `summary` shows of the unit distance, in words."""
    unit = numbers["distance"]
    moved = " and ".join(
        "{step:.2f} (at most {largest:.2f}) at ".format(**unit[layer]["unit"]) + layer
        for layer in layers
    )
    straight = numbers["linearity"]
    lines = ", ".join(
        f"{layer} {intervals.text(straight['learned'][layer]['unit'], '.2f')}, untrained "
        f"{intervals.text(straight['untrained'][layer]['unit'], '.2f')}"
        for layer in layers
    )
    p = numbers["intervals"]["p"]
    return (
        f"{kind.name}: {numbers['step']:g} {kind.label} moves the features, as unit vectors, by {moved}. "
        f"As a multiple of the size that distance has R squared {lines}{_verdict(straight, layers)}. "
        f"P(true class) is {p['still']['mean']:.0%} at first and {intervals.text(p['mean'], '.0%')} on average over "
        "all of the axis."
    )


def _verdict(straight, layers):
    """Which layer is the more linear, where the interval of the difference tells; nothing of one picture."""
    more = straight["high minus low"]["learned"]["unit"]
    if not intervals.is_known(more):
        return ""
    if more["low"] > 0 or more["high"] < 0:
        return f": {layers[int(more['low'] > 0)]} is the more linear"
    return ": neither is the more linear"
