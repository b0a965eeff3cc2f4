"""ONNX in: scores as onnxruntime's for the model zoo's graphs, PyTorch's exports and any chain;
refusals by name.
"""

import hashlib
import io
import os
import pathlib
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from rawconv.convert import Wanted, onnx_net
from rawconv.convert.read import import_net
from rawconv.convert.verify import file_input, verify
from rawconv.data.preprocessing import center_crop, preprocess, stored_image
from rawconv.errors import RawconvError
from rawconv.layers.conv import Conv
from rawconv.layers.lrn import LRN
from rawconv.layers.max_pool import MaxPool

onnx = pytest.importorskip(
    "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
)
pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed: no witness (pip install onnxruntime)"
)
files = pytest.importorskip("onnx_files")
Chain, LIGHT, finish, small = files.Chain, files.LIGHT, files.finish, files.small
ROOT = pathlib.Path(__file__).parent.parent
SCENE = ROOT / "docs/pictures/scene.png"


def agree(path, wanted=None, count=2, **how):
    """Import, and compare the scores of random pictures, and of a scene and a photograph, with
    onnxruntime's.
    """
    found = import_net(path, wanted, **how)
    net = found.net
    rng = np.random.default_rng(0)
    size = stored_image(net, np.zeros((3, 3, 3), np.uint8)).shape[0]
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    for image in images:
        ours = net.forward(preprocess(net, image[None]), keep=False)[0].reshape(-1).astype(float)
        if found.foreign.softmax:
            ours -= ours.max() + np.log(np.exp(ours - ours.max()).sum())
        x = file_input(center_crop(net, image[None]), found.pixels, size)
        theirs = onnx_net.scores(path, x, found.wanted).reshape(-1).astype(float)
        if found.foreign.softmax == "softmax":
            theirs = np.log(np.maximum(theirs, 1e-300))
        assert theirs.shape == ours.shape
        likely = theirs > theirs.max() - 20  # beyond, a softmax in float32 has rounded
        scale = max(np.abs(theirs)[likely].max(), 1 if found.foreign.softmax else 0)
        assert np.abs(ours - theirs)[likely].max() <= 1e-4 * scale
    for image in [SCENE, *photographs(path.parent)]:
        assert verify(found, image)["difference"] <= 1e-4
    return found


def photographs(folder):
    """[a photograph], where there are any, put into `folder`."""
    source = pathlib.Path(os.environ.get("RAWCONV_PHOTOS", ""), "tinyimagenet10.zip")
    if not source.is_file():
        return []
    with zipfile.ZipFile(source) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".JPEG"))
        return [archive.extract(name, folder)]


@pytest.mark.parametrize("name", ["zfnet512", "bvlc_alexnet", "caffenet"])
def test_the_model_zoo_s_graphs_with_random_weights(name, tmp_path):
    """caffenet is bvlc_alexnet with each norm after its pool; an eighth as wide, at full size."""
    path = files.zoo("bvlc_alexnet" if name == "caffenet" else name, tmp_path / "net.onnx")
    if name == "caffenet":
        model = onnx.load(path)
        nodes = model.graph.node
        for k in [k for k, node in enumerate(nodes) if node.op_type == "LRN"]:
            norm, pool = (
                type(nodes[k]).FromString(nodes[i].SerializeToString()) for i in (k, k + 1)
            )
            pool.input[0], norm.output[0] = norm.input[0], pool.output[0]
            pool.output[0] = norm.input[0] = f"swapped{k}"
            nodes[k].CopyFrom(pool)
            nodes[k + 1].CopyFrom(norm)
        onnx.save(model, path)
    found = agree(path, count=1)
    assert found.pixels.order == "bgr" and found.info["imported"]["pictures"] == "kept in 256x256"
    kinds = [type(layer) for _, layer in found.net.layers]
    assert (kinds.index(LRN) > kinds.index(MaxPool)) == (name == "caffenet")
    assert found.net.layers[0][0] == "conv1" and found.net.layers[-1][0][:2] == "fc"


def test_weights_computed_by_constant_of_shape():
    """The model zoo's light file of bvlc_alexnet, as it is: 61 million weights in 4 kB."""
    found = import_net(LIGHT / "light_bvlc_alexnet.onnx")
    assert sum(value.size for value in found.net.params.values()) == 60_965_224
    assert found.net["conv2"].groups == 2 and np.ptp(found.net["fc6"].weight) == 0


