"""Controls: the same units with one ingredient of their projections exchanged.  What still shows
does not come from that one.

What sets out is exchanged by the first three, what it meets on the way down by the others:

    untrained            the weights, on the way up and down: as before training.  What is left any net gives
    cascade-1, -2, ...   the same in the highest layers alone: the unit's own, that and the one below, ...
    other-unit           the unit: another live feature map at its position, by a draw that is always the same
    mismatched-filters   the filters going down, not those going up: as before training
    other-switches       the switches: those of another image
    no-switches          the switches: each pooled value goes to the centre of its window, cropped at the border

The first two are the test of Adebayo et al., "Sanity checks for saliency maps" (2018); the paper has
no controls.  Weights as before training are drawn by each layer's own initialisation: those of an
imported net are He-normal, biases 0, and a batch norm that is no part of a convolution leaves its
input as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import UsageError
from ..layers.max_pool import Cache
from ..machine.arrays import array_module, to_cpu
from ..net import Net
from .forward_pass import ForwardPass
from .units import is_scale, is_score

if TYPE_CHECKING:
    from typing import Any

    from ..layers.window import Window
    from ..net import Caches
    from .units import Unit

SEED = 20130  # of what is drawn: fixed, so that the figure is the same each time
LARGEST = "where its feature map is 0 there, the largest at its position takes its place"
SENTENCES = {
    "untrained": f"Control: up and down through weights as before training; {LARGEST}.",
    "cascade": "Control: up and down through weights as before training in the {} highest of the layers "
    f"up to the unit's, in all where they are fewer; {LARGEST}.",
    "other-unit": "Control: another feature map that is above 0 at the unit's position, drawn at random.",
    "mismatched-filters": "Control: up through the learned filters, down through those from before training.",
    "other-switches": "Control: projected through the switches of another picture.",
    "no-switches": "Control: projected without switches, each pooled value put at the centre of its window.",
}
CASCADE = re.compile(r"cascade-([1-9]\d{0,3})")


class Control(NamedTuple):
    """One of the controls of a net.

    name: "untrained", "cascade-2", ...  net: the trained one.  twin: the same as before training,
    where the control asks for it.  seed: of what is drawn.
    """

    name: str
    net: Net
    twin: Net
    seed: int

    @property
    def sentence(self) -> str:
        """Say what is exchanged, for the legend of a figure."""
        kind, _, steps = self.name.partition("cascade-")
        return SENTENCES[kind] if kind else SENTENCES["cascade"].format(steps)

    @property
    def sets_out(self) -> bool:
        """Whether something else sets out: other weights on the way up, or another unit."""
        return self.name in ("untrained", "other-unit") or self.name.startswith("cascade-")

    def instead(
        self, passed: ForwardPass, name: str, units: list[Unit]
    ) -> tuple[ForwardPass, list[Unit]]:
        """Return the ForwardPass and the units that set out instead of units of layer object `name`, in their order.

        Those of a control that changes the way down alone are the same.
        """
        if self.name == "other-unit":
            return passed, _others(passed, name, units, self.seed)
        if not self.sets_out:
            return passed, units
        passed = ForwardPass(self.net_for(name), passed.x, [name], passed.images)
        return passed, _alive(passed, name, units)

    def net_for(self, name: str) -> Net:
        """Return the net that units of layer object `name` go up and down through."""
        if self.name == "untrained":
            return self.twin
        if steps := CASCADE.fullmatch(self.name):
            return mixed(self.net, self.twin, highest(self.net, name, int(steps[1])))
        return self.net

    def filters(self, net: Net) -> Net:
        """Return the net whose filters go down, where `net` is the one that went up."""
        return self.twin if self.name == "mismatched-filters" else net

    def caches(self, caches: Caches, others: Any = None) -> Caches:
        """Return the caches that the way down uses instead.

        others: for other-switches, (N,) the row of the pass whose switches each image gets; by
        default the next one.
        """
        if self.name not in ("other-switches", "no-switches"):
            return caches
        return {name: self._switches(name, cache, others) for name, cache in caches.items()}

    def _switches(self, name: str, cache: Any, others: Any) -> Any:
        if not self.net[name].switches:
            return cache
        if self.name == "no-switches":
            return centres(self.net[name].window, cache)
        others = np.roll(np.arange(len(cache.switches)), -1) if others is None else others
        return Cache(cache.switches[array_module(cache.switches).asarray(others)], cache.shape)


def control(net: Net, name: str | None, seed: int = SEED) -> Control | None:
    """Return the Control of this name for a net; None for None.  UsageError: there is no such control."""
    if name is None:
        return None
    if name not in set(SENTENCES) - {"cascade"} and not CASCADE.fullmatch(name):
        listed = ", ".join(SENTENCES).replace("cascade", "cascade-1, cascade-2, ...")
        raise UsageError(f"There is no control {name!r}; the controls are {listed}.")
    drawn = name in ("untrained", "mismatched-filters") or name.startswith("cascade-")
    return Control(name, net, untrained(net, seed) if drawn else net, seed)


# ---------------------------------------------------------------------------------------- weights


def untrained(net: Net, seed: int = SEED) -> Net:
    """Return the same net with weights as before its training, on the same device."""
    layers = [
        (name, type(layer)(**layer.settings), *inputs) for name, layer, inputs in net.nodes.values()
    ]
    twin = Net(
        net.shape, layers, net.classes, net.pixel_mean, net.model, seed, net.dtype, net.stored
    )
    twin.execution = net.execution
    for (_, layer), (_, old) in zip(twin.layers, net.layers, strict=True):
        for key, value in old.params.items():
            drawn = layer.params[key]
            ones = key == "weight" and is_scale(layer)
            setattr(layer, key, array_module(value).asarray(np.ones_like(drawn) if ones else drawn))
    return twin


def mixed(net: Net, twin: Net, names: set[str]) -> Net:
    """Return the net with the layers `names` of its twin; the layers themselves are shared."""
    layers = [
        (name, (twin if name in names else net)[name], *inputs)
        for name, _, inputs in net.nodes.values()
    ]
    both = Net(net.shape, layers, net.classes, net.pixel_mean, net.model, stored=net.stored)
    both.execution = net.execution
    return both


def highest(net: Net, name: str, steps: int) -> set[str]:
    """Names of the `steps` highest layers with weights up to layer object `name`.

    A batch norm belongs to the convolution below it.
    """
    names: set[str] = set()
    for node in reversed(net.path(name)):
        if node.layer.params and steps:
            names.add(node.name)
            steps -= not is_scale(node.layer)
    return names


# ---------------------------------------------------------------------------------------- units


def _alive(passed: ForwardPass, name: str, units: list[Unit]) -> list[Unit]:
    """The units; those that are 0 with the largest feature map at their position instead."""
    values, scores = _here(passed, name, units), is_score(passed.net, name)
    return [
        unit if here[unit.channel] or scores else unit._replace(channel=int(here.argmax()))
        for unit, here in zip(units, values, strict=True)
    ]


def _others(passed: ForwardPass, name: str, units: list[Unit], seed: int) -> list[Unit]:
    """For each unit one of the other feature maps that are above 0 at its position; a dead one where
    none is.
    """
    others, scores = [], is_score(passed.net, name)
    for unit, here in zip(units, _here(passed, name, units), strict=True):
        among = np.flatnonzero((here > 0) | scores)
        among = among[among != unit.channel]
        if not len(among):
            among = np.array([(unit.channel + 1) % len(here)])
        rng = np.random.default_rng((seed, unit.channel, unit.y or 0, unit.x or 0))
        others.append(unit._replace(channel=int(rng.choice(among))))
    return others


def _here(passed: ForwardPass, name: str, units: list[Unit]) -> np.ndarray:
    """(U, F) the activations of all feature maps at the units' positions; of whole maps their largest."""
    y, rows = passed.maps[name], [unit.image for unit in units]
    if units[0].whole:
        return to_cpu(y.max(axis=(1, 2)))[rows]
    xp = array_module(y)
    places = zip(*((unit.image, unit.y, unit.x) for unit in units), strict=True)
    return to_cpu(y[tuple(xp.asarray(np.array(column)) for column in places)])


# ---------------------------------------------------------------------------------------- switches


def centres(window: Window, cache: Any) -> Any:
    """Return the Cache whose switches point to the centre (of two, the first) of each window,
    cropped at the border.
    """
    switches: Any = 0
    xp = array_module(cache.switches)
    for axis in range(2):
        first = np.arange(cache.switches.shape[1 + axis]) * window.stride[axis] - window.pad[axis]
        low, high = (
            np.maximum(0, -first),
            np.minimum(window.size[axis], cache.shape[1 + axis] - first),
        )
        centre = (low + high - 1) // 2
        switches = switches * window.size[axis] + (centre[:, None] if axis == 0 else centre)
    switches = xp.asarray(switches.astype(cache.switches.dtype))[None, :, :, None]
    return Cache(xp.ascontiguousarray(xp.broadcast_to(switches, cache.switches.shape)), cache.shape)
