"""One step of training: a batch forward and backward, and the update of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.augment import prepare
from ..data.colour import shifts
from ..layers.softmax import loss_and_hits, sum_of_images
from ..machine.arrays import array_module, on_cpu
from ..machine.communicator import SingleProcess
from .optimizer import SGD

if TYPE_CHECKING:
    from ..machine.arrays import Array
    from ..machine.communicator import Ranks
    from ..machine.philox import RngKey
    from ..net import Net

METRICS = ("loss", "top1", "top5")


def train_step(
    net: Net,
    images: Array,
    labels: Array,
    rng_key: RngKey,
    crop: str,
    optimizer: SGD,
    rate: float,
    ranks: Ranks | None = None,
    count: int | None = None,
    pca_jitter: Sequence[Sequence[float]] = (),
    weights: Array | None = None,
    gradients: Callable[..., Any] | None = None,
) -> Array:
    """Run one batch forward and backward and update the weights.

    Return the sums over its images of loss, top-1 and top-5 hits, (3,), on the device.

    images: stored images on the device, uint8 (n, H, W, 3).  labels: int64 (n,).
    crop: as in data.augment.prepare.  rate: the learning rate.
    ranks, count: the processes that share the batch, and how many images it has in all of them.
    pca_jitter: directions along which the colours of an image vary, see data.colour.shifts.
    weights: of the classes in the loss, on the device; the gradient is divided by the number of
    images all the same.
    gradients: loss_and_gradients, the default, or a step_graph.StepGraph.
    """
    ranks = ranks or SingleProcess()
    if not len(images):
        sums, grads = zero_gradients(net, ranks.add, optimizer.lowest)
    else:
        x = prepare(images, net.mean_for(images), net.shape[:2], rng_key, crop, net.dtype)
        if len(pca_jitter):
            x += array_module(x).asarray(shifts(rng_key, pca_jitter), x.dtype)[:, None, None]
        key = on_device_of(x, rng_key)
        sums, grads = (gradients or loss_and_gradients)(
            net, x, labels, key, weights, ranks.add, optimizer.lowest
        )
    ranks.finish()
    # or NaN is everywhere before anybody asks where it began
    if not on_cpu(sums) or np.isfinite(sums[0]):
        optimizer.update(grads, rate, 1 / (count or len(labels)))
    return sums


def loss_and_gradients(
    net: Net,
    x: Array,
    labels: Array,
    rng_key: RngKey,
    weights: Array | None = None,
    on_grads: Callable[[str, dict[str, Array]], object] | None = None,
    lowest: str | None = None,
) -> tuple[Array, dict[str, dict[str, Array]]]:
    """Run prepared images x forward and backward: return (the sums of train_step, the gradients).

    lowest: the lowest layer that learns.  Other arguments as in train_step and Net.backward.
    """
    logits, caches = net.forward(x, rng_key=rng_key)
    told, dlogits = loss_and_hits(logits, labels, weights)
    sums = sum_of_images(told).astype(np.float64)
    _, grads = net.backward(dlogits, caches, on_grads, lowest)
    return sums, grads


def zero_gradients(
    net: Net, on_grads: Callable[[str, dict[str, Array]], object], stop: str | None
) -> tuple[Array, dict[str, dict[str, Array]]]:
    """Return what a step over no images yields: (the sums, all 0; the gradients, all 0).

    on_grads is called as Net.backward calls it, layer by layer in the same order, so that processes
    sum them together.
    """
    grads = {}
    for name, layer, _ in reversed(net.path(net.output)):
        grads[name] = {
            key: array_module(value).zeros_like(value) for key, value in layer.params.items()
        }
        if grads[name]:
            on_grads(name, grads[name])
        if name == stop:
            break
    return array_module(next(iter(net.params.values()))).zeros(len(METRICS)), grads


def on_device_of(x: Array, rng_key: RngKey) -> RngKey:
    """Return rng_key with its sample ids where x is, so that each layer that asks finds them there."""
    seed, epoch, ids = rng_key
    return seed, epoch, array_module(x).asarray(np.asarray(ids, np.uint64))


def hits(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Count the labels that are the first, and among the first five, of the logits (N, ..., K).  A
    NaN is a miss.
    """
    logits = logits.reshape(len(labels), -1)
    xp = array_module(logits)
    own = logits[xp.arange(len(labels)), labels][:, None]
    above = (~(logits < own)).sum(axis=1) - 1
    return (above < 1).sum(), (above < 5).sum()
