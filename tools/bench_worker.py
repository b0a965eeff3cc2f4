"""One side of `bench.py against`: the work of a rawconv, timed on request.  Whichever version
PYTHONPATH names.

It says its work as a line of JSON; then every line "NAME REPEATS" that it reads is answered by
"SECONDS CPU_SECONDS" for one repeat, CPU_SECONDS summed over its threads.
"""

import json
import sys
import time

import numpy as np

from rawconv import models
from rawconv.layers.conv import Conv

BATCHES = (1, 3, 32, 128)
CONVOLUTIONS = {  # filters, size, stride, pad, input: of the shipped models' kinds
    "3x3": (96, 3, 1, 1, (16, 16, 48)),
    "deep 3x3": (128, 3, 1, 1, (8, 8, 96)),
    "5x5": (64, 5, 1, 2, (16, 16, 32)),
    "7x7 stride 2": (48, 7, 2, 2, (64, 64, 3)),
}


def convolution(name, batch, filters, size, stride, pad, shape):
    rng, layer = np.random.default_rng(0), Conv(filters, size, stride=stride, pad=pad)
    layer.build(shape, rng)
    x = rng.standard_normal((batch, *shape), np.float32)
    y, cache = layer.forward(x)
    return {
        f"{name} {batch} up": lambda: layer.forward(x),
        f"{name} {batch} back": lambda: layer.backward(y, cache),
    }


def step(model, batch):
    """Up and back, as in training, without the update."""
    net = models.build(model, classes=10)
    x = np.random.default_rng(0).standard_normal((batch, *net.shape), np.float32)

    def run():
        y, caches = net.forward(x, None, (0, 0, np.arange(batch)))
        net.backward(y, caches, stop=net.layers[0][0])

    return {f"{model} {batch} step": run}


def main(wanted):
    work = {}
    for batch in BATCHES:
        for name, convolved in CONVOLUTIONS.items():
            work |= convolution(name, batch, *convolved)
        for model in ("zf32", "zf64"):
            work |= step(model, batch)
    work = {
        name: function
        for name, function in work.items()
        if not wanted or any(part in name for part in wanted)
    }
    for function in work.values():
        function()
    print(json.dumps(list(work)), flush=True)
    for line in sys.stdin:
        name, repeats = line.rsplit(" ", 1)
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        for _ in range(int(repeats)):
            work[name]()
        seconds, cpu_seconds = time.perf_counter() - seconds, time.process_time() - cpu_seconds
        print(seconds / int(repeats), cpu_seconds / int(repeats), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