# PyTorch's exporter


torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: no exporter to read from (pip install torch)"
)
nn = torch.nn
WINDOW = {
    "lrn, groups, ceil pooling": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 1), nn.ReLU(), nn.LocalResponseNorm(5, 0.5, 0.75, 2.0),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(8, 12, 3, groups=4, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.LocalResponseNorm(3, 0.3, 0.6, 1.5), nn.Flatten(), nn.Dropout(), nn.Linear(12 * 9, 20), nn.ReLU(),
        nn.Linear(20, 7),
    ),
    "batch norm, averages": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=(0, 1), bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
        nn.LogSoftmax(1),
    ),
    "no convolution": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 31 * 31, 9), nn.ReLU(), nn.Linear(9, 4)),
    "softmax over maps": lambda: nn.Sequential(
        nn.Conv2d(3, 5, 7, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 4), nn.Softmax(1), nn.Flatten()
    ),
}  # fmt: skip


class Viewed(nn.Module):
    """Flattens by x.view, whose shape PyTorch then computes in the graph."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        y = self.net(x)
        return y.view(y.size(0), -1)


def alive(net):
    """The net with batch norms that do something, and weights large enough for LRN to matter."""
    rng = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data = torch.rand(tensor.shape, generator=rng) + 0.5
    return net.eval()


def exported(net, path, side=31, newer=False, **how):
    if newer:
        pytest.importorskip(
            "onnxscript", reason="onnxscript is not installed: PyTorch's newer exporter needs it"
        )
        torch.onnx.export(
            net, (torch.zeros(1, 3, side, side),), str(path), dynamo=True, verbose=False
        )
        return path
    out = io.BytesIO()
    torch.onnx.export(
        net, torch.zeros(1, 3, side, side), out, dynamo=False, input_names=["x"], **how
    )
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.filterwarnings("ignore")  # the exporter's own, about itself
@pytest.mark.parametrize("how", ["plain", "dynamic batch", "as written", "newer"])
@pytest.mark.parametrize("kind", WINDOW)
def test_what_pytorch_exports(kind, how, tmp_path):
    torch.manual_seed(0)
    net = alive(WINDOW[kind]())
    options = {
        "plain": {},
        "dynamic batch": {"dynamic_axes": {"x": {0: "n"}}},
        "newer": {"newer": True},
        "as written": {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False},
    }[how]
    path = exported(
        Viewed(net).eval() if how == "dynamic batch" else net, tmp_path / "net.onnx", **options
    )
    found = agree(path)
    image = np.asarray(Image.open(SCENE).convert("RGB").resize((31, 31)))
    with torch.no_grad():
        theirs = net(torch.tensor(file_input(image[None], found.pixels, 31))).numpy().reshape(-1)
    ours = found.net.forward(preprocess(found.net, image[None]), keep=False)[0].reshape(-1)
    ours = {"": lambda s: s, "softmax": lambda s: np.exp(s - s.max()) / np.exp(s - s.max()).sum(),
            "log": lambda s: s - s.max() - np.log(np.exp(s - s.max()).sum())}[found.foreign.softmax](ours)  # fmt: skip
    assert np.ptp(theirs) > 0 and np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
    assert found.info["imported"]["conventions"]["pixels"].startswith("assumed of pytorch")


@pytest.mark.parametrize("opset", [9, 13, 17, 22])
@pytest.mark.parametrize("seed", range(15))
def test_any_chain_scores_as_in_onnxruntime(seed, opset, tmp_path):
    agree(files.random_chain(100 * opset + seed, opset).save(tmp_path / "net.onnx"))


def test_channels_last_as_tf2onnx_writes_them(tmp_path):
    """Keras' route: NHWC in, transposed to NCHW, back to NHWC before it is flattened."""
    chain = Chain((1, 12, 13, 3)).add("Transpose", perm=[0, 3, 1, 2]).conv(4, 3, 3).add("Relu")
    found = agree(
        finish(chain.add("Transpose", perm=[0, 2, 3, 1]), 440).save(tmp_path / "net.onnx")
    )
    assert found.net.shape == (12, 13, 3) and found.net.stored == (13, 13)
    chain = Chain((1, 12, 12, 3))
    chain.add("Sub", chain.constant(np.array([100, 110, 120], np.float32))).add(
        "Transpose", perm=[0, 3, 1, 2]
    )
    chain.conv(4, 3, 3).add("Relu").add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    chain.add("Transpose", perm=[0, 2, 3, 1]).add("Reshape", chain.constant(np.array([-1, 100])))
    agree(chain.add("MatMul", chain.weight(100, 4)).add("Softmax").save(tmp_path / "net.onnx"))


