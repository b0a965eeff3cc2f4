"""Small nets for the laws: float64, weights of a size that keeps every signal alive, biases that
are not 0.
"""

import numpy as np
import reference as ref
from laws import STEP

from rawconv.layers import GEMM
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net

SHAPE = (21, 18, 2)  # asymmetric; several pools below clip their last windows

# name, kind, settings: this table makes the net under test and tells the reference and the witness
# what to do
LINEAR = [
    ("conv1", Conv, dict(filters=4, size=(3, 4), stride=2, pad=(0, 1, 2, 1))),
    ("pool1", MaxPool, dict(size=3, stride=2)),
    ("conv2", Conv, dict(filters=6, size=3, pad=1, groups=2)),
    ("pool2", MaxPool, dict(size=3, stride=2)),
    ("drop2", Dropout, dict(rate=0.5, stream=1)),
    ("scores", Conv, dict(filters=5, size=None)),
]
FULL = [
    ("conv1", Conv, dict(filters=4, size=3, stride=2)),
    ("relu1", ReLU, {}),
    ("pool1", MaxPool, dict(size=3, stride=2)),
    ("norm1", LRN, dict(alpha=0.5)),
    ("conv2", Conv, dict(filters=6, size=3, pad=1, groups=2)),
    ("relu2", ReLU, {}),
    ("norm2", LRN, dict(size=3, alpha=0.3)),
    ("pool2", MaxPool, dict(size=3, stride=2, pad=1)),
    ("conv3", Conv, dict(filters=5, size=(3, 2), pad=(1, 0))),
    ("relu3", ReLU, {}),
    ("fc4", Conv, dict(filters=16, size=None)),
    ("relu4", ReLU, {}),
    ("drop4", Dropout, dict(rate=0.5, stream=3)),
    ("scores", Conv, dict(filters=5, size=None)),
]


def make(xp, table, shape=SHAPE, seed=0):
    """The net of a table, in float64, on the device of xp."""
    net = Net(
        shape,
        [(name, kind(**settings)) for name, kind, settings in table],
        seed=seed,
        dtype="float64",
    )
    net.execution = GEMM  # the exact one: Winograd smears zeros
    rng = np.random.default_rng(seed + 1)
    for name, kind, _ in table:
        if kind is Conv:
            weight = to_cpu(net[name].weight)
            assert weight.dtype == np.float64
            scale = 1.5 / np.sqrt(np.prod(weight.shape[:3]))
            net[name].weight = xp.asarray(scale * rng.standard_normal(weight.shape))
            net[name].bias = xp.asarray(0.3 * rng.random(weight.shape[3]))
    return net


def image(seed=2, batch=1, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal((batch, *shape))


def convs(table):
    return [name for name, kind, _ in table if kind is Conv]


def pattern(xp, net, table, x, rng_key=None):
    """Which ReLUs are open and where every pool's switches point: while these stay, no kink is crossed."""
    caches = net.forward(xp.asarray(x.copy()), rng_key=rng_key)[1]
    kinks = []
    for name, kind, _ in table:
        if kind is MaxPool:
            kinks.append(to_cpu(caches[name].switches).tobytes())
        elif kind is ReLU:
            kinks.append(
                (
                    to_cpu(net.forward(xp.asarray(x.copy()), stop=name, rng_key=rng_key)[0]) > 0
                ).tobytes()
            )
    return kinks


def strongest(y, rank=0):
    """(n, i, j, c) of the unit with the largest value; rank 1 the second, ..."""
    return tuple(int(i) for i in np.unravel_index(np.argsort(y, axis=None)[-1 - rank], y.shape))


def one_hot(y, unit, value=None):
    """All zeros but one unit, which keeps its value (or gets the one given)."""
    r = np.zeros_like(y)
    r[unit] = y[unit] if value is None else value
    return r


def slopes(xp, net, table, x, value, directions=3, rng_key=None):
    """(v, d value / dh) at x + h v for random v that cross no kink; value(y) is a number made of
    the net's output.
    """
    rng, found = np.random.default_rng(5), 0
    here = pattern(xp, net, table, x, rng_key)
    for _ in range(10):
        v = rng.uniform(-1, 1, x.shape)
        if any(pattern(xp, net, table, x + h * v, rng_key) != here for h in (STEP, -STEP)):
            continue
        ahead, behind = (value(x + h * v) for h in (STEP, -STEP))
        yield v, (ahead - behind) / (2 * STEP)
        found += 1
        if found == directions:
            return
    raise AssertionError("every direction crosses a kink: this test has nothing to compare")


def assert_slope(gradient, v, slope, tolerance=1e-7):
    product, size = gradient * v, np.linalg.norm(gradient) * np.linalg.norm(v) / np.sqrt(v.size)
    assert size > 0, "a gradient of zeros proves nothing"
    assert abs(product.sum() - slope) < tolerance * max(size, abs(slope)), (
        f"{product.sum()!r} is not {slope!r}"
    )


def reference_up(net, table, x):
    """The outputs of all layers, by the naive loops; pools give their switches as well."""
    outputs, switches = [x], {}
    for name, kind, settings in table:
        x, known = outputs[-1], dict(settings)
        if kind is Conv:
            known = {key: value for key, value in known.items() if key not in ("filters", "size")}
            outputs.append(
                ref.conv_up(x, to_cpu(net[name].weight), to_cpu(net[name].bias), **known)
            )
        elif kind is ReLU:
            outputs.append(ref.relu_up(x))
        elif kind is LRN:
            outputs.append(ref.lrn_up(x, **known))
        elif kind is MaxPool:
            y, switches[name] = ref.pool_up(x, **known)
            outputs.append(y)
        else:
            outputs.append(x)
    return outputs, switches
