"""Each layer and direction on a GPU, the whole step, and the same net in PyTorch, beside the floor of the card.

The floor table alone needs no GPU (`--dry`): it is arithmetic, see roofline.py.
"""

import click
import numpy as np
from roofline import CARDS, work_of

from rawconv import models
from rawconv.arrays import choose_device
from rawconv.layers import GRADIENT
from rawconv.layers.softmax import softmax_cross_entropy
from rawconv.optimizer import SGD
from rawconv.recipes import recipe
from rawconv.training import train_step

ROUNDS = 10


def bench(device, dry, model, batch, card, say=click.echo):
    """{"card", "tflops", "gbs", "rows", "whole"}; the table is said line by line as it is measured."""
    if dry:
        net, (tflops, gbs), name = models.build(model, 1000), CARDS[card], card
        times = whole = {}
    else:
        place = choose_device(device)
        net = models.build(model, 1000, seed=0).to(place)
        name, tflops, gbs = peaks(place)
        times, whole = layer_times(net, batch), whole_times(net, batch, place)
    rows = [row(work, tflops, gbs, times.get((work.layer, work.direction))) for work in work_of(net, batch)]
    found = {"model": model, "batch": batch, "card": name, "tflops": tflops, "gbs": gbs, "rows": rows, "whole": whole}
    for line in table(found):
        say(line)
    return found


def row(work, tflops, gbs, seconds=None):
    """All figures of one line: milliseconds, and what was reached where it was measured."""
    floor, least = work.floors(tflops, gbs)
    found = work._asdict() | {"floor_ms": floor * 1e3, "least_floor_ms": least * 1e3}
    if seconds:
        found |= {"ms": seconds * 1e3, "tflops": work.operations / seconds / 1e12}
        found |= {"gbs": work.moved / seconds / 1e9, "times_floor": seconds / floor}
    return found


# ---------------------------------------------------------------------------------------------- measuring


def seconds(function, repeat=ROUNDS):
    """The median time on the GPU.  PyTorch runs on the same stream, the default one, so that this times it as well."""
    from cupyx.profiler import benchmark

    return float(np.median(benchmark(function, n_repeat=repeat, n_warmup=2).gpu_times))


def peaks(place, side=4096):
    """(name, TFLOP/s of a float32 product, GB/s of a copy) of this card, measured."""
    import cupy

    with place:
        name = cupy.cuda.runtime.getDeviceProperties(place.index)["name"].decode()
        side = side if cupy.cuda.runtime.memGetInfo()[1] > 8 << 30 else side // 16
        a, b = cupy.ones((2, side, side), "float32")
        product = seconds(lambda: cupy.matmul(a, b, out=b))
        copy = seconds(lambda: cupy.copyto(a, b))
    return name, 2 * side**3 / product / 1e12, 2 * a.nbytes / copy / 1e9


def layer_times(net, batch):
    """{(layer, direction): seconds}, on random numbers of the right shapes."""
    import cupy

    found, rng, shape = {}, cupy.random.RandomState(0), net.shape
    for name, layer in net.layers:
        x, y = (rng.standard_normal((batch, *size), "float32") for size in (shape, net.shapes[name]))
        draw = (0, 0, np.arange(batch))
        cache = layer.forward(x.copy(), draw)[1]
        lowest = name == net.layers[0][0]
        back = layer.parameter_gradients if lowest else layer.backward
        found[name, "up"] = seconds(lambda layer=layer, x=x, draw=draw: layer.forward(x, draw))
        found[name, "back"] = seconds(lambda back=back, y=y, cache=cache: back(y, cache))
        found[name, "down"] = seconds(lambda layer=layer, y=y, cache=cache: layer.deconv(y, cache))
        shape = net.shapes[name]
    return found


def whole_times(net, batch, place):
    """{what: {"ms", "torch_ms", "ratio"}} of the forward pass, the training step and the projection from conv5."""
    import cupy

    size = max(recipe(net.model).stored, net.shape[0])
    pictures = cupy.random.RandomState(1).randint(0, 256, (batch, size, size, net.shape[2])).astype("uint8")
    labels, optimizer, draw = cupy.arange(batch) % len(net.classes), SGD(net), (0, 0, np.arange(batch))
    x = cupy.random.RandomState(2).standard_normal((batch, *net.shape), "float32")
    top = [name for name in net.shapes if name.startswith("relu")][-3]  # of the convolutions
    y, caches = net.forward(x, top)
    ours = {
        "forward": lambda: net.forward(x, keep=False),
        "step": lambda: train_step(net, pictures, labels, draw, recipe(net.model).crop, optimizer, 1e-6),
        f"projection from {top}": lambda: net.deconv(y, caches, GRADIENT),
    }
    found = {name: {"ms": seconds(work) * 1e3} for name, work in ours.items()}
    for name, other in torch_times(net, batch).items():
        found[name] |= {"torch_ms": other * 1e3, "ratio": found[name]["ms"] / other / 1e3}
    return found
