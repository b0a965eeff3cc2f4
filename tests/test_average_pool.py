"""AveragePool: what is counted at the border, the transpose, windows of the whole map; and PyTorch
as a witness.
"""

import numpy as np
import pytest
import reference as ref
from hypothesis import given
from hypothesis import strategies as st
from laws import assert_close, assert_same, check_adjoint, check_backward, strided
from projecting import project_units

from rawconv import checkpoint
from rawconv.layers import GEMM, GRADIENT, PAPER, Rules
from rawconv.layers.average_pool import COUNTS, AveragePool
from rawconv.layers.conv import Conv
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project
from rawconv.visualize.receptive_field import fields
from rawconv.visualize.trace import table

#        name            batch  (H, W, C)  settings
CASES = {
    "clipped": (3, (8, 6, 2), dict(size=3, stride=2)),
    "exact": (2, (7, 9, 3), dict(size=3, stride=2)),
    "floor": (3, (8, 6, 2), dict(size=3, stride=2, ceil_mode=False)),
    "stride 1, as in Inception": (1, (5, 6, 17), dict(size=3, pad=1)),
    "stride > window": (2, (9, 10, 2), dict(size=(2, 1), stride=3)),
    "asymmetric pad": (2, (6, 7, 2), dict(size=(3, 4), stride=(2, 3), pad=(0, 2, 1, 1))),
    "pad, last dropped": (1, (4, 5, 3), dict(size=2, stride=(3, 2), pad=1)),
    "the whole map": (2, (7, 6, 5), dict(size=None)),
    "no images": (0, (7, 6, 5), dict(size=3, stride=2)),
}


def built(settings, shape):
    layer = AveragePool(**settings)
    layer.build(shape)
    return layer


def check_three_passes(xp, dtype, batch, shape, settings, seed=0):
    layer, rng = built(settings, shape), np.random.default_rng(seed)
    named = settings | {"size": settings["size"] or shape[:2]}
    x = rng.standard_normal((batch, *shape)).astype(dtype)
    y, cache = layer.forward(xp.asarray(x))
    limit = 1e-13 if dtype == "float64" else 1e-6
    assert y.dtype == dtype and y.shape[1:] == layer.out_shape(shape)
    assert_close(y, ref.average_up(x, **named), limit)
    r = rng.standard_normal(y.shape).astype(dtype)
    down = ref.average_down(r, x.shape, **named)
    dx, grads = layer.backward(xp.asarray(r), cache)
    assert grads == {} and dx.dtype == dtype
    assert_close(dx, down, limit)
    for rules in (PAPER, GRADIENT, Rules("guided", "identity", "max")):
        assert_same(layer.deconv(xp.asarray(r), cache, rules), to_cpu(dx))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("case", CASES)
def test_the_three_passes_equal_the_equations(case, count, xp, dtype):
    batch, shape, settings = CASES[case]
    check_three_passes(xp, dtype, batch, shape, settings | {"count": count})


def test_an_average_by_hand(xp, dtype):
    """3x3/2 with a pad of 1 on a 3x4 map, ceil: the last column of windows holds two cells and
    hangs over the pad.
    """
    image = np.arange(1, 13, dtype=dtype).reshape(1, 3, 4, 1)
    sums = np.array(
        [
            [1 + 2 + 5 + 6, 2 + 3 + 4 + 6 + 7 + 8, 4 + 8],
            [5 + 6 + 9 + 10, 6 + 7 + 8 + 10 + 11 + 12, 8 + 12],
        ]
    )
    counts = {
        "map": [[4, 6, 2], [4, 6, 2]],
        "padded": [[9, 9, 6], [9, 9, 6]],
        "window": [[9, 9, 9], [9, 9, 9]],
    }
    for count, numbers in counts.items():
        layer = AveragePool(3, 2, pad=1, count=count)
        y, cache = layer.forward(xp.asarray(image))
        assert_same(to_cpu(y).squeeze(), (sums.astype(dtype) / np.array(numbers, dtype)))
        assert layer.counts((3, 4)).squeeze().tolist() == numbers
        down = to_cpu(
            layer.deconv(xp.asarray(np.array(numbers, dtype).reshape(1, 2, 3, 1)), cache)
        ).squeeze()
        assert down.tolist() == [[1, 2, 1, 2], [2, 4, 2, 4], [1, 2, 1, 2]], (
            "each window sends its value to each cell"
        )


