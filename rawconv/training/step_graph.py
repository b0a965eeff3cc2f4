"""The part of a training step that is the same every time, forward, loss and backward, as one CUDA
graph: the host asks for it by one call instead of one for each kernel.

Uploads, crops and the update of the weights, whose rate changes, stay outside.  A graph holds the
numbers that its kernels were given, so that a new one is captured where the epoch changes, which
dropout draws from.  The bits are those of the step without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import RawconvError, UsageError
from ..machine.graphs import Graph
from .step import loss_and_gradients

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..files.messages import Say
    from ..machine.arrays import Array, Device
    from ..machine.communicator import Ranks
    from ..machine.philox import RngKey
    from ..net import Net


def check_graph(device: Device, ranks: Ranks) -> None:
    """UsageError: there is nothing to capture."""
    if device.index is None:
        raise UsageError("--graph is for a GPU, and this computes on the CPU; leave it out.")
    if ranks.size > 1:
        raise UsageError(
            "--graph is for one process: several sum their gradients within a step; leave it out."
        )


class StepGraph:
    """Called as step.loss_and_gradients, whose results it gives.  say: told, once, if nothing can be
    captured; the step then goes on without.
    """

    def __init__(self, say: Say) -> None:
        self.say, self.possible = say, True
        self._held: Any = None  # the net and the numbers that the graph holds
        self._graph: Any = None
        self._inputs: list[Array] = []

    def __call__(
        self,
        net: Net,
        x: Array,
        labels: Array,
        rng_key: RngKey,
        weights: Array | None = None,
        on_grads: Callable[[str, dict[str, Array]], object] | None = None,
        lowest: str | None = None,
    ) -> tuple[Array, dict[str, dict[str, Array]]]:
        inputs = x, labels, rng_key[2]
        smaller = self._inputs and len(x) < len(self._inputs[0])  # the last batch of an epoch
        if self.possible and not smaller:
            held = net, *rng_key[:2], x.shape, lowest
            if held != self._held:
                self._capture(net, inputs, rng_key, weights, lowest)
                self._held = held
        if not self.possible or smaller:
            return loss_and_gradients(net, x, labels, rng_key, weights, on_grads, lowest)
        for kept, array in zip(self._inputs, inputs, strict=True):
            kept[...] = array
        self._graph.launch()
        sums, grads = self._graph.results
        return sums.copy(), grads  # sums are read some steps later

    def _capture(
        self,
        net: Net,
        inputs: tuple[Array, ...],
        rng_key: RngKey,
        weights: Array | None,
        lowest: str | None,
    ) -> None:
        self._graph = None  # whose memory is free for the next one's
        self._inputs = [array.copy() for array in inputs]
        x, labels, ids = self._inputs
        key = (*rng_key[:2], ids)
        try:
            self._graph = Graph(
                lambda: loss_and_gradients(net, x, labels, key, weights, None, lowest)
            )
        except RawconvError as error:
            self.say(str(error))
            self.possible = False
