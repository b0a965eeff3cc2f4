"""ONNX out: onnxruntime scores as we do, and what we read back is the same net."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawconv import models
from rawconv.convert.read import import_net
from rawconv.convert.to_onnx import export, to_onnx
from rawconv.data.preprocessing import center_crop, preprocess, stored_size
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net

onnx = pytest.importorskip(
    "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
)
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed (pip install onnxruntime)"
)


def theirs(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": x.transpose(0, 3, 1, 2).astype(np.float32)})[0]


def check(net, path, count=3):
    """Export; onnxruntime's scores are ours, on its own way from the pixels; so are those of the
    net read back.
    """
    export(net, path)
    onnx.checker.check_model(str(path), full_check=True)
    size = stored_size(net)
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    ours = net.forward(preprocess(net, images), keep=False)[0].reshape(count, -1)
    again = import_net(path)
    back = again.net.forward(preprocess(again.net, images), keep=False)[0].reshape(count, -1)
    scale = np.abs(ours).max()
    assert scale > 0 and stored_size(again.net) == size and again.net.classes == net.classes
    assert np.abs(theirs(path, center_crop(net, images)) - ours).max() <= 1e-5 * scale
    assert np.abs(back - ours).max() <= 1e-5 * scale
    return again


def trained_like(net):
    """Biases that are not 0, and weights that keep signals alive."""
    rng = np.random.default_rng(1)
    for name, layer in net.layers:
        if isinstance(layer, Conv):
            first = name == net.layers[0][0]
            std = np.sqrt(2 / np.prod(layer.weight.shape[:3])) / (50 if first else 1)
            layer.weight[:] = std * rng.standard_normal(layer.weight.shape)
            layer.bias[:] = 0.1 * rng.random(layer.bias.shape)
    return net


@pytest.mark.parametrize("model", ["lenet", "zf32", "zf64", "alex64-groups"])
def test_our_models(model, tmp_path):
    net = trained_like(models.build(model, ["a", "é", "c"], seed=2))
    net.pixel_mean = (
        np.random.default_rng(3).uniform(90, 130, (*net.shape[:2], 3)).astype(np.float32)
    )
    again = check(net, tmp_path / "net.onnx")
    assert [name for name, _ in again.net.layers] == [name for name, _ in net.layers]
    pools = [(a[1].settings, b[1].settings) for a, b in zip(net.layers, again.net.layers, strict=True)
             if isinstance(a[1], MaxPool | LRN | Dropout | ReLU) and not isinstance(a[1], Dropout)]  # fmt: skip
    for want, got in pools:
        assert want == pytest.approx(got) if "alpha" in want else want == got


@pytest.mark.parametrize("model", ["zfnet", "alexnet-groups"])
def test_large_images_and_their_crop(model, tmp_path):
    """The paper's nets, an eighth as wide: pictures are kept in 256, and a mean picture is of that size."""
    shape, layers = models.MODELS[model](10)
    narrow = [(name, type(layer)(**layer.settings | {"filters": layer.filters // (8 if name != "fc8" else 1)}))
              if isinstance(layer, Conv) else (name, layer) for name, layer in layers]  # fmt: skip
    net = trained_like(Net(shape, narrow, list("abcdefghij"), None, model, 1, stored=(256, 256)))
    assert stored_size(check(net, tmp_path / "net.onnx", 1).net) == 256
    net.pixel_mean = np.random.default_rng(3).uniform(90, 130, (256, 256, 3)).astype(np.float32)
    again = check(net, tmp_path / "net.onnx", 1).net
    np.testing.assert_array_equal(again.pixel_mean[16:240, 16:240], net.pixel_mean[16:240, 16:240])


@st.composite
def nets(draw):
    """Any geometry: rounding, uneven windows, strides and pads, groups, a last window that is dropped."""
    integer = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    ceil_mode = st.booleans()
    size, stride = (integer(1, 4), integer(1, 4)), (integer(1, 4), integer(1, 4))
    groups = draw(st.sampled_from([1, 3]))
    pad = tuple(integer(0, 2) for _ in range(4))
    layers = [("conv1", Conv(6, size, stride, pad, groups, draw(ceil_mode))), ("relu1", ReLU())]
    if draw(st.booleans()):
        layers.append(("norm1", LRN(draw(st.sampled_from([1, 3, 5])), 1e-3, 0.75, 1.5)))
    shape = Net((13, 13, 3), layers).shapes["conv1"]
    size = (integer(1, min(4, shape[0])), integer(1, min(4, shape[1])))
    pad = tuple(integer(0, k - 1) for k in size * 2)
    layers.append(("pool1", MaxPool(size, (integer(1, 5), integer(1, 5)), pad, draw(ceil_mode))))
    shape = Net((13, 13, 3), layers).shapes["pool1"]
    if draw(st.booleans()):
        layers += [("conv2", Conv(4, 1, groups=2)), ("relu2", ReLU())]
    layers += [("fc3", Conv(7, None)), ("relu3", ReLU()), ("fc4", Conv(3, None))]
    return trained_like(
        Net((13, 13, 3), layers, list("abc"), np.full((13, 13, 3), 120, np.float32))
    )


@given(net=nets())
def test_any_geometry(net, tmp_path_factory):
    check(net, tmp_path_factory.mktemp("any") / "net.onnx")


def test_float64_weights_become_float32(tmp_path):
    net = trained_like(models.build("lenet", 3)).astype("float64")
    check(net, tmp_path / "net.onnx")
    assert all(t.data_type == onnx.TensorProto.FLOAT for t in to_onnx(net).graph.initializer)
