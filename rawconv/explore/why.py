"""Why this class: what units add to the difference of two logits, and what hiding a part of a picture does.

A session answers these questions of the page; server.py translates them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..layers.softmax import softmax
from ..machine.arrays import to_cpu
from ..soundness import check_finite, check_scores
from ..visualize.contributions import contributions, last_layers
from ..visualize.occluder import Places, cover
from ..visualize.units import parse_unit

if TYPE_CHECKING:
    from ..visualize.forward_pass import ForwardPass
    from ..visualize.units import Unit
    from .pictures import Picture
    from .session import Session

CLASSES = 5  # that are told while a square moves
AT_ONCE = 16  # places of the square between two lines of a heat map: other requests come between
MOST_PLACES = 1 << 14  # of one heat map


def why(
    session: Session, picture: Picture, classes: tuple[int, int], layer: str = ""
) -> dict[str, Any]:
    """Tell what the maps of a layer add to the logit of the first class minus that of the second.

    layer: "" for the first of last_layers, all of which are told as "layers".
    """
    for number in classes:
        _check_class(session, number)
    passed, layers = _scored(session, picture), last_layers(session.net)
    if not layers:
        raise UsageError("This net has no layer that its class scores are made of.")
    numbers = contributions(passed, layer or layers[0], *classes).numbers()
    logits = to_cpu(passed.logits)[0]
    return numbers | {"layers": layers, "logits": [float(logits[number]) for number in classes]}


def occlude(
    session: Session, picture: Picture, square: tuple[int, int, int], unit: str = ""
) -> dict[str, Any]:
    """Tell the most probable classes of a picture, and a unit's value, as they are and under a grey square.

    square: its top, left and side in pixels of the net's input; what leaves the picture hides nothing.
    Return {"classes": [[number, name, probability, that of the picture as it is]], "value", "original"}.
    """
    passed = _scored(session, picture)
    asked = _unit(passed, unit)
    p = to_cpu(softmax(passed["scores"])).reshape(-1)
    original = _value(passed, asked)
    box, (height, width) = _cut(square, session.net.shape), session.net.shape[:2]
    under, value = p, original
    if box[0] < box[2] <= height and box[1] < box[3] <= width:
        (answers,) = cover(passed, np.array([box]), asked)
        under = answers.p[0]
        value = None if answers.values is None else float(answers.values[0])
    best = np.argsort(-p, kind="stable")[:CLASSES].tolist()
    return {
        "classes": [[k, session.class_name(k), float(under[k]), float(p[k])] for k in best],
        "value": value, "original": original,
    }  # fmt: skip


def heatmap(
    session: Session, picture: Picture, square: tuple[int, int], number: int, unit: str = ""
) -> Iterator[dict[str, Any]]:
    """Yield what a grey square does at all of its places, some at a time.

    square: its side, and the pixels between two places.  number: of the class.
    First {"rows", "columns", "total"}, where its middle is; then {"done", "total", "p", "values"} of the next
    places, row by row: the probability of the class and the value of the unit, None without one.
    """
    _check_class(session, number)
    passed, places = _scored(session, picture), Places.of(session.net.shape, *square)
    asked, total = _unit(passed, unit), len(places.boxes)
    if total > MOST_PLACES:
        raise UsageError(f"A heat map of {total:,} places is too fine; give a larger stride.")
    return _heat_map(passed, places, asked, number)


def _heat_map(
    passed: ForwardPass, places: Places, unit: Unit | None, number: int
) -> Iterator[dict[str, Any]]:
    done, total = 0, len(places.boxes)
    yield {"rows": places.rows, "columns": places.columns, "total": total}
    for answers in cover(passed, places.boxes, unit, AT_ONCE):
        done += len(answers.p)
        yield {
            "done": done, "total": total, "p": answers.p[:, number].tolist(),
            "values": None if answers.values is None else answers.values.tolist(),
        }  # fmt: skip


def _scored(session: Session, picture: Picture) -> ForwardPass:
    """The pass of a picture, whose class scores are sound."""
    check_scores(session.net)
    passed = session.passed(picture)
    check_finite(session.net, passed["scores"], passed.x)
    return passed


def _check_class(session: Session, number: int) -> None:
    check_scores(session.net)
    count = session.net.shapes[session.net.output][2]
    if number >= count:
        raise UsageError(f"There is no class {number}; the net has {count}, from 0 on.")


def _unit(passed: ForwardPass, text: str) -> Unit | None:
    if not text:
        return None
    unit = passed.unit(parse_unit(passed.net, text))
    _ = passed[unit.layer]  # UsageError where it is above what went up
    return unit


def _value(passed: ForwardPass, unit: Unit | None) -> float | None:
    if unit is None:
        return None
    y = to_cpu(passed[unit.layer])[0, :, :, unit.channel]
    return float(y.max() if unit.whole else y[unit.y, unit.x])


def _cut(square: tuple[int, int, int], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of what of a square lies in the picture."""
    top, left, side = square
    bottom, right = min(top + side, shape[0]), min(left + side, shape[1])
    return max(0, top), max(0, left), bottom, right