@st.composite
def pools(draw):
    size = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    pad = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
    stride = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    h = draw(st.integers(max(1, size[0] - 2 * pad[0]), 9))
    w = draw(st.integers(max(1, size[1] - 2 * pad[1]), 9))
    settings = dict(
        size=size,
        stride=stride,
        pad=pad,
        ceil_mode=draw(st.booleans()),
        count=draw(st.sampled_from(COUNTS)),
    )
    return draw(st.integers(1, 2)), (h, w, draw(st.integers(1, 4))), settings


@given(case=pools())
def test_any_geometry_equals_the_equations_and_is_as_large_as_max_pool_s(case, xp):
    check_three_passes(xp, "float64", *case)
    _, shape, settings = case
    same = {name: value for name, value in settings.items() if name != "count"}
    assert AveragePool(**settings).out_shape(shape) == MaxPool(**same).out_shape(shape)


@given(case=pools())
def test_down_is_the_transpose_of_up(case, xp):
    batch, shape, settings = case
    layer, rng = built(settings, shape), np.random.default_rng(3)
    x = rng.standard_normal((batch, *shape))
    y, cache = layer.forward(xp.asarray(x))
    up, down = (
        lambda x: layer.forward(xp.asarray(x))[0],
        lambda r: layer.deconv(xp.asarray(r), cache),
    )
    check_adjoint(up, down, x, rng.standard_normal(y.shape))


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_finite_differences(case, xp):
    batch, shape, settings = CASES[case]
    check_backward(
        xp, built(settings, shape), np.random.default_rng(4).standard_normal((batch, *shape))
    )


def test_a_layer_of_real_size_is_the_same_whatever_it_is_cut_into(xp):
    if xp is not np:
        pytest.skip("real layer sizes are for the CPU run and real cards")
    x = np.random.default_rng(0).standard_normal((3, 35, 34, 192)).astype("float32")
    layer = AveragePool(3, pad=1)
    y, cache = layer.forward(x)
    for n in range(3):
        assert_same(layer.forward(x[n : n + 1])[0], y[n : n + 1])
        assert_same(layer.deconv(y[n : n + 1], cache), layer.deconv(y, cache)[n : n + 1])


def test_arrays_that_are_not_contiguous(xp, dtype):
    layer, rng = AveragePool(3, 2, 1), np.random.default_rng(6)
    x, r = (
        rng.standard_normal((3, 7, 6, 4)).astype(dtype),
        rng.standard_normal((3, 4, 4, 4)).astype(dtype),
    )
    y, cache = layer.forward(xp.asarray(x))
    down = to_cpu(layer.deconv(xp.asarray(r), cache))
    for odd_x, odd_r in zip(strided(xp, x), strided(xp, r), strict=True):
        assert_same(layer.forward(odd_x)[0], to_cpu(y))
        assert_same(layer.deconv(odd_r, cache), down)


def test_a_large_average_in_float32_loses_no_digits(xp):
    x = (100 + np.random.default_rng(0).random((1, 224, 224, 1))).astype("float32")
    y = AveragePool(224).forward(xp.asarray(x))[0]
    assert abs(float(y.item()) - x.astype("float64").mean()) < 2e-5


def test_settings_and_what_is_refused():
    with pytest.raises(ValueError, match="count 'all' is not one of: map, padded, window"):
        AveragePool(3, count="all")
    with pytest.raises(ValueError, match=r"padding .* must be smaller than its window"):
        AveragePool(2, pad=2)
    with pytest.raises(ValueError, match="smaller than the window"):
        AveragePool(3).out_shape((2, 5, 1))
    layer = built(dict(size=None), (7, 6, 5))
    assert layer.settings == AveragePool((7, 6)).settings and layer.out_shape((7, 6, 5)) == (
        1,
        1,
        5,
    )
    assert AveragePool(None).out_shape((7, 6, 5)) == (1, 1, 5), "before it is built, too"


def test_the_largest_of_a_whole_map(xp, dtype):
    """MaxPool of size None: switches of 8 bits up to 256 places, then of 16; and more than those
    hold are refused.
    """
    for size, bits in (((16, 16), "uint8"), ((16, 17), "uint16")):
        x = np.random.default_rng(1).standard_normal((2, *size, 3)).astype(dtype)
        net = Net((*size, 3), [("pool", MaxPool(None))], dtype=dtype)
        y, caches = net.forward(xp.asarray(x))
        assert_same(y, x.max(axis=(1, 2), keepdims=True))
        assert caches["pool"].switches.dtype == bits and net["pool"].settings["size"] == size
        assert_same(net.deconv(y, caches), np.where(x == x.max(axis=(1, 2), keepdims=True), x, 0))
    with pytest.raises(ValueError, match="65,535 places"):
        Net((256, 256, 3), [("pool", MaxPool(None))])


