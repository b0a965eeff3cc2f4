"""Check the gradients of a net as it would be trained: against finite differences of its loss, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.augment import prepare
from ..errors import RawconvError
from ..layers.softmax import softmax_cross_entropy
from .runs import Run, choose_conv

if TYPE_CHECKING:
    from ..files.messages import Say


def check_gradients(
    run: Run,
    say: Say = print,
    images: int = 4,
    directions: int = 2,
    steps: Sequence[float] = (1e-7, 1e-6, 1e-5, 1e-4),
    limit: float = 1e-5,
) -> dict[str, float]:
    """Compare the gradient of the loss with (loss(w + h d) - loss(w - h d)) / 2h for every
    parameter, in float64.

    d: random directions.  h: each of `steps`, of which the best counts: a small one is lost in
    rounding where the loss hardly changes, a large one crosses the kinks of more ReLUs.
    Biases that are zero are replaced by random ones first: in the zeros around an image they would
    lie on the ReLU's kink.  Returns {"layer.parameter": relative error}.
    RawconvError: one exceeds `limit`.
    """
    rng = np.random.default_rng(0)
    net, ids = run.net.astype("float64"), np.arange(min(images, len(run.data.train)))
    # of other classes: right ones leave a trained net slopes near 0, where rounding is all there is
    labels = (run.data.train.labels[ids] + 1) % len(run.data.classes)
    rng_key = (run.seed, 0, ids)
    weights = np.array(run.recipe.class_weights) if run.recipe.class_weights else None
    choose_conv(net, "gemm")
    for value in net.params.values():
        if not value.any():
            value += 0.1 * rng.standard_normal(value.shape)
    x = prepare(
        run.data.train.read(ids), net.pixel_mean, net.shape[:2], rng_key, run.recipe.crop, "float64"
    )

    def loss() -> Any:
        return softmax_cross_entropy(
            net.forward(x, rng_key=rng_key, keep=False)[0], labels, weights
        )[0]

    logits, caches = net.forward(x, rng_key=rng_key)
    _, grads = net.backward(
        softmax_cross_entropy(logits, labels, weights)[1], caches, stop=next(iter(net.nodes))
    )
    errors = {}
    for (layer, name), value in net.params.items():
        worst = 0.0
        for _ in range(directions):
            direction = rng.standard_normal(value.shape) * value.std()
            ours = float((grads[layer][name] * direction).sum())
            worst = max(worst, min(_slope_error(loss, value, direction, h, ours) for h in steps))
        errors[f"{layer}.{name}"] = worst
        say(f"{layer + '.' + name:14s} relative error {worst:.1e}")
    if max(errors.values()) > limit:
        raise RawconvError(
            f"The gradients are wrong: relative error {max(errors.values()):.1e}, allowed {limit:.0e}."
        )
    return errors


def _slope_error(
    loss: Callable[[], Any], value: Any, direction: Any, step: float, ours: float
) -> float:
    """Return by how much the slope of the loss along a direction differs from ours, relatively."""
    value += step * direction
    up = loss()
    value -= 2 * step * direction
    slope = (up - loss()) / (2 * step)
    value += step * direction
    return float(abs(slope - ours) / max(abs(slope), abs(ours), 1e-8))
