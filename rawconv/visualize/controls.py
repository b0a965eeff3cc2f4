"""Controls: the same way down with one of its ingredients exchanged.  What still shows does not
come from that one.

The unit, its activation and all else are those of the net and the picture at hand, but for

    random-weights   the filters: drawn anew from the distribution they started from, always by the same seed
    other-switches   the switches: those of another picture
    no-switches      the switches: each pooled value goes to the centre of its window, cropped at the border
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import UsageError
from ..layers.max_pool import Cache
from ..machine.arrays import array_module
from ..net import Net

if TYPE_CHECKING:
    from typing import Any

    from ..layers.window import Window
    from ..net import Caches

SEED = 20130  # of the random weights: fixed, so that the figure is the same each time
SENTENCES = {
    "random-weights": "Control: projected through random filters (as before training) instead of the learned ones.",
    "other-switches": "Control: projected through the switches of another picture.",
    "no-switches": "Control: projected without switches, each pooled value put at the centre of its window.",
}


class Control(NamedTuple):
    """Its name, and the net whose filters go down."""

    name: str
    net: Net

    def caches(self, caches: Caches, others: Any = None) -> Caches:
        """Return the caches that the way down uses instead.

        others: for other-switches, (N,) the row of the pass whose switches each image gets; by
        default the next one.
        """
        if self.name == "random-weights":
            return caches
        return {name: self._switches(name, cache, others) for name, cache in caches.items()}

    def _switches(self, name: str, cache: Any, others: Any) -> Any:
        if not self.net[name].switches:
            return cache
        if self.name == "no-switches":
            return centres(self.net[name].window, cache)
        others = np.roll(np.arange(len(cache.switches)), -1) if others is None else others
        return Cache(cache.switches[array_module(cache.switches).asarray(others)], cache.shape)


def control(net: Net, name: str | None) -> Control | None:
    """Return the Control of this name for a net; None for None.  UsageError: there is no such control."""
    if name is None:
        return None
    if name not in SENTENCES:
        raise UsageError(f"There is no control {name!r}; the controls are {', '.join(SENTENCES)}.")
    return Control(name, untrained(net) if name == "random-weights" else net)


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
            setattr(layer, key, array_module(value).asarray(layer.params[key]))
    return twin


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
