"""The algorithms of a convolution give what the equations say, and are chosen by the shapes alone, once."""

import inspect
import os
import subprocess
import sys

import nets
import numpy as np
import pytest
import reference as ref
from conv_cases import CASES, TOLERANCE, check_three_walks, make
from laws import assert_close, assert_same
from projecting import project_units

from rawconv.layers import GEMM, Execution, conv
from rawconv.layers.conv import Conv
from rawconv.layers.cpu import ALGORITHMS, CHOICES, Shape, gemm, winograd
from rawconv.layers.cpu.turned_filters import turn
from rawconv.layers.gpu import im2col
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.visualize import perturbed
from rawconv.visualize.forward_pass import ForwardPass
from rawconv.visualize.trace import exact


@pytest.mark.parametrize("conv", ["winograd", "direct", "auto"])
@pytest.mark.parametrize(
    ("batch", "shape", "filters", "settings"),
    [
        (3, (13, 14, 5), 7, dict(size=3, pad=1)),
        (1, (4, 4, 1), 1, dict(size=3, pad=1)),
        (3, (7, 9, 4), 6, dict(size=3)),
        (3, (6, 5, 4), 6, dict(size=3, pad=1, groups=2)),
        (1, (5, 9, 3), 2, dict(size=3, pad=(0, 1, 2, 2))),
        (3, (8, 3, 2), 5, dict(size=3, pad=2)),
        (3, (1, 1, 5), 4, dict(size=3, pad=1)),
        (2, (3, 3, 4), 5, dict(size=3)),
        (0, (6, 5, 4), 6, dict(size=3, pad=1)),
        (35, (8, 8, 64), 64, dict(size=3, pad=1)),
        (2, (9, 8, 3), 4, dict(size=5, stride=2)),
        (3, (11, 12, 20), 33, dict(size=5, stride=2)),
        (2, (12, 13, 17), 16, dict(size=5, stride=2, pad=(3, 2, 0, 4), ceil_mode=False)),
        (2, (23, 21, 3), 5, dict(size=11, stride=4)),
        (1, (9, 10, 2), 3, dict(size=(5, 3), stride=(2, 1), pad=1)),
        (2, (9, 11, 4), 6, dict(size=(7, 6), stride=(3, 2), pad=(5, 1), groups=2)),
        (1, (3, 4, 2), 3, dict(size=3, pad=4)),
        (3, (9, 10, 17), 19, dict(size=5, pad=2)),
        (2, (7, 9, 4), 6, dict(size=(6, 3), pad=(0, 3, 5, 1), groups=2)),
        (2, (5, 8, 3), 4, dict(size=(4, 5), pad=1)),
        (3, (19, 21, 3), 32, dict(size=7, stride=2, pad=2)),
        (9, (15, 16, 3), 16, dict(size=5, pad=2)),
        (0, (15, 16, 3), 16, dict(size=5, pad=2)),
        (1, (6, 11, 1), 48, dict(size=(2, 4), stride=(3, 1), pad=(1, 0, 3, 2))),
        (
            2,
            (9, 40, 8),
            64,
            dict(size=(3, 11), stride=(1, 4), pad=(0, 5), groups=2, ceil_mode=False),
        ),
        (2, (60, 70, 2), 16, dict(size=2, pad=1)),
        (9, (4, 5, 17), 48, dict(size=3, pad=1)),
        (3, (9, 8, 24), 96, dict(size=(5, 3), stride=(2, 1), pad=(2, 1, 0, 2))),
        (2, (7, 6, 40), 160, dict(size=3, pad=1, groups=2)),
    ],
)
def test_the_fast_ways_equal_the_equations(batch, shape, filters, settings, conv, xp, dtype):
    """Winograd and direct where they can, and what `auto` chooses; Winograd rounds a little more
    than the product.
    """
    if xp is not np and batch > 9:
        pytest.skip("real layer sizes are for the CPU run and real cards")
    check_three_walks(xp, dtype, batch, shape, filters, settings, conv=conv)


