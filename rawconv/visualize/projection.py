"""From units back to pixels: keep each one's activation, walk down.  Zeiler & Fergus 2013, section 2.1.

    passed = forward_pass(net, "cat.jpg")
    for projection in project(passed, ["conv4:17", *passed.strongest("conv4", 9)]):
        projection.unit, projection.value           conv4:17:3:5 and its activation
        projection.pixels                           what it saw: (H, W, 3), signed; images.display makes an image of it
        projection.steps()                          the way down, map by map: trace.py

1. The images went up once, which left the caches (the pools' switches among them).
2. Everything in the unit's layer is set to zero but the unit, which keeps its value.
3. That goes down: unpool, rectify, filter with the transpose, again and again, into pixel space.
Many units go down
   together, and through their receptive fields alone: windowed.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..layers import PAPER, Rules
from ..layers.cutouts import put
from ..machine.arrays import array_module, to_cpu
from ..machine.threads import cut
from . import notebook_html
from .boxes import whole_maps, window_sizes
from .controls import Control
from .forward_pass import ForwardPass
from .receptive_field import fields
from .trace import Step, goal, word
from .units import Unit, cut_box, field_box, is_score, layer_object, unit_text
from .windowed import Windows, go_down

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..machine.arrays import Array

UNITS = 256  # that set out together on their way down; windowed.py says how many go on together
PROJECTION_BYTES = 128 << 20  # of projections held at once


class Way(NamedTuple):
    """How units go down.

    rules: of ReLU, LRN and shared switches.
    control: a controls.Control, what is exchanged, or None.
    others: for its other-switches, (N,) the row of the pass whose switches each image gets; by
    default the next.
    full: through whole maps from the start, instead of through the units' receptive fields.
    """

    rules: Rules = PAPER
    control: Control | None = None
    others: np.ndarray | None = None
    full: bool = False


@dataclass(frozen=True, eq=False)
class Projection:
    """One unit of one image and what it saw.

    unit: the Unit, with its place.  value: its activation; of a whole map the largest.
    pixels: (H, W, C) of the net's input, signed, NumPy.
    dead: whether the unit is 0, so that there is nothing to see; never true of a class score, which
    goes down as 1.
    box: (top, left, bottom, right) of its receptive field, which may leave the image; shown_box:
    what figures show.
    replaced: whether a control put it in the place of the unit that was asked for.
    """

    unit: Unit
    value: float
    pixels: np.ndarray
    dead: bool
    box: tuple[int, int, int, int]
    shown_box: tuple[int, int, int, int]
    passed: ForwardPass
    way: Way
    replaced: bool = False

    def __repr__(self) -> str:
        return f"<Projection of {notebook_html.projection_line(self)}>"

    def _repr_html_(self) -> str:
        return notebook_html.projection_html(self)

    @property
    def empty(self) -> bool:
        """Whether nothing comes down to the pixels, though the unit is not dead."""
        return not self.dead and not self.pixels.any()

    def lost(self) -> str:
        """Project once more and return a sentence on the layer that nothing passes; "" where something does."""
        if not self.empty:
            return ""
        name = layer_object(self.passed.net, self.unit.layer)
        reached, stops = {name}, [""]

        def watch(node: Any, below: str, windows: Any) -> None:
            if windows.r.any():
                reached.add(below)
            elif node.name in reached and not node.layer.joins:
                stops.append(node.name)

        for _ in _project(self.passed, [self.unit], self.way._replace(full=True), watch):
            pass
        return _nothing(self, stops[-1])

    def steps(self) -> list[Step]:
        """Project once more, step by step, through whole maps.

        First the unit alone in its own layer, last the pixels; layers that do nothing here are left out.
        A layer with several inputs has a step for each, which says to which.
        """
        net, name = self.passed.net, layer_object(self.passed.net, self.unit.layer)
        seed, _ = _seeds(self.passed, name, [self.unit], self.unit.whole)
        r = put(seed, np.array([(self.unit.y or 0, self.unit.x or 0)]), net.shapes[name][:2])
        steps = [Step(self.unit.layer, "unit", to_cpu(r)[0].copy())]

        def watch(node: Any, below: str, windows: Any) -> None:
            if said := word(node.layer, self.way.rules):
                if node.layer.joins:
                    said = f"{said}, to {goal(below)}"
                steps.append(Step(node.name, said, to_cpu(windows.r)[0].copy()))

        for _ in _project(self.passed, [self.unit], self.way._replace(full=True), watch):
            pass
        return steps


def remedy(rules: Rules) -> str:
    """Return what to try where nothing comes down by these rules."""
    return (
        "try a lower layer" if rules.relu == "gradient" else "try --rule gradient or a lower layer"
    )


def _nothing(projection: Projection, stop: str) -> str:
    """The sentence of Projection.lost; stop: the name of the last node that nothing passes, or ""."""
    rule, where = projection.way.rules.relu, ""
    if stop:
        layer = projection.passed.net[stop]
        negative = layer.verb == "rectify" and rule == "deconv"
        where = f"all of it is negative at {stop}" if negative else f"nothing of it passes {stop}"
    unit = unit_text(projection.passed.net, projection.unit)
    return f"Nothing comes down of {unit}: {where}{'; ' if where else ''}{remedy(projection.way.rules)}."


def project(
    passed: ForwardPass,
    units: Iterable[Unit | str],
    rules: Rules = PAPER,
    control: Control | None = None,
    others: np.ndarray | None = None,
    full: bool = False,
    watch: Callable[[Any, str, Any], object] | None = None,
) -> Iterator[Projection]:
    """Yield the Projection of each unit, in their order; memory is bounded however many they are.

    passed: the images that went up.  units: of those images; of a name, as "conv4:17", the one in
    the first image.
    rules: what a ReLU, an LRN and shared switches do on the way down.
    control: controls.control(net, name), which exchanges an ingredient.  One that has other weights
    on the way up, or another unit, yields the Projections of the units that set out instead: their
    feature map is another, where `unit.channel` says so.
    others: for other-switches, (N,) the row of the pass whose switches each image gets; by default
    the next image's.
    full: through whole maps, not only through the receptive fields: slower, and the same.
    watch: the function watch(node, below, windows) of windowed.go_down, whose windows.at are the units'
    places in `units`. A class score is seeded with 1, any other unit with its activation.
    UsageError where the net has no such unit, or the pass did not go up to it.
    """
    units = [passed.unit(unit) for unit in units]
    return _project(passed, units, Way(rules, control, others, full), watch)


def _project(passed: ForwardPass, units: Any, way: Way, watch: Any) -> Iterator[Projection]:
    done = 0
    for (layer, whole), same in groupby(units, key=lambda unit: (unit.layer, unit.whole)):
        some = list(same)
        yield from _of_one_layer(
            passed, layer, some, way._replace(full=way.full or whole), watch, done
        )
        done += len(some)


def _of_one_layer(
    passed: ForwardPass, layer: str, units: Any, way: Way, watch: Any, first: int
) -> Iterator[Projection]:
    """Yield the Projections of units of one layer, all of them positions or all whole maps,
    numbered from `first`.
    """
    name, asked = layer_object(passed.net, layer), units
    passed, units, way = _instead(passed, name, units, way)
    net, field = passed.net, fields(passed.net)[name]
    caches, down = _below(passed, name, way)
    sizes = (whole_maps if way.full else window_sizes)(net, name)
    step = min(UNITS, max(1, PROJECTION_BYTES // (int(np.prod(net.shape)) * passed.x.itemsize)))
    for part in cut(len(units), step):
        some = units[part]
        seeds, values = _seeds(passed, name, some, some[0].whole)
        corner = np.array([(unit.y or 0, unit.x or 0) for unit in some])
        rows, at = np.array([unit.image for unit in some]), np.arange(len(some))
        tell = watch and (
            lambda node, below, windows, k=first + part.start: watch(
                node, below, windows._replace(at=windows.at + k)
            )
        )
        # before they go: a ReLU may work in place
        alive = to_cpu(seeds.any(axis=(1, 2, 3))).tolist()
        pixels = to_cpu(
            go_down(down, caches, Windows(seeds, corner, rows, at), sizes, way.rules, watch=tell)
        )
        described = zip(some, asked[part], to_cpu(values).tolist(), pixels, alive, strict=True)
        for unit, wanted, value, r, lives in described:
            box = field_box(unit, field, net.shape)
            shown = cut_box(box, net.shape)
            yield Projection(unit, value, r, not lives, box, shown, passed, way, unit != wanted)


def _instead(passed: ForwardPass, name: str, units: Any, way: Way) -> Any:
    """What sets out, and how it goes down: another by a control that exchanges that."""
    if way.control is None or not way.control.sets_out:
        return passed, units, way
    return *way.control.instead(passed, name, units), way._replace(control=None)


def _below(passed: ForwardPass, name: str, way: Way) -> tuple[dict[str, Any], Any]:
    """The caches and the net that the way down uses."""
    caches = passed.caches_to(name)
    if way.control is None:
        return caches, passed.net
    return way.control.caches(caches, way.others), way.control.filters(passed.net)


def _seeds(passed: ForwardPass, name: str, units: Any, whole: bool) -> tuple[Array, Array]:
    """Return (seeds in the units' layer, their values (U,)), on the device: one position of all
    maps, or whole maps.
    """
    y = passed.maps[name]
    xp = array_module(y)
    rows, channels = (
        xp.asarray(np.array(column))
        for column in ([u.image for u in units], [u.channel for u in units])
    )
    count = xp.arange(len(units))
    if whole:
        seeds = xp.zeros((len(units), *y.shape[1:]), y.dtype)
        activations = y[rows, :, :, channels]
        seeds[count, :, :, channels] = 1 if is_score(passed.net, name) else activations
        return seeds, activations.reshape(len(units), -1).max(axis=1)
    top, left = (
        xp.asarray(np.array(column)) for column in ([u.y for u in units], [u.x for u in units])
    )
    values = y[rows, top, left, channels]
    seeds = xp.zeros((len(units), 1, 1, y.shape[3]), y.dtype)
    seeds[count, 0, 0, channels] = 1 if is_score(passed.net, name) else values
    return seeds, values