def average_net(xp, shape=(23, 31, 3), last="average"):
    layers = [
        ("conv1", Conv(6, 3, pad=1, init_std="he")), ("relu1", ReLU()),
        ("pool1", AveragePool(3, 2, (1, 0), count="padded")),
        ("conv2", Conv(5, 3, init_std="he")), ("relu2", ReLU()), ("pool2", AveragePool(2, 2)),
        ("conv3", Conv(5, 2, init_std="he")), ("relu3", ReLU()),
        ("pool3", AveragePool(None) if last == "average" else MaxPool(None)), ("scores", Conv(4, 1, init_std="he")),
    ]  # fmt: skip
    net = Net(shape, layers, ["a", "b", "c", "d"], seed=1, dtype="float64")
    net.execution = GEMM
    for _, layer in net.layers:
        if layer.params:
            layer.weight, layer.bias = xp.asarray(layer.weight), xp.asarray(layer.bias + 0.1)
    return net


@pytest.mark.parametrize("last", ["average", "max"])
def test_a_checkpoint_keeps_it(tmp_path, last):
    net = average_net(np, last=last)
    checkpoint.save(tmp_path / "net.h5", net, {})
    again = checkpoint.load(tmp_path / "net.h5").net
    x = np.random.default_rng(0).standard_normal((2, *net.shape))
    assert_same(again.forward(x)[0], net.forward(x)[0])
    assert [layer.settings for _, layer in again.layers] == [
        layer.settings for _, layer in net.layers
    ]


def test_the_trace_and_the_field_of_an_average(tmp_path):
    net = average_net(np, (31, 31, 3))
    assert fields(net)["pool1"].size == (5, 5) and fields(net)["pool1"].start == (-2, -1)
    image = np.random.default_rng(0).integers(0, 255, net.shape).astype(np.uint8)
    steps = next(project(forward_pass(net, image), ["scores:1"])).steps()
    words = [line.split()[:2] for line in table(steps).splitlines()[1:]]
    assert ["pool3", "spread"] in words and ["pool1", "spread"] in words
    step = next(step for step in steps if step.layer == "pool3").r
    assert_close(step, np.broadcast_to(step.mean(axis=(0, 1), keepdims=True), step.shape), 1e-12)


def test_torch_agrees_at_every_border():
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: no witness (pip install torch)"
    )
    from torch.nn import functional

    rng = np.random.default_rng(0)
    for size, stride, pad, shape in [(3, 2, 1, (8, 7)), (3, 2, 0, (8, 8)), (2, 2, 0, (7, 6)), (3, 1, 1, (5, 6)),
                                     (4, 3, 2, (6, 9))]:  # fmt: skip
        x = rng.standard_normal((2, *shape, 3))
        for ceil_mode in (False, True):
            for include, count in ((False, "map"), (True, "padded")):
                t = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
                theirs = functional.avg_pool2d(t, size, stride, pad, ceil_mode, include)
                layer = AveragePool(size, stride, pad, ceil_mode, count)
                y, cache = layer.forward(x)
                assert_close(y.transpose(0, 3, 1, 2), theirs.detach().numpy(), 1e-13)
                dy = rng.standard_normal(y.shape)
                theirs.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
                assert_close(
                    layer.backward(dy, cache)[0].transpose(0, 3, 1, 2), t.grad.numpy(), 1e-13
                )


@pytest.mark.parametrize("last", ["average", "max"])
def test_onnxruntime_agrees(tmp_path, last):
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed (pip install onnxruntime)"
    )
    from rawconv.convert.to_onnx import export

    net = average_net(np, last=last).astype("float32")
    export(net, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(5).standard_normal((2, *net.shape)).astype(np.float32)
    theirs = session.run(None, {"pixels": x.transpose(0, 3, 1, 2)})[0]
    assert_close(net.forward(x)[0].reshape(2, -1), theirs, 1e-5)


@pytest.mark.parametrize("layer", ["pool1", "relu2", "pool2", "relu3", "pool3", "scores"])
def test_units_come_down_through_windows_as_through_whole_maps(layer, xp):
    net, rng = average_net(xp), np.random.default_rng(0)
    x, (height, width, maps) = rng.standard_normal((2, *net.shape)), net.shapes[layer]
    units = np.stack([rng.integers(0, most, 30) for most in (2, maps, height, width)], axis=1)
    r, _ = project_units(net, xp.asarray(x), layer, units)
    full, _ = project_units(net, xp.asarray(x), layer, units, full=True)
    assert_close(r, to_cpu(full), 1e-12)
