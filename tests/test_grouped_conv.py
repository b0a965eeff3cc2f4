"""Filters with holes, one filter a map, many groups: PyTorch as a witness, files, and what runs
beside what.
"""

import numpy as np
import pytest
from conv_cases import make
from laws import assert_close, assert_same

from rawconv import checkpoint
from rawconv.layers import GEMM, Execution
from rawconv.layers.conv import Conv
from rawconv.layers.cpu import choose, depthwise, gemm
from rawconv.layers.relu import ReLU
from rawconv.layers.window import Window
from rawconv.machine.arrays import to_cpu
from rawconv.net import Net

#        name             (H, W, C)     filters, settings
CASES = {
    "dilated": ((11, 9, 3), 4, dict(size=3, stride=2, pad=(2, 3), dilation=(2, 3))),
    "depthwise": ((9, 8, 19), 19, dict(size=3, stride=2, pad=1, groups=19)),
    "depthwise, dilated": ((9, 8, 16), 16, dict(size=(3, 2), pad=2, groups=16, dilation=2)),
    "ResNeXt": ((6, 5, 64), 96, dict(size=3, pad=1, groups=16)),
    "many groups, the last together fewer": ((5, 6, 130), 78, dict(size=2, stride=2, groups=26)),
}


@pytest.mark.parametrize("case", CASES)
def test_torch_agrees(case):
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: no witness (pip install torch)"
    )
    shape, filters, settings = CASES[case]
    layer, weight, bias, _ = make(np, "float64", shape, filters, settings | {"ceil_mode": False})
    x = np.random.default_rng(3).standard_normal((2, *shape))
    arrays = (x.transpose(0, 3, 1, 2), weight.transpose(3, 2, 0, 1), bias)
    t = [torch.tensor(np.ascontiguousarray(array), requires_grad=True) for array in arrays]
    window = layer.window
    theirs = torch.nn.functional.conv2d(
        *t, window.stride, window.pad[:2], window.dilation, layer.groups
    )
    y, cache = layer.forward(x)
    assert_close(y.transpose(0, 3, 1, 2), theirs.detach().numpy(), 1e-12)
    dy = np.random.default_rng(4).standard_normal(y.shape)
    theirs.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    dx, grads = layer.backward(dy, cache)
    assert_close(dx.transpose(0, 3, 1, 2), t[0].grad.numpy(), 1e-12)
    assert_close(grads["weight"].transpose(3, 2, 0, 1), t[1].grad.numpy(), 1e-12)
    assert_close(grads["bias"], t[2].grad.numpy(), 1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("conv", ["auto", "winograd", "direct"])
def test_what_does_not_fit_a_faster_way_goes_the_exact_one(case, conv):
    shape, filters, settings = CASES[case]
    layer = make(np, "float64", shape, filters, settings)[0]
    x = np.random.default_rng(3).standard_normal((2, *shape))
    want = layer.forward(x, execution=GEMM)[0]
    y, cache = layer.forward(x, execution=Execution(conv))
    assert_close(y, want, 1e-11)
    if conv == "winograd" and "ResNeXt" not in case:
        assert_same(y, want)
    one = np.zeros_like(y)
    one[0, 1, 1, 0] = 1
    down = layer.deconv(one, cache)
    (sh, sw), (top, left), (kh, kw) = layer.window.stride, layer.window.pad[:2], layer.window.span
    seen = slice(max(0, sh - top), sh - top + kh), slice(max(0, sw - left), sw - left + kw)
    outside = down.copy()
    outside[(0, *seen)] = 0
    assert down.any() and not outside.any()


def test_depthwise_has_loops_of_its_own_and_small_groups_one_product_together():
    window = Window.of(3, 1, 1, True)
    assert choose("auto", 1, (9, 9), (3, 3, 1, 32), window, 32).forward is depthwise.forward
    assert (
        choose("gemm", 1, (9, 9), (3, 3, 1, 32), window, 32).weight_gradient
        is depthwise.weight_gradient
    )
    assert (
        choose("auto", 32, (64, 64), (3, 3, 256, 256), window._replace(dilation=(2, 1))).forward
        is gemm.forward
    )
    seen = []
    layer = make(np, "float32", (6, 5, 128), 128, dict(size=3, pad=1, groups=32))[0]
    layer._each_part(
        lambda channels, filters, count, groups: seen.append((channels, count)) or np.zeros((1, 1)),
        np.zeros(1),
    )
    assert seen == [(slice(start, start + 64), 16) for start in (0, 64)]


def test_a_value_that_is_not_finite_stays_in_its_map(xp, dtype):
    layer = make(xp, dtype, (5, 5, 16), 16, dict(size=3, pad=1, groups=16))[0]
    x = np.ones((1, 5, 5, 16), dtype)
    x[0, 2, 2, 3] = np.nan
    y = to_cpu(layer.forward(xp.asarray(x))[0])
    assert np.isnan(y[..., 3]).any() and not np.isnan(np.delete(y, 3, axis=3)).any()


def test_one_by_one_filters_copy_nothing(monkeypatch, dtype):
    layer = make(np, dtype, (6, 5, 8), 4, dict(size=1))[0]
    x, dy = np.random.default_rng(3).standard_normal((2, 3, 6, 5, 8)).astype(dtype)
    y, cache = layer.forward(x)
    want, grads = layer.backward(dy[..., :4].copy(), cache)
    monkeypatch.setattr(gemm, "im2col", None)
    monkeypatch.setattr(gemm, "col2im", None)
    assert_same(layer.forward(x)[0], y)
    dx, again = layer.backward(dy[..., :4].copy(), cache)
    assert_same(dx, want)
    assert_same(again["weight"], grads["weight"])


def net_of_all(shape=(21, 26, 3)):
    layers = [
        ("conv1", Conv(16, 3, stride=2, pad=1, ceil_mode=False, init_std="he")), ("relu1", ReLU(6)),
        ("conv2", Conv(16, 3, pad=2, dilation=2, groups=16, init_std="he")), ("relu2", ReLU(6)),
        ("conv3", Conv(24, 1, init_std="he")), ("relu3", ReLU()),
        ("conv4", Conv(24, 3, pad=(1, 2), dilation=(1, 2), groups=8, init_std="he")), ("relu4", ReLU()),
        ("scores", Conv(3, None, init_std="he")),
    ]  # fmt: skip
    return Net(shape, layers, seed=1)


def test_a_file_keeps_dilation_and_old_settings_have_none(tmp_path):
    net, x = (
        net_of_all(),
        np.random.default_rng(0).standard_normal((2, 21, 26, 3)).astype("float32"),
    )
    checkpoint.save(tmp_path / "net.h5", net, {})
    again = checkpoint.load(tmp_path / "net.h5").net
    assert again["conv4"].window == net["conv4"].window and again["conv2"].window.dilation == (2, 2)
    assert "dilation" not in net["conv1"].settings and net["conv4"].settings["dilation"] == (1, 2)
    assert_same(again.forward(x)[0], net.forward(x)[0])


def test_onnxruntime_agrees(tmp_path):
    onnxruntime = pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed (pip install onnxruntime)"
    )
    from rawconv.convert.to_onnx import export

    net, x = (
        net_of_all(),
        np.random.default_rng(5).standard_normal((2, 21, 26, 3)).astype(np.float32),
    )
    export(net, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(
        str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"]
    )
    theirs = session.run(None, {"pixels": x.transpose(0, 3, 1, 2)})[0]
    assert_close(net.forward(x)[0].reshape(2, -1), theirs, 1e-5)


@pytest.mark.parametrize("dilation", [0, (1, -1)])
def test_a_dilation_below_1_is_refused(dilation):
    with pytest.raises(ValueError, match="dilation >= 1"):
        Conv(3, 3, dilation=dilation)