@pytest.mark.parametrize(("conv", "most"), [("winograd", 3e-5), ("direct", 3e-6), ("gemm", 3e-6)])
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((13, 13, 384), dict(size=3, pad=1)),
        ((27, 27, 96), dict(size=5, stride=2)),
        ((112, 112, 3), dict(size=7, stride=2)),
    ],
)
def test_float32_is_as_near_to_float64_as_promised(shape, settings, conv, most):
    """The largest error of a pass, the largest value being 1, at the paper's depths: 3,456 to 147
    products a sum.
    """
    rng = np.random.default_rng(0)
    layer = Conv(256, **settings)
    layer.build(shape, rng)
    x = rng.standard_normal((2, *shape), np.float32)
    dy = rng.standard_normal((2, *layer.out_shape(shape)), np.float32)
    exact = Conv(256, **settings)
    exact.build(shape, rng, "float64")
    exact.weight, exact.bias = layer.weight.astype("float64"), layer.bias.astype("float64")
    wanted = _passes(exact, x.astype("float64"), dy.astype("float64"), GEMM)
    for one, want in zip(_passes(layer, x, dy, Execution(conv)), wanted, strict=True):
        assert np.abs(one - want).max() <= most * np.abs(want).max()


def _passes(layer, x, dy, execution):
    y, cache = layer.forward(x, execution=execution)
    dx, grads = layer.backward(dy, cache)
    return y, dx, grads["weight"]


@pytest.mark.parametrize("ceiling", [None, 1.5])
@pytest.mark.parametrize("conv", ["gemm", "auto", "winograd"])
@pytest.mark.parametrize(
    "case",
    [
        "odd channels",
        "depthwise, stride 2",
        "dilated, uneven",
        "groups 2",
        "asymmetric pad",
        "fully connected, wider",
        "groups 3, fully connected",
        "5x5 stride 2",
    ],
)
def test_rectified_it_is_the_relu_of_it(case, conv, ceiling, xp, dtype):
    """The same bits, whichever way, and the equations'; a NaN, infinities and zeros of either sign
    are among them.
    """
    batch, shape, filters, settings = CASES[case]
    layer, weight, bias, known = make(xp, dtype, shape, filters, settings)
    x = np.random.default_rng(3).standard_normal((batch, *shape)).astype(dtype)
    how, relu, fuse_relu = {"execution": Execution(conv)}, ReLU(ceiling), ceiling or np.inf
    y, cache = layer.forward(xp.asarray(x), fuse_relu=fuse_relu, **how)
    assert_close(y, ref.relu_up(ref.conv_up(x, weight, bias, **known), ceiling), TOLERANCE[dtype])
    assert_same(y, to_cpu(relu.forward(layer.forward(xp.asarray(x), **how)[0])[0]))
    assert_same(cache.x, x)
    layer.weight, special = (
        xp.zeros_like(layer.weight),
        np.array([np.nan, -0.0, 2, 0, -3, np.inf, -np.inf], dtype),
    )
    layer.bias = xp.asarray(np.resize(special, filters))
    y = to_cpu(layer.forward(xp.asarray(x), fuse_relu=fuse_relu, **how)[0])
    # a GPU's max(-0, 0) may be -0
    assert_same(y, to_cpu(relu.forward(layer.forward(xp.asarray(x), **how)[0])[0]) + 0)
    assert_same(y, np.broadcast_to(np.resize(ref.relu_up(special, ceiling), filters), y.shape))


