"""rawconv-import --verify: each node beside what another library makes there of the user's own file,
and the scores before their softmax.
"""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from rawconv.convert import PIXELS, Wanted
from rawconv.convert.read import import_net
from rawconv.convert.verify import ending, verify
from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError

onnx = pytest.importorskip(
    "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
)
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed: no witness (pip install onnxruntime)"
)
torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: no nets to export (pip install torch)"
)
files = pytest.importorskip("onnx_files")
import torch_blocks  # noqa: E402
import torch_nets  # noqa: E402

RAW = PIXELS["raw"]._asdict()
SCENE = pathlib.Path(__file__).parent.parent / "docs/pictures/scene.png"


@pytest.fixture(scope="module")
def scene():
    return str(SCENE)


def saturated(path, **about):
    """A chain of three convolutions whose softmax is 1 for one class, whatever they do by a tenth."""
    chain = files.Chain((1, 3, 32, 32)).conv(6, 3, 3).add("Relu").conv(8, 6, 3, strides=[2, 2])
    chain.add("Relu").add("MaxPool", kernel_shape=[2, 2], strides=[2, 2]).conv(8, 8, 3).add("Relu")
    chain.add("GlobalAveragePool").add("Flatten")
    # the pictures, from 0 to 255, reach the scores as they are
    chain.add("Gemm", chain.weight(5, 8, scale=80), transB=1).add("Softmax", axis=1)
    return chain.save(path, **about)


def test_a_tenth_off_in_one_layer_below_a_saturated_softmax_is_found_and_named(scene, tmp_path):
    found = import_net(saturated(tmp_path / "net.onnx"))
    about = verify(found, scene)
    assert about["nodes"] == len(found.net.nodes) == 9 and about["worst"]["difference"] < 1e-5
    x = preprocess(found.net, np.asarray(Image.open(scene).convert("RGB").resize((32, 32)))[None])
    before = ending("softmax", found.net.forward(x.copy(), keep=False)[0])
    found.net["conv2"].weight *= 1.1
    after = ending("softmax", found.net.forward(x, keep=False)[0])
    assert np.abs(after - before).max() < 1e-4  # what a user is shown says nothing
    with pytest.raises(RawconvError) as error:
        verify(found, scene)
    said = str(error.value)
    assert "our map of conv2 and onnxruntime's differ by 1" in said and "e-01" in said, said
    assert "where 0.0001 is allowed" in said and "so nothing was written" in said


