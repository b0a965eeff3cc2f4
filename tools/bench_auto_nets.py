"""The convolutions of the small nets as they run in a training step, under every algorithm.

A layer alone finds its weights, and what was made of them, in the cache, where they were a moment ago;
in a net all other layers were there meanwhile.  So whole steps are taken, each with one algorithm
for all convolutions, and the calls within are timed.
"""

import functools
import time

from bench_auto_fit import WAYS
from bench_step import ours, some_images

from rawconv import models
from rawconv.layers import Execution
from rawconv.layers.conv import Conv

NETS, BATCHES = ("zf32", "zf64"), (1, 3)
STEPS = 20  # of a round and way


def convolutions(net):
    """[(name, layer, shape of its input)] of those that are no fully connected layers."""
    names = [name for name, _ in net.layers]
    inputs = [net.shape, *(net.shapes[name] for name in names[:-1])]
    return [
        (name, layer, shape)
        for (name, layer), shape in zip(net.layers, inputs, strict=True)
        if isinstance(layer, Conv) and not layer.window.covers(shape)
    ]


def steps_of(name, batch):
    """(net, function): the function takes STEPS steps a way and returns {(layer, pass): {way: seconds}},
    of a pass, the mean."""
    net, total = models.build(name), {}
    for conv, layer, _ in convolutions(net):
        for method, what in PASSES.items():
            setattr(layer, method, _timed(getattr(layer, method), total, (conv, what)))
    step = ours(net, *some_images(net, batch), "step")

    def round_of_all():
        found = {}
        for way in WAYS:
            net.execution = Execution(way)
            step()  # the caches are this way's
            total.clear()
            for _ in range(STEPS):
                step()
            for key, seconds in total.items():
                found.setdefault(key, {})[way] = seconds / STEPS
        return found

    return net, round_of_all


PASSES = {"forward": "up", "transpose": "back to x", "_weight_gradient": "back to weight"}


def _timed(function, total, key):
    @functools.wraps(function)
    def timed(*arguments, **options):
        begin = time.perf_counter()
        result = function(*arguments, **options)
        total[key] = total.get(key, 0.0) + time.perf_counter() - begin
        return result

    return timed
