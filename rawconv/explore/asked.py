"""Questions as they come from a page, JSON or the query of a URL, checked field by field.

question({"picture": "val:17", "unit": "conv4:17"})         a Question, by the rules of the paper
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import UsageError
from ..layers import PAPER, Rules
from ..visualize.controls import SEED

CHOICES = {
    "relu": ("deconv", "gradient", "guided"),
    "shared_switches": ("add", "max", "overwrite"),
    "lrn": ("identity", "gradient"),
}
LONGEST = 500  # characters of a name


class Question(NamedTuple):
    """A unit of a picture, and how it goes down.

    picture: its id.  unit: as users write it.  rules: of the way down.
    control: its name, or None.  seed: of what the control draws.
    other: the id of the picture whose switches control other-switches takes; "" with any other.
    """

    picture: str
    unit: str
    rules: Rules = PAPER
    control: str | None = None
    seed: int = SEED
    other: str = ""


def question(fields: Mapping[str, Any]) -> Question:
    """Return the Question of {"picture", "unit", "relu", "shared_switches", "lrn", "control", "control_seed", "other"}.

    All but the first two may be left out; LRN then goes by the rule for ReLU, as in rawconv-visualize.
    UsageError, which names the field: it is missing or cannot be.
    """
    relu = choice(fields, "relu", PAPER.relu)
    lrn = choice(fields, "lrn", "gradient" if relu == "gradient" else PAPER.lrn)
    rules = Rules(relu, lrn, choice(fields, "shared_switches", PAPER.shared_switches))
    control = text(fields, "control", "") or None
    other = text(fields, "other", "")
    if control == "other-switches" and not other:
        raise UsageError("other is missing: control other-switches takes those of another picture.")
    seed = number(fields, "control_seed", 0, 2**32 - 1, SEED)
    needed = text(fields, "picture"), text(fields, "unit")
    return Question(*needed, rules, control, seed, other if control == "other-switches" else "")


def text(fields: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return a field that is text.  UsageError: it is none, is too long, or is missing and has no default."""
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value and default is None):
        raise UsageError(f"{name} is missing or no text; give it in quotes.")
    if len(value) > LONGEST:
        raise UsageError(f"{name} has {len(value)} characters; give {LONGEST} at most.")
    return value


def choice(fields: Mapping[str, Any], name: str, default: str) -> str:
    """Return a field that is one of CHOICES."""
    value = text(fields, name, default)
    if value not in CHOICES[name]:
        raise UsageError(f"{name} is {value!r:.80}; give one of {', '.join(CHOICES[name])}.")
    return value


def number(
    fields: Mapping[str, Any], name: str, low: int, high: int, default: int | None = None
) -> int:
    """Return a field that is a whole number from `low` to `high`, of JSON or in the digits of a URL."""
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if type(value) is not int or not low <= value <= high:
        raise UsageError(
            f"{name} is {value!r:.80}; give a whole number from {low} to {max(low, high)}."
        )
    return value