def test_the_command_fails_and_writes_nothing(scene, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from rawconv.cli.import_ import main
    from rawconv.convert import parts

    path, out = saturated(tmp_path / "net.onnx"), tmp_path / "net.h5"
    right, own = CliRunner().invoke(main, [str(path), str(out), "--verify", scene]), parts.own
    assert right.exit_code == 0 and out.exists(), right.output
    assert "of 9 maps " in right.stdout and " differs most, by " in right.stdout

    def tenth_off(layer, dtype):
        own(layer, dtype)
        if layer.weight.shape == (3, 3, 8, 8):
            layer.weight *= np.float32(1.1)

    monkeypatch.setattr(parts, "own", tenth_off)
    wrong = CliRunner().invoke(main, [str(path), str(tmp_path / "x.h5"), "--verify", scene])
    assert wrong.exit_code == 1 and not (tmp_path / "x.h5").exists(), wrong.output
    assert "our map of conv3 and onnxruntime's" in wrong.stderr, wrong.stderr


def exported(kind, path):
    """A small net that branches, from PyTorch's exporter, which leaves the batch norms in it."""
    net, out = torch_blocks.calibrated(torch_blocks.NETS[kind]()), io.BytesIO()
    none = torch.onnx.TrainingMode.PRESERVE
    torch.onnx.export(net, torch.zeros(1, 3, 32, 32), out, dynamo=False, opset_version=13, input_names=["x"],
                      training=none, do_constant_folding=False)  # fmt: skip
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.filterwarnings("ignore")  # the exporter's own, about itself
@pytest.mark.parametrize("kind", torch_blocks.NETS)
def test_every_node_of_a_net_that_branches_has_a_witness(kind, scene, tmp_path):
    found = import_net(exported(kind, tmp_path / "net.onnx"), None, RAW)
    about = verify(found, scene)
    assert about["nodes"] == len(found.net.nodes)
    assert about["worst"]["node"] in found.net.nodes and about["worst"]["difference"] < 1e-4
    name = [name for name in found.net.convolutions if found.net.consumers[name]][-1]
    found.net[name].weight *= 1.1
    with pytest.raises(RawconvError, match=f"our map of {name} and onnxruntime's differ by"):
        verify(found, scene)


def test_the_node_named_is_the_lowest_that_differs(scene, tmp_path):
    """What stands above it differs as well, and may differ more."""
    found = import_net(saturated(tmp_path / "net.onnx"))
    found.net["conv1"].bias += 3
    found.net["fc4"].weight *= -1
    with pytest.raises(
        RawconvError, match="our map of conv1 .*; above it fc4 differs most, by [2-9]"
    ):
        verify(found, scene)


def test_a_convolution_before_the_file_s_layers_shifts_no_names(scene, tmp_path):
    """A max pool takes the picture, so that the order of the channels becomes a layer of its own."""
    chain = files.Chain((1, 3, 16, 16)).add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    chain.conv(4, 3, 3).add("Relu").add("GlobalAveragePool").add("Flatten")
    chain.add("Gemm", chain.weight(3, 4), transB=1).add("Dropout")
    found = import_net(chain.save(tmp_path / "net.onnx"), None, PIXELS["caffe"]._asdict())
    about = verify(found, scene)
    assert next(iter(found.net.nodes)) == "pixels" and about["nodes"] == len(found.net.nodes) - 1


def test_weights_beside_the_file_are_the_witness_s_too(scene, tmp_path):
    model = onnx.load(saturated(tmp_path / "inside.onnx"))
    (tmp_path / "apart").mkdir()
    path = tmp_path / "apart/net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    found = import_net(path)
    assert verify(found, scene)["nodes"] == 9
    numbers = np.fromfile(tmp_path / "apart/weights.bin", np.float32)
    (numbers * np.float32(1.1)).tofile(tmp_path / "apart/weights.bin")
    with pytest.raises(RawconvError, match="our map of conv1 and"):
        verify(found, scene)


def test_a_file_in_float16_has_a_bound_of_its_own(scene, tmp_path):
    chain = files.Chain((1, 3, 32, 32)).conv(6, 3, 3).add("Relu").conv(8, 6, 3).add("Relu")
    chain.add("GlobalAveragePool").add("Flatten").add("Gemm", chain.weight(5, 8), transB=1)
    model = chain.model()
    for tensor in model.graph.initializer:
        half = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(half, tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, tmp_path / "half.onnx")
    found = import_net(tmp_path / "half.onnx", None, PIXELS["unit"]._asdict())
    assert 1e-5 < verify(found, scene)["worst"]["difference"] < 5e-3
    found.net["conv2"].weight *= 1.1
    with pytest.raises(RawconvError, match="our map of conv2 .* where 0.02 is allowed"):
        verify(found, scene)


def test_a_state_dict_is_compared_at_every_node(scene, tmp_path):
    torch.save(torch_nets.random(torch_nets.alexnet()).state_dict(), tmp_path / "net.pth")
    found = import_net(tmp_path / "net.pth", Wanted(arch="alexnet"))
    about = verify(found, scene)
    assert about["nodes"] == len(found.net.nodes) and about["with"].startswith("torch ")
    found.net["conv3"].weight *= 1.1
    with pytest.raises(RawconvError, match="our map of conv3 and torch's differ by"):
        verify(found, scene)