@pytest.mark.parametrize("fuse_relu", [None, np.inf, 1.5])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (33, 5), (0, 3), (257, 129)])
def test_each_map_gets_its_bias(shape, fuse_relu, xp, dtype):
    """Every element, and -0 + -0 = -0, whose ReLU is 0."""
    y, bias = (
        np.random.default_rng(4).choice(np.array([-2, -1, -0.0, 1, 2], dtype), size)
        for size in (shape, shape[1])
    )
    device_y = xp.asarray(y.copy())
    if xp is np:
        gemm.add_bias(device_y, bias, gemm.ceiling_of(fuse_relu, y))
    else:
        im2col.add_bias(device_y, xp.asarray(bias), fuse_relu)
    assert_same(
        device_y, (ref.relu_up(y + bias, fuse_relu) if fuse_relu else y + bias).astype(dtype)
    )


@pytest.mark.parametrize(
    ("images", "size", "shape", "settings", "want"),
    [
        (32, (13, 13), (3, 3, 256, 384), dict(size=3, pad=1), (True, True)),  # the paper's conv3
        (32, (26, 26), (5, 5, 96, 256), dict(size=5, stride=2), (True, True)),  # its conv2
        # too few places for the filters
        (1, (7, 7), (3, 3, 512, 512), dict(size=3, pad=1), (True, False)),
        (1, (13, 13), (3, 3, 256, 384), dict(size=3, pad=1), (True, True)),
        (128, (16, 16), (3, 3, 48, 96), dict(size=3, pad=1), (True, True)),  # conv2 of zf64
        (128, (16, 16), (5, 5, 32, 64), dict(size=5, pad=2), (True, True)),  # of zf32
        (128, (16, 16), (5, 5, 8, 64), dict(size=5, pad=2), (True, False)),  # too few channels
        (3, (8, 8), (3, 3, 96, 128), dict(size=3, pad=1), (True, True)),
        (3, (8, 8), (3, 3, 32, 48), dict(size=3, pad=1), (True, False)),  # too little work in all
        (512, (1, 1), (3, 3, 256, 384), dict(size=3), (True, False)),  # a tile for one place
        (32, (110, 110), (6, 6, 3, 96), dict(size=6, stride=2), (True, False)),  # too few channels
        (32, (110, 110), (7, 7, 3, 96), dict(size=7, stride=2), (False, False)),  # four taps
        (32, (55, 55), (1, 1, 64, 64), dict(size=1), (False, False)),
        (32, (55, 55), (3, 1, 64, 64), dict(size=(3, 1)), (False, False)),
    ],
)
def test_auto_is_a_function_of_the_shapes(images, size, shape, settings, want):
    window = Conv(shape[3], **settings).window
    given = [
        (n - 1) * s + k - 2 * p
        for n, s, k, p in zip(size, window.stride, window.size, window.pad, strict=False)
    ]
    conv = Shape(images, tuple(given), shape, window)
    assert (
        conv.out_size == size
        and (winograd.supports(conv, forced=True), winograd.supports(conv)) == want
    )


def test_the_table_is_one_of_equal_modules():
    for module in ALGORITHMS.values():
        for name in ("supports", "forward", "transpose", "weight_gradient"):
            assert inspect.isfunction(getattr(module, name)), f"{module.__name__} lacks {name}"
            names = list(inspect.signature(getattr(module, name)).parameters)
            assert names == list(inspect.signature(getattr(gemm, name)).parameters), (
                f"{module.__name__}.{name}"
            )
    assert set(CHOICES) - {"auto"} <= set(ALGORITHMS)


def test_an_algorithm_that_is_not_there_is_refused():
    layer = make(np, "float32", (7, 6, 2), 3, dict(size=3))[0]
    with pytest.raises(ValueError, match=r"'fft' is not one of: auto, gemm, winograd, direct\."):
        layer.forward(np.zeros((1, 7, 6, 2), "float32"), execution=Execution("fft"))


@pytest.fixture
def asked(monkeypatch):
    """The algorithms that are asked for while a test runs."""
    found, choose = [], conv.choose
    monkeypatch.setattr(
        conv,
        "choose",
        lambda algorithm, *shape: found.append(algorithm) or choose(algorithm, *shape),
    )
    return found