def test_weights_beside_the_file(tmp_path):
    model = finish(small()).model()
    onnx.save(model, tmp_path / "inside.onnx")
    names = dict(save_as_external_data=True, location="weights.bin", size_threshold=0)
    onnx.save(model, tmp_path / "net.onnx", **names)
    found, inside = agree(tmp_path / "net.onnx"), import_net(tmp_path / "inside.onnx")
    for key, value in inside.net.params.items():
        np.testing.assert_array_equal(found.net.params[key], value)
    assert list(found.info["imported"]["files"]) == ["weights.bin"]
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data[:-4])
    with pytest.raises(RawconvError, match=r"weights\.bin is too short"):
        import_net(tmp_path / "net.onnx")
    for location in ("../weights.bin", "/etc/passwd", "folder/weights.bin", ""):
        model = onnx.load(tmp_path / "net.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            next(
                entry for entry in tensor.external_data if entry.key == "location"
            ).value = location
        (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(RawconvError, match="no file in the same folder"):
            import_net(tmp_path / "other.onnx")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floats_become_single(dtype, tmp_path):
    """The chain is not run by onnxruntime here, which lacks some of these types: the weights are compared."""
    chain = finish(small())
    path, names = (
        chain.save(tmp_path / "single.onnx"),
        {"float16": 10, "bfloat16": 16, "float64": 11},
    )
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        kind = onnx.helper.tensor_dtype_to_np_dtype(names[dtype])
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(
                onnx.numpy_helper.to_array(tensor).astype(kind), tensor.name
            )
        )
    onnx.save(model, tmp_path / "net.onnx")
    want, got = import_net(path).net.params, import_net(tmp_path / "net.onnx").net.params
    for key, value in want.items():
        assert got[key].dtype == np.float32
        np.testing.assert_allclose(got[key], value, rtol=1e-2, atol=1e-3)


def test_preprocessing_inside_the_file(tmp_path):
    """A mean picture and a scale become the net's own mean and part of conv1; what is outside is
    told by options.
    """
    chain = Chain((1, 3, 12, 12))
    chain.add("Mul", chain.constant(np.float32(0.5)))
    chain.add("Sub", chain.constant(chain.rng.uniform(40, 60, (1, 3, 12, 12)).astype(np.float32)))
    found = agree(finish(chain.conv(4, 3, 3)).save(tmp_path / "net.onnx"))
    assert found.net.pixel_mean.shape == (12, 12, 3) and 80 < found.net.pixel_mean.mean() < 120
    changes = {"order": "bgr", "mean": (10.0, 20.0, 30.0), "std": (2.0, 3.0, 4.0)}
    agree(tmp_path / "net.onnx", changes=changes)


def test_what_the_file_says_of_its_pixels(tmp_path):
    model = finish(small()).model(
        metadata={"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_1_1"}
    )
    onnx.save(model, tmp_path / "net.onnx")
    pixels = agree(tmp_path / "net.onnx").pixels
    assert (pixels.order, pixels.mean[0], pixels.std[0]) == ("bgr", 127.5, 127.5)


def test_other_outputs_are_passed_by(tmp_path):
    """A file that shows what its first layer makes, before its scores."""
    model = finish(small()).model()
    model.graph.output.insert(0, onnx.helper.make_tensor_value_info("t1", 1, None))
    onnx.save(model, tmp_path / "net.onnx")
    assert agree(tmp_path / "net.onnx").net.shapes["fc2"] == (1, 1, 4)


