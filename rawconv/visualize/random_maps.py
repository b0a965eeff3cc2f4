"""Feature maps drawn at random, as the paper chose the random subset of its figure 2.

maps = draw("random:18", 256, seed=0)       a list of 18 numbers; maps.seed, which figures state
is_random("random:18")                      whether a text asks for that
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..errors import UsageError

RANDOM = re.compile(r"random:0*([1-9]\d{0,8})")


class RandomMaps(list[int]):
    """The numbers, in their order, with the seed that they were drawn by."""

    seed = 0


def is_random(units: Any) -> bool:
    """Whether what is said of feature maps begins as "random:18" does."""
    return isinstance(units, str) and units.startswith("random:")


def draw(units: str, maps: int, seed: int = 0) -> RandomMaps:
    """Draw numbers of feature maps, each as likely, dead ones too: RandomMaps.

    units: "random:18", how many; all of a layer that has no more.  maps: how many the layer has.
    UsageError: units is written otherwise.
    """
    match = RANDOM.fullmatch(units)
    if not match:
        raise UsageError(f"{units} is no number of feature maps to draw; write random:18.")
    count = min(int(match[1]), maps)
    drawn = np.random.default_rng(seed).choice(maps, count, replace=False)
    chosen = RandomMaps(sorted(drawn.tolist()))
    chosen.seed = seed
    return chosen


def how_chosen(maps: Any, by_rule: str) -> str:
    """How the feature maps of a figure were chosen, in words; by_rule: where nobody asked for any."""
    if isinstance(maps, RandomMaps):
        return f"drawn at random by seed {maps.seed}"
    return by_rule if maps is None else "as asked"


def described(maps: Any) -> dict[str, Any]:
    """What index.json says of maps that were drawn at random; {} of others."""
    if isinstance(maps, RandomMaps):
        return {"random": {"maps": len(maps), "seed": maps.seed}}
    return {}
