"""How long work takes on a GPU, and how long the host takes to ask for it."""

import time

import numpy as np

from rawconv.layers.gpu.product import product

ROUNDS, WARM = 10, 2


def timed(work, rounds=ROUNDS):
    """{"ms", "host_ms"} of work(): the median time between two events on the current stream, and
    until the call returns.

    A call begins on an idle device, or the queue would hide the host.  PyTorch runs on the same
    stream, the default one, so that this times it as well.
    """
    import cupy

    for _ in range(WARM):
        work()
    begin, end, device, host = cupy.cuda.Event(), cupy.cuda.Event(), [], []
    for _ in range(rounds):
        cupy.cuda.get_current_stream().synchronize()
        begin.record()
        start = time.perf_counter()
        work()
        host.append((time.perf_counter() - start) * 1e3)
        end.record()
        end.synchronize()
        device.append(cupy.cuda.get_elapsed_time(begin, end))
    return {"ms": float(np.median(device)), "host_ms": float(np.median(host))}


def peaks(place, tf32=False, side=4096):
    """(name, TFLOP/s of a float32 product, GB/s of a copy, TFLOP/s of a TF32 product or None) of
    this card, measured.

    The matrices are random, of a scale that keeps every product finite: the clock of a card depends
    on what it multiplies.
    """
    import cupy

    with place:
        name = cupy.cuda.runtime.getDeviceProperties(place.index)["name"].decode()
        side = side if cupy.cuda.runtime.memGetInfo()[1] > 8 << 30 else side // 16
        a, b = random_matrices(side)
        out = cupy.empty_like(a)
        fast = timed(lambda: product(a, b, out, tf32=True))["ms"] / 1e3 if tf32 else None
        slow = timed(lambda: product(a, b, out))["ms"] / 1e3
        copy = timed(lambda: cupy.copyto(out, a))["ms"] / 1e3
    rates = [seconds and 2 * side**3 / seconds / 1e12 for seconds in (slow, fast)]
    return name, rates[0], 2 * a.nbytes / copy / 1e9, rates[1]


def random_matrices(side):
    """Two matrices (side, side) on the current device, whose product has numbers of about 1."""
    import cupy

    return cupy.random.RandomState(0).standard_normal((2, side, side), "float32") / side**0.25
