"""Convolutions of every geometry, and what each must equal: for the tests of all the ways to compute one."""

import numpy as np
import reference as ref
from laws import assert_close

from rawconv.layers import GRADIENT, PAPER, Execution, Rules
from rawconv.layers.conv import Conv

#        name            batch  (H, W, C)  filters, settings
CASES = {
    "plain": (3, (7, 6, 2), 3, dict(size=3)),
    "one by one": (3, (4, 5, 3), 4, dict(size=1)),
    "non-square": (1, (6, 9, 2), 3, dict(size=(2, 5))),
    "pad": (3, (5, 7, 3), 4, dict(size=3, pad=1)),
    "pad rows only": (1, (5, 7, 1), 2, dict(size=3, pad=(2, 0))),
    "asymmetric pad": (3, (5, 6, 2), 3, dict(size=(3, 4), stride=(2, 1), pad=(0, 1, 2, 3))),
    "stride 2, overhang": (3, (8, 6, 3), 5, dict(size=3, stride=2)),
    "stride 2, floor": (3, (8, 6, 3), 5, dict(size=3, stride=2, ceil_mode=False)),
    "uneven strides": (1, (9, 11, 2), 3, dict(size=(3, 2), stride=(2, 3), pad=(1, 0))),
    "stride > window": (3, (9, 10, 2), 3, dict(size=2, stride=3)),
    "stride > window, floor": (3, (9, 10, 2), 3, dict(size=2, stride=3, ceil_mode=False)),
    "last window all zeros": (1, (5, 6, 2), 3, dict(size=1, stride=3)),
    "pad beyond the window": (1, (4, 3, 2), 3, dict(size=2, pad=3)),
    "paper's conv1": (1, (15, 17, 3), 4, dict(size=7, stride=2)),
    "5x5 stride 2": (3, (11, 12, 4), 5, dict(size=5, stride=2)),
    "groups 2": (3, (6, 5, 4), 6, dict(size=3, pad=1, groups=2)),
    "groups 3, stride": (3, (7, 8, 6), 3, dict(size=3, stride=2, groups=3)),
    "groups 2, as small as the window": (3, (3, 4, 4), 6, dict(size=(3, 4), groups=2)),
    "groups 3, fully connected": (3, (2, 3, 6), 3, dict(size=None, groups=3)),
    "groups 2, one by one": (3, (4, 3, 6), 4, dict(size=1, groups=2)),
    "one channel a group": (1, (6, 7, 3), 6, dict(size=(3, 2), groups=3)),
    "many groups": (2, (5, 6, 16), 24, dict(size=3, pad=1, groups=8)),
    "many groups, uneven": (2, (5, 4, 33), 11, dict(size=(2, 3), stride=2, groups=11)),
    "depthwise": (3, (6, 7, 16), 16, dict(size=3, pad=1, groups=16)),
    "depthwise, stride 2": (
        2,
        (7, 8, 17),
        17,
        dict(size=(3, 2), stride=2, pad=(0, 1, 1, 0), groups=17),
    ),
    "depthwise, dilated": (
        2,
        (8, 9, 35),
        35,
        dict(size=3, stride=(1, 2), pad=(2, 1), dilation=(2, 3), groups=35),
    ),
    "depthwise, pad beyond the window": (2, (3, 4, 16), 16, dict(size=2, pad=3, groups=16)),
    "depthwise, fully connected": (2, (3, 4, 18), 18, dict(size=None, groups=18)),
    "depthwise, few channels": (2, (5, 4, 5), 5, dict(size=3, groups=5)),
    "dilated": (3, (9, 8, 2), 3, dict(size=3, dilation=2)),
    "dilated, uneven": (
        2,
        (9, 12, 3),
        4,
        dict(size=(3, 2), stride=(2, 1), pad=(2, 1, 0, 3), dilation=(2, 4)),
    ),
    "dilated, groups 2": (2, (7, 8, 4), 6, dict(size=3, stride=2, pad=2, dilation=2, groups=2)),
    "dilated, one by one": (2, (4, 5, 3), 4, dict(size=1, dilation=3)),
    "dilated, one row": (2, (4, 9, 3), 4, dict(size=(1, 3), dilation=(5, 3), pad=(0, 3))),
    "one map": (3, (6, 7, 1), 1, dict(size=3, pad=1)),
    "odd channels": (1, (5, 6, 7), 9, dict(size=3, pad=1)),
    "as small as the window": (3, (3, 4, 2), 5, dict(size=(3, 4))),
    "as small, with pads": (1, (1, 2, 3), 2, dict(size=3, pad=(1, 0, 1, 1))),
    "fully connected": (3, (4, 5, 3), 7, dict(size=None)),
    "fully connected, wide": (3, (3, 4, 3), 20, dict(size=None)),
    "fully connected, wider": (5, (1, 1, 150), 137, dict(size=None)),
    "1x1 map": (3, (1, 1, 5), 4, dict(size=None)),
    "3x3 on 1x1": (3, (1, 1, 5), 4, dict(size=3, pad=1)),
}
TOLERANCE = {"float64": 1e-11, "float32": 1e-4}


def make(xp, dtype, shape, filters, settings, seed=0, bias=1.0):
    """A layer with weights and biases of about 1 on the device, and the settings the reference takes."""
    layer = Conv(filters, **settings)
    layer.build(shape, np.random.default_rng(seed), dtype=dtype)
    known = {"stride": 1, "pad": 0, "groups": 1, "ceil_mode": True} | settings
    size = ref.pair(known.pop("size") or shape[:2])
    assert layer.weight.shape == (
        *size,
        shape[2] // known["groups"],
        filters,
    ) and layer.bias.shape == (filters,)
    assert layer.weight.dtype == layer.bias.dtype == dtype
    rng = np.random.default_rng(seed + 1)
    weight = rng.standard_normal(layer.weight.shape).astype(dtype)
    biases = (bias * rng.standard_normal(filters)).astype(dtype)
    layer.weight, layer.bias = xp.asarray(weight), xp.asarray(biases)
    return layer, weight, biases, known


def check_three_walks(xp, dtype, batch, shape, filters, settings, seed=0, conv="gemm"):
    """Up, back and down equal the loops of the reference, in value, shape and type."""
    layer, weight, bias, known = make(xp, dtype, shape, filters, settings, seed)
    rng = np.random.default_rng(seed + 2)
    x = rng.standard_normal((batch, *shape)).astype(dtype)
    y, cache = layer.forward(xp.asarray(x), execution=Execution(conv))
    assert_close(y, ref.conv_up(x, weight, bias, **known), TOLERANCE[dtype])
    assert tuple(layer.out_shape(shape)) == y.shape[1:]
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx, grads = layer.backward(xp.asarray(dy), cache)
    want_dx, want_dweight, want_dbias = ref.conv_back(dy, x, weight, **known)
    assert_close(dx, want_dx, TOLERANCE[dtype])
    assert set(grads) == {"weight", "bias"}
    assert_close(grads["weight"], want_dweight, TOLERANCE[dtype])
    assert_close(grads["bias"], want_dbias, TOLERANCE[dtype])
    r = rng.standard_normal(y.shape).astype(dtype)
    want = ref.conv_down(r, x.shape, weight, **known)
    for rules in (PAPER, GRADIENT, Rules("guided", "identity", "max")):
        assert_close(layer.deconv(xp.asarray(r), cache, rules), want, TOLERANCE[dtype])
    for array in (y, dx, grads["weight"], grads["bias"], layer.deconv(xp.asarray(r), cache)):
        assert array.dtype == dtype and isinstance(array, xp.ndarray)