def test_the_ways_down_are_computed_as_the_way_up_was(asked):
    """The cache says how; the net may have been told otherwise since."""
    net, x = nets.make(np, nets.FULL), nets.image()
    net.execution = Execution("winograd", 1 << 20)
    y, caches = net.forward(x)
    net.execution = GEMM
    net.backward(y, caches)
    net.deconv(y, caches)
    groups = sum(net[name].groups for name in nets.convs(nets.FULL))
    assert asked.count("winograd") == 4 * groups, "up, two gradients, down"


def test_a_net_says_how_all_of_it_is_computed(asked):
    """Whole maps and windows, up and down, a unit alone and a changed square; `exact` is a net that
    says otherwise.
    """
    net, x = nets.make(np, nets.FULL), nets.image()
    net.execution = Execution("direct")
    y, caches = net.forward(x)
    net.backward(y, caches)
    project_units(net, x, "relu2", [(0, 1, 2, 3)])
    maps = ForwardPass(net, x).maps
    perturbed.forward(net, maps, x[:, 2:6, 2:6], np.array([[2, 2]]), ["relu2"])
    assert set(asked) == {"direct"}
    asked.clear()
    exact(net).forward(x)
    assert set(asked) == {"gemm"} and net.execution == Execution("direct")


CALLS = """
import sys, numpy as np
from rawconv.layers import Execution
from rawconv.layers.conv import Conv

for images, size, channels, filters in {shapes}:
    layer, rng = Conv(filters, 3, pad=1), np.random.default_rng(0)
    layer.build((size, size, channels), rng)
    x, calls = rng.standard_normal((images, size, size, channels), np.float32), []
    y, cache = layer.forward(x, execution=Execution("{algorithm}"))
    for gate in (None, (y, np.inf)):
        layer.backward(y, cache, gate)
        calls.clear()
        sys.setprofile(lambda frame, event, argument: event == "call" and calls.append(frame.f_code.co_filename))
        layer.backward(y, cache, gate)
        sys.setprofile(None)
        print(len(calls) - sum(file.endswith("handover.py") for file in calls))  # these are compiled
"""


@pytest.mark.parametrize("algorithm, most, shapes", [
    ("direct", 40, [(1, 8, 96, 96), (1, 8, 128, 128), (3, 8, 64, 64)]),
    ("gemm", 40, [(2, 6, 4, 5), (3, 8, 96, 5)]),
    ("winograd", 40, [(1, 16, 48, 96), (3, 16, 48, 96), (3, 8, 128, 128), (128, 8, 96, 128)]),
])  # fmt: skip
def test_a_convolution_back_takes_few_python_calls(algorithm, most, shapes):
    """With small batches they would take as long as the work: with and without the way back of a
    ReLU above, on one thread.
    """
    environment = os.environ | {"RAWCONV_NUM_THREADS": "1"}
    text = CALLS.format(shapes=shapes, algorithm=algorithm)
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    counts = [int(count) for count in done.stdout.split()]
    assert len(counts) == 2 * len(shapes) and max(counts) <= most, counts


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(3, 3, 32, 48), (5, 4, 16, 16), (1, 1, 48, 32), (3, 2, 5, 16), (2, 3, 16, 5)]
)
def test_turned_filters_are_those_of_the_way_back(shape, dtype):
    """Whole tiles of vectors, and what has none; NaN and -0 as they are."""
    weight = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    weight[0, 0, 0, 0], weight[-1, -1, -1, -1] = np.nan, -0.0
    kh, kw, channels, filters = shape
    want = np.empty((kh, kw, filters, channels), dtype)
    for k, j, c, f in np.ndindex(shape):
        want[k, j, f, c] = weight[kh - 1 - k, kw - 1 - j, c, f]
    for given in (weight, np.repeat(weight, 2, axis=3)[..., ::2]):
        got = turn(given)
        assert got.flags.c_contiguous and got.tobytes() == want.tobytes()
