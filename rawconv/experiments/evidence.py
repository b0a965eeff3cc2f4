"""What a projection says of what matters, beside what says nothing of it.

    arrays = measure(net, image, fallen, number, "relu5", places)      of one picture
    numbers = summary([arrays, ...])                                   of all, with intervals

Of the map with the largest sum: how much covering a place lowers it, correlated with the energy that
lies there in its projection.  Of the strongest unit: deletion and insertion (deletion.py).  Beside
each stand NULLS, which do not know the unit: the picture's edges, another feature map, a net as
before training, the middle of the picture, orders by chance.
"""

import numpy as np

from ..data.preprocessing import preprocess
from ..layers import GRADIENT, PAPER
from ..machine.arrays import to_cpu
from ..visualize.controls import SEED, control
from ..visualize.forward_pass import ForwardPass
from ..visualize.projection import project
from ..visualize.units import Unit, user_name
from . import intervals
from .deletion import STEPS, area, blocks, curves, order_of, squared_norm

RANDOM = 10  # orders by chance
COVERED = (
    "deconvnet",
    "other map",
    "edges",
    "centre",
    "untrained",
)  # what correlates with the fall
ORDERED = ("deconvnet", "guided", "gradient", "edges", "other map", "untrained", "random")
RULES = {"deconvnet": PAPER, "guided": PAPER._replace(relu="guided"), "gradient": GRADIENT}


def correlation(drop, r, boxes):
    """Of a map's loss of activity (n,) with the energy of its projection (H, W, C) under each box,
    in [-1, 1].
    """
    under = squared_norm(r, boxes)
    if not (drop.std() and under.std()):
        return float("nan")
    return float(np.corrcoef(drop, under)[0, 1])


def edges(x):
    """(H, W, 2 C): Sobel's slopes of x (H, W, C) down and across, the border repeated."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")

    def slopes(values):
        """Along axis 0; smoothed along axis 1."""
        steps = values[2:] - values[:-2]
        return steps[:, :-2] + 2 * steps[:, 1:-1] + steps[:, 2:]

    across = slopes(padded.swapaxes(0, 1)).swapaxes(0, 1)
    return np.concatenate([slopes(padded), across], axis=2)


def centre(shape):
    """(H, W, 1): a Gaussian in the middle, a quarter of the picture wide."""
    y, x = (np.exp(-8 * ((np.arange(n) + 0.5) / n - 0.5) ** 2) for n in shape[:2])
    return (y[:, None] * x)[:, :, None]


def measure(net, image, fallen, number, name, places):
    """{"covered": (COVERED,), "deletion", "insertion": (ORDERED, STEPS + 1)} of one stored picture.

    fallen: (n,) how much each of `places` (n, 4), covered, lowers map `number` of layer object `name`.
    """
    passed = ForwardPass(net, preprocess(net, image[None]), [name])
    layer, x = user_name(net, name), to_cpu(passed.x[0])
    whole, (unit,) = Unit(0, layer, number, whole=True), passed.strongest(layer, 1)
    pictures = _pictures(passed, whole, {"deconvnet": PAPER})
    pictures |= {"edges": edges(x), "centre": centre(net.shape)}
    boxes = blocks(net, unit)
    orders = {
        key: order_of(squared_norm(r, boxes))
        for key, r in (_pictures(passed, unit, RULES) | {"edges": edges(x)}).items()
    }
    rng = np.random.default_rng(SEED)
    by_chance = {f"random {k}": rng.permutation(len(boxes)) for k in range(RANDOM)}
    ways = curves(net, passed.x, unit, boxes, orders | by_chance)
    for way in ways:
        way["random"] = np.mean([way[key] for key in by_chance], axis=0)
    deleted, inserted = (np.stack([way[key] for key in ORDERED]) for way in ways)
    return {
        "covered": [correlation(fallen, pictures[key], places) for key in COVERED],
        "deletion": deleted,
        "insertion": inserted,
    }


def _pictures(passed, unit, rules):
    """{name: (H, W, C)}: the projections of a unit by some rules, of another map's and of an untrained net's."""
    pixels = {key: next(project(passed, [unit], rule)).pixels for key, rule in rules.items()}
    for key, exchanged in (("other map", "other-unit"), ("untrained", "untrained")):
        pixels[key] = next(project(passed, [unit], control=control(passed.net, exchanged))).pixels
    return pixels


def nothing():
    """What `measure` says of a picture that no map responds to."""
    curve = np.full((len(ORDERED), STEPS + 1), np.nan)
    return {"covered": np.full(len(COVERED), np.nan), "deletion": curve, "insertion": curve}


def sentences(numbers):
    """What a `summary` shows, in words, without what is no number, as where all places are the same."""

    def values(intervals_of):
        known = {name: mean for name, mean in intervals_of.items() if np.isfinite(mean["mean"])}
        return ", ".join(f"{name} {intervals.text(mean, '.2f')}" for name, mean in known.items())

    count, covered, told = numbers["pictures"], values(numbers["covered"]), []
    if covered:
        told.append(
            f"Over {count} picture{'s' * (count > 1)} the fall of the strongest map under the square correlates with "
            f"the energy there of: {covered}."
        )
    for way, good in (("deletion", "low"), ("insertion", "high")):
        areas = values({name: order["area"] for name, order in numbers[way].items()})
        told += [f"Area under the curve of {way}, {good} is good: {areas}."] if areas else []
    return told


def summary(measured):
    """{"covered": {name: intervals.mean}, "deletion" and "insertion": {name: {"area": intervals.mean, "curve"}}}.

    measured: [`measure` of a picture].
    """
    pictures = np.arange(len(measured))
    covered = np.array([picture["covered"] for picture in measured], float)
    numbers = {"pictures": len(measured), "steps": STEPS}
    numbers["covered"] = {
        name: intervals.mean(covered[:, k], pictures) for k, name in enumerate(COVERED)
    }
    for way in ("deletion", "insertion"):
        values = np.array([picture[way] for picture in measured])
        numbers[way] = {
            name: {
                "area": intervals.mean(area(values[:, k]), pictures),
                "curve": np.nanmean(values[:, k], axis=0).tolist(),
            }
            for k, name in enumerate(ORDERED)
        }
    return numbers
