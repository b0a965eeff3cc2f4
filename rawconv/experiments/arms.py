"""The arms of figure 6: nets that differ in nothing but their seeds, and how arms differ, for filters.py.

arms = arms_of(subjects, trained, first)      [Arm], in the order of their first nets
differences(arms)                             of those that differ in one thing, with intervals over trainings
"""

import itertools
from typing import NamedTuple

import numpy as np

from . import intervals

# {name: how it is read from the numbers of a net}
READ = {
    "low": lambda net: net["bands"]["low"],
    "middle": lambda net: net["bands"]["middle"],
    "high": lambda net: net["bands"]["high"],
    "largest_rms": lambda net: net["largest_rms"],
    "dominance": lambda net: net["dominance"],
    "dead": lambda net: len(net["dead"]) / net["filters"],
    "dead_maps_2": lambda net: net["dead_maps_2"] / net["maps_2"],
    "aliasing": lambda net: net["aliasing"],
    "aliasing_share": lambda net: net["aliasing_share"],
    "top1": lambda net: np.nan if net["top1"] is None else net["top1"],
}

BASIC = {"net", "renormalisation", "data"}  # what is known of a net without a recipe too


class Arm(NamedTuple):
    """Trainings of one net by one recipe.

    label: what it is called beside the others.  setup: {"net", "renormalisation", "data", and each
    other setting of the recipe}.  trained, first: [(numbers, Measures)], of each training and of
    its net before that.
    """

    label: str
    setup: dict
    trained: list
    first: list

    def values(self, measure, first=False):
        """(n,) of the trainings, or of the nets before them."""
        nets = self.first if first else self.trained
        return np.array([READ[measure](numbers) for numbers, _ in nets], float)

    def interval(self, measure, first=False):
        values = finite(self.values(measure, first))
        return intervals.over_seeds(values) if len(values) else {"mean": np.nan, "trainings": 0}

    def numbers(self):
        """For the JSON file."""
        return {
            "label": self.label, "net": self.setup["net"], "renormalisation": self.setup["renormalisation"],
            "trainings": len(self.trained), "seeds": [numbers["seed"] for numbers, _ in self.trained],
            **{measure: self.interval(measure) for measure in READ},
            "untrained": {measure: self.interval(measure, True) for measure in READ if measure != "top1"},
        }  # fmt: skip


def finite(values):
    """Those that are numbers; a net whose layer 2 is dead has no grid."""
    return values[np.isfinite(values)]


def arms_of(subjects, trained, first):
    """[Arm] of nets: their Subjects, and of each (numbers, Measures) as trained and before."""
    groups = {}
    for subject, net, start in zip(subjects, trained, first, strict=True):
        recipe, numbers = dict(subject.info.get("recipe") or {}), net[0]
        recipe.pop("renorm", None)
        setup = {key: numbers[key] for key in sorted(BASIC)} | recipe
        known = groups.setdefault(repr(sorted(setup.items())), (setup, [], []))
        known[1].append(net)
        known[2].append(start)
    labels = _labels([setup for setup, *_ in groups.values()])
    return [Arm(label, *group) for label, group in zip(labels, groups.values(), strict=True)]


def _labels(setups):
    """A name for each arm: the net, and the settings in which the arms differ; a number where that is not enough."""
    differing = _differing(setups)
    labels = [
        ", ".join([setup["net"], *dict.fromkeys(_setting(setup, key) for key in differing)])
        for setup in setups
    ]
    return [
        label if labels.count(label) == 1 else f"{label} ({labels[:k].count(label) + 1})"
        for k, label in enumerate(labels)
    ]


def _differing(setups):
    """Settings that are not the same in all recipes; the renormalisation too where one is not known."""
    recipes = [setup for setup in setups if set(setup) != BASIC]
    keys = dict.fromkeys(itertools.chain(*recipes))
    differing = [key for key in keys if len({repr(recipe.get(key)) for recipe in recipes}) > 1]
    if 0 < len(recipes) < len(setups):
        differing.append("renormalisation")
    return [key for key in dict.fromkeys(differing) if key not in ("net", "data")]


def _setting(setup, key):
    if set(setup) == BASIC:
        return "of no known recipe"
    if key != "renormalisation":
        return f"{key} {setup.get(key)}"
    bound = setup["renormalisation"]
    return f"renormalised to {bound:g}" if bound else "not renormalised"


def differences(arms):
    """[{"of", "against", "in", measure: interval}] of two arms each that differ in one thing, or of
    all where none do; "in": what they differ in.

    Each interval is of mean(of) - mean(against) over trainings, without "low" and "high" where one
    arm has a single training.
    """
    pairs = [(*pair, _differ(*pair)) for pair in itertools.combinations(arms, 2)]
    equal = [pair for pair in pairs if len(pair[2]) == 1]
    return [
        {"of": arm.label, "against": other.label, "in": what}
        | {key: _difference(arm, other, key) for key in READ}
        for arm, other, what in equal or pairs
    ]


def _difference(arm, other, measure):
    groups = [finite(arm.values(measure)) for arm in (arm, other)]
    return intervals.difference(*groups) if all(map(len, groups)) else {"mean": np.nan}


def _differ(arm, other):
    """Names of what two arms differ in."""
    keys = dict.fromkeys([*arm.setup, *other.setup])
    return [key for key in keys if arm.setup.get(key) != other.setup.get(key)]