def test_a_size_left_open_is_asked_for(tmp_path):
    path = finish(Chain((1, 3, "h", "w")).conv(4, 3, 3)).save(tmp_path / "net.onnx")
    with pytest.raises(RawconvError, match=r"leaves the size .*--size 224"):
        import_net(path)
    agree(path, Wanted(size=12))
    with pytest.raises(RawconvError, match="does not fit maps of 11x11x4"):
        import_net(path, Wanted(size=13))


def test_layers_keep_the_file_s_names_in_the_provenance(tmp_path):
    found = import_net(finish(small()).save(tmp_path / "net.onnx", producer="mine"))
    about = found.info["imported"]
    assert about["layers"] == {"conv1": "Conv_t0", "fc2": "Gemm_t3"} and about["format"] == "ONNX"
    assert about["sha256"] == hashlib.sha256((tmp_path / "net.onnx").read_bytes()).hexdigest()
    assert isinstance(found.net["fc2"], Conv) and "assumed" in about["pixels"]


def test_names_that_are_no_utf8(tmp_path):
    """protobuf makes bytes of them."""
    chain = finish(small(), 400)
    data = chain.model().SerializeToString()
    name = chain.nodes[0].name.encode()
    assert data.count(b"\x1a" + bytes([len(name)]) + name) == 1
    path = tmp_path / "net.onnx"
    path.write_bytes(
        data.replace(
            b"\x1a" + bytes([len(name)]) + name, b"\x1a" + bytes([len(name)]) + b"\xff" * len(name)
        )
    )
    assert "xff" in import_net(path).info["imported"]["layers"]["conv1"]


def test_without_the_onnx_package_its_extra_is_named(tmp_path, monkeypatch):
    path = finish(small()).save(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(RawconvError, match=r"pip install 'rawconv\[onnx\]'"):
        import_net(path)


def test_padding_that_is_told_by_its_result_is_more_below_or_more_above():
    """7 rows under windows of 4, 2 apart, need 3 more; 9 columns under windows of 2, 3 apart, none."""
    from rawconv.convert.onnx_windows import window

    about = {"strides": [2, 3], "pads": [5, 5, 5, 5]}
    for kind, pad in (
        ("SAME_UPPER", (1, 0, 2, 0)),
        ("SAME_LOWER", (2, 0, 1, 0)),
        ("VALID", (0,) * 4),
        ("NOTSET", (5,) * 4),
    ):
        assert window(about | {"auto_pad": kind}, (7, 9, 3), (4, 2)) == (
            (4, 2),
            (2, 3),
            pad,
            (1, 1),
        )
    assert window({"auto_pad": "SAME_UPPER"}, (7, 9, 3), (3, 5)) == (
        (3, 5),
        (1, 1),
        (1, 2, 1, 2),
        (1, 1),
    )
    apart = {"auto_pad": "SAME_UPPER", "dilations": [2, 3]}
    assert window(apart, (7, 9, 3), (3, 2)) == ((3, 2), (1, 1), (2, 1, 2, 2), (2, 3))


def test_the_length_of_a_norm_written_as_an_average_over_channels():
    """A window of 1 x 1 places: its first number; strides and padding may be left out; anything
    else is no norm.
    """
    from rawconv.convert.onnx_lrn import _depth

    counted = {"count_include_pad": 1}
    for about, size, pads in (
        ({"kernel_shape": [5, 1]}, 5, [0, 0]),
        ({"kernel_shape": [5, 1, 1]}, 5, [0, 0]),
        (
            {"kernel_shape": [5, 1, 1], "strides": [1, 1, 1], "pads": [2, 0, 0, 1, 0, 0]} | counted,
            5,
            [2, 1],
        ),
        ({"kernel_shape": [5, 1], "pads": [2, 0, 3, 0]} | counted, 5, [2, 3]),
        ({"kernel_shape": [5, 1], "pads": [2, 0, 3, 0]}, None, [0, 0]),
        ({"kernel_shape": [5, 1], "pads": [2, 1, 3, 0]} | counted, None, [0, 0]),
        ({"kernel_shape": [5, 3]}, None, [0, 0]),
        ({"kernel_shape": [5, 1], "strides": [2, 1]}, None, [0, 0]),
    ):
        found = [0, 0]
        assert (_depth(about, found), found) == (size, pads), about
