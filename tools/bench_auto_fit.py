"""Which constants of `auto` lose least, by the times of passes under every algorithm.

A row: {"name": of the pass, "net": whether it ran within a net, "figures": {algorithm: what `auto` goes
by, for those that can compute it}, "median", "shortest": {algorithm: seconds}}.
"""

import itertools
import math
import operator

import numpy as np

from rawconv.layers.cpu import ALGORITHMS

FITTING = ("depthwise", "dense")  # chosen wherever they fit, by no constant
WAYS = tuple(name for name in ALGORITHMS if name not in FITTING)  # `auto` takes the first that may
# the constants of each algorithm's module, in the order of its figures, and what is tried for them
TRIED = {
    "winograd": {
        "FEWEST_CHANNELS": (1, 12, 16, 20, 24, 32, 40, 80),
        "FEWEST_POSITIONS": (1, 64, 128, 160, 192, 256, 512, 1024),
        "LEAST_WORK": (0, 0.4e6, 1e6, 1.5e6, 2e6, 3e6, 4e6, 8e6),
        "GAIN": (1, 1.6, 2, 2.5),
    },
    "direct": {"MOST_WEIGHTS": (0, 40e3, 80e3, 160e3, 320e3, 640e3, math.inf)},
}
ALLOWS = {"winograd": operator.ge, "direct": operator.le}  # a figure and its constant
NEAR = 0.005  # what nets may lose beyond the least: within it, the grid decides


def present():
    """{algorithm: its constants as they are}"""
    return {
        way: tuple(getattr(ALGORITHMS[way], name) for name in names) for way, names in TRIED.items()
    }


def allowed(row, way, constants):
    """Whether `auto` may choose a way for a row, with constants of the way."""
    figures = row["figures"].get(way)
    return figures is not None and all(map(ALLOWS[way], figures, constants))


def losses(rows, given, which="median"):
    """By how much the choices of each set of constants are slower than the fastest way, in the
    (geometric) mean of all rows.

    given: {algorithm: [constants, ...]}; the result has an axis for each.
    """
    ways = list(given)
    times = [np.log([row[which].get(way, math.inf) for row in rows]) for way in WAYS]
    least = np.min(times, axis=0)
    may = {
        way: np.array([[allowed(row, way, one) for row in rows] for one in given[way]])
        for way in ways
    }
    found = np.empty([len(given[way]) for way in ways])
    for where in np.ndindex(found.shape):
        chosen = times[-1]
        for way, k in reversed(list(zip(ways, where, strict=True))):
            chosen = np.where(may[way][k], times[WAYS.index(way)], chosen)
        found[where] = math.expm1((chosen - least).mean())
    return found


def loss(rows, constants, which="median"):
    """The same of one set: {algorithm: constants}."""
    return float(losses(rows, {way: [one] for way, one in constants.items()}, which).item())


def fit(rows, which="median"):
    """The constants that lose least, {algorithm: constants}.

    Rows within nets decide, and among those that lose as little there, but for NEAR, the others;
    among equals those that differ least from the present.
    """
    given = {way: list(itertools.product(*names.values())) for way, names in TRIED.items()}
    now = present()
    totals = [
        losses(some, given, which) if some else np.zeros([len(sets) for sets in given.values()])
        for some in ([r for r in rows if r["net"]], [r for r in rows if not r["net"]])
    ]
    near = totals[0] <= totals[0].min() + NEAR
    best = np.where(near, totals[1], math.inf)

    def changes(where):
        pairs = zip(given.items(), where, strict=True)
        return sum(
            a != b for (way, sets), k in pairs for a, b in zip(sets[k], now[way], strict=True)
        )

    found = min(map(tuple, np.argwhere(best <= best.min() + 1e-9)), key=changes)
    return {way: sets[k] for (way, sets), k in zip(given.items(), found, strict=True)}
