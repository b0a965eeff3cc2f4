"""Gradient descent as Krizhevsky and the paper use it, and how the learning rate falls.  Paper, section 3."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ..machine.arrays import array_module, on_cpu
from ..machine.kernels import PARAMETERS, THREADS, Parameter, Parameters, launch, tiles
from .update import Update

if TYPE_CHECKING:
    from ..machine.arrays import Array
    from ..net import Net


class SGD:
    """v = momentum * v - lr * (weight_decay * w + g); w = w + v; filters with a too large RMS are
    scaled back.

    weight_decay: of weights only, never of biases (the paper is silent; 5e-4 is Krizhevsky's).
    max_filter_rms: the radius of the paper's filter renormalisation, 0.1, for convolutions only,
    without their biases and their momentum; None switches it off.
    lr_multipliers: {layer: factor of lr}, 1 where it is not named; a layer with 0 is frozen,
    momentum and all.
    lowest: the first layer that learns.
    """

    def __init__(
        self,
        net: Net,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        max_filter_rms: float | None = 0.1,
        lr_multipliers: dict[str, float] | None = None,
    ) -> None:
        self.net, self.momentum, self.weight_decay = net, momentum, weight_decay
        self.max_filter_rms, self.lr_multipliers = max_filter_rms, lr_multipliers or {}
        learning = [
            name
            for name, layer in net.layers
            if layer.params and self.lr_multipliers.get(name, 1.0)
        ]
        self.lowest = learning[0] if learning else None
        self.convolutions = set(net.convolutions)
        self.velocity = {
            key: array_module(value).zeros_like(value) for key, value in net.params.items()
        }
        self._update: Update | None = None  # of the arrays of the step before

    def update(self, grads: dict[str, dict[str, Array]], lr: float, scale: float) -> None:
        """Take one step.  scale: a factor of the summed gradients, 1 / the number of images in the batch."""
        steps = []
        for (layer, name), value in self.net.params.items():
            rate = lr * self.lr_multipliers.get(layer, 1.0)
            if not rate:
                continue
            weight_decay = self.weight_decay if name == "weight" else 0.0
            factors = Factors(self.momentum, rate * scale, rate * weight_decay)
            limited = bool(self.max_filter_rms and name == "weight" and layer in self.convolutions)
            velocity = self.velocity[layer, name]
            steps.append(_Step(value, velocity, grads[layer][name], factors, limited))
        if steps and not on_cpu(steps[0].weight):
            return _step_on_gpu(steps, self.max_filter_rms or 0.0)
        if steps:
            self._step_on_cpu(steps)

    def _step_on_cpu(self, steps: list[_Step]) -> None:
        weights, velocities, grads, factors, limited = map(list, zip(*steps, strict=True))
        if self._update is None or not self._update.is_of(weights, velocities, limited):
            self._update = Update(weights, velocities, limited)
        self._update.run(grads, factors, self.max_filter_rms or 0.0)


class _Step(NamedTuple):
    """A parameter's.  limited: whether the RMS of its filters is."""

    weight: Array
    velocity: Array
    grad: Array
    factors: Factors
    limited: bool


class Factors(NamedTuple):
    """Factors of a step: momentum of the velocity, rate of the gradient, weight_decay of the weight."""

    momentum: float
    rate: float
    weight_decay: float


def _step_on_gpu(steps: list[_Step], max_filter_rms: float) -> None:
    """All of them in one kernel, and another for the filters whose RMS is limited; those in front."""
    steps = sorted(steps, key=lambda step: not step.limited)
    for start in range(0, len(steps), PARAMETERS):
        rows: list[Parameter] = []
        count, size, limited = 0, 0, 0
        for weight, velocity, grad, factors, is_limited in steps[start : start + PARAMETERS]:
            shape = weight.size // weight.shape[-1], weight.shape[-1]
            across, tile_rows, parts = tiles(*shape, BLOCKS, ROWS)
            place = size if is_limited else -1
            numbers = *shape, across, tile_rows, parts, count, place, *factors[1:]
            grad = array_module(grad).ascontiguousarray(grad)
            rows.append(Parameter(weight, velocity, grad, *numbers))
            count += across * parts
            if is_limited:
                limited, size = count, size + parts * shape[1]
        squares = array_module(rows[0].weight).empty(size, rows[0].weight.dtype)
        momentum, parameters = float(steps[start].factors.momentum), Parameters(rows)
        launch(CU, "sgd_filters", count * THREADS, parameters, squares, momentum)
        launch(CU, "scale_filters", limited * THREADS, parameters, squares, float(max_filter_rms))


CU = __file__.replace("optimizer.py", "update.cu")
# blocks of a GPU's threads for one parameter, about; rows for one of them, at least
BLOCKS, ROWS = 264, 16


SCHEDULES = ("plateau", "cosine", "step", "constant")


class Schedule:
    """The learning rate over a run of `epochs`, with a linear rise over the first `warmup` epochs.

    plateau: lr / 10 after 5 epochs without 0.1 point better validation top-1, stop after the third
    cut (the paper lowered it by hand "when the validation error plateaus").  cosine: lr * (1 +
    cos(pi * t)) / 2.
    step: lr / 10 after each third of the run.  constant: lr.
    since: the time in epochs at which the rate is lr; cosine and step fall from there on.  It is
    not 0 where the rate was changed in the middle of a run.
    """

    PATIENCE, BETTER, CUTS = 5, 0.001, 3

    def __init__(
        self, kind: str, lr: float, epochs: int, warmup: float = 0.0, since: float = 0.0
    ) -> None:
        if kind not in SCHEDULES:
            raise ValueError(f"schedule {kind!r} is not one of: {', '.join(SCHEDULES)}.")
        self.kind, self.lr, self.epochs, self.warmup = kind, lr, epochs, warmup
        self.state = {"best": -1.0, "waited": 0, "cuts": 0, "since": since}

    def rate(self, epoch: float) -> float:
        """Return the learning rate at a time in epochs, a real number."""
        lr = self.lr * min(1.0, (epoch + 1e-3) / self.warmup) if self.warmup else self.lr
        since, now = (min(1.0, t / self.epochs) for t in (self.state.get("since", 0.0), epoch))
        if self.kind == "cosine":
            return lr * (1 + math.cos(math.pi * now)) / (1 + math.cos(math.pi * since))
        if self.kind == "step":
            return lr / 10 ** (min(2, int(3 * now)) - min(2, int(3 * since)))
        return lr / 10 ** self.state["cuts"]

    def after_epoch(self, top1: float) -> bool:
        """Record a validation accuracy in [0, 1]; return whether training should continue."""
        if self.kind != "plateau":
            return True
        if top1 > self.state["best"] + self.BETTER:
            self.state.update(best=top1, waited=0)
        else:
            self.state["waited"] += 1
        if self.state["waited"] == self.PATIENCE:
            self.state.update(waited=0, cuts=self.state["cuts"] + 1)
        return self.state["cuts"] < self.CUTS
