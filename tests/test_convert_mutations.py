"""10,000 broken files of each format: refused in one sentence or read, nothing else; 300 of them in
every run.
"""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import mutations
import numpy as np
import pytest

from rawconv.convert import Wanted
from rawconv.convert.read import import_net
from rawconv.errors import RawconvError

COUNT, ALL = 300, 10_000


def onnx_chain():
    """A little of everything: preprocessing, groups, batch norm, LRN, pools, computed constants, metadata."""
    files = pytest.importorskip(
        "onnx_files", reason="onnx is not installed (pip install 'rawconv[onnx]')"
    )
    helper = files.helper
    chain = files.Chain((1, 3, 12, 12), 13)
    chain.add("Sub", chain.constant(np.array([[[100]], [[110]], [[120]]], np.float32)))
    chain.conv(6, 3, 3, 3, auto_pad="SAME_UPPER")
    chain.add(
        "BatchNormalization", *[chain.constant(np.full(6, 0.5, np.float32)) for _ in range(4)]
    )
    chain.add("Relu").add("LRN", size=5, alpha=1e-3, beta=0.75, bias=2.0)
    chain.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    shape = chain.constant(np.array([4, 3, 3, 3]))
    value = files.numpy_helper.from_array(np.array([0.1], np.float32))
    chain.nodes.append(helper.make_node("ConstantOfShape", [shape], ["filled"], value=value))
    chain.add("Conv", "filled", group=2, pads=[1, 0, 1, 2]).add("Relu").add("Dropout")
    chain.add(
        "AveragePool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1
    )
    for operator, inputs, out, about in [
        ("Shape", [chain.value], "s", {}),
        ("Gather", ["s", chain.constant(np.array(0))], "n", {"axis": 0}),
        ("Unsqueeze", ["n", chain.constant(np.array([0]))], "m", {}),
        ("Concat", ["m", chain.constant(np.array([-1]))], "k", {"axis": 0}),
    ]:
        chain.nodes.append(helper.make_node(operator, inputs, [out], **about))
    chain.add("Reshape", "k").add("Gemm", chain.weight(5, 36), chain.weight(5), transB=1).add(
        "Softmax"
    )
    model = chain.model(
        "mutants", {"rawconv": '{"classes": ["a", "b", "c", "d", "e"], "stored": 16}'}
    )
    return model.SerializeToString()


def onnx_branches():
    """Two branches that meet twice, padding, a ceiling, batch norm above a ReLU, channels of the
    picture one by one.
    """
    files = pytest.importorskip(
        "onnx_files", reason="onnx is not installed (pip install 'rawconv[onnx]')"
    )
    chain, channels = files.Chain((1, 3, 12, 12), 13), []
    for number in range(3):
        chain.value = "x"
        chain.add("Gather", chain.constant(np.array(number)), axis=1).add(
            "Unsqueeze", chain.constant(np.array([1]))
        )
        channels.append(chain.add("Mul", chain.constant(np.float32(0.5 + number))).value)
    chain.value = channels[0]
    chain.add("Concat", *channels[1:], axis=1).add(
        "Pad", chain.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    )
    left = (
        chain.conv(4, 3, 3).add("Clip", *map(chain.constant, (np.float32(0), np.float32(6)))).value
    )
    chain.add(
        "BatchNormalization", *[chain.constant(np.full(4, 0.5, np.float32)) for _ in range(4)]
    )
    chain.add("Sum", left, left).add("Concat", left, axis=1).add(
        "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    )
    chain.add("ReduceMean", axes=[2, 3], keepdims=0).add("MatMul", chain.weight(8, 5)).add(
        "Sigmoid"
    )
    return chain.model("mutants").SerializeToString()


def pytorch_lrn():
    """PyTorch's own export, with LRN spelled out."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: no exporter (pip install torch)"
    )
    pytest.importorskip("onnx", reason="onnx is not installed (pip install 'rawconv[onnx]')")
    import io

    net = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.LocalResponseNorm(5),
                              torch.nn.Flatten(), torch.nn.Linear(216, 3)).eval()  # fmt: skip
    out = io.BytesIO()
    torch.onnx.export(net, torch.zeros(1, 3, 8, 8), out, dynamo=False)
    return out.getvalue()


def state_dict(how):
    """AlexNet with one map a layer, as PyTorch and safetensors save it."""
    pytest.importorskip(
        "torch", reason="PyTorch is not installed: nobody to write its files (pip install torch)"
    )
    import test_convert_pytorch as files

    net = files.torch_nets.random(files.torch_nets.alexnet((1, 1, 1, 1, 1), 2, 2))
    with tempfile.TemporaryDirectory() as folder:
        return files.save(Path(folder) / "net.pth", net.state_dict(), how).read_bytes()


def caffe(name):
    """Both versions, and one with branches; the text that goes with one, weights in HDF5, a mean picture."""
    pytest.importorskip(
        "google.protobuf", reason="protobuf is not installed (pip install 'rawconv[caffe]')"
    )
    import caffe_files as files

    if name == "prototxt":
        return (
            b"# How this net came to be, as files of this kind tell.\n" * 20 + files.DEPLOY.encode()
        )
    if name == "mean":
        return files.fill(
            files.message("BlobProto")(), np.full((1, 3, 44, 44), 99, np.float32)
        ).SerializeToString()
    if name in ("caffe with branches", "caffe in hdf5"):
        import caffe_nets as nets

        net = nets.mixture()
        return files.hdf5(net.blobs) if name == "caffe in hdf5" else net.model().SerializeToString()
    text, shapes = (
        (files.DEPLOY, files.SHAPES) if name == "caffe" else (files.TRAINED, files.OLD_SHAPES)
    )
    return files.caffemodel(text, shapes, old=name != "caffe")


def reader(name, folder):
    """path -> Imported, where `path` is a file of this kind."""
    if name in ("prototxt", "mean"):
        (folder / "net.caffemodel").write_bytes(caffe("caffe"))
        return lambda path: import_net(folder / "net.caffemodel", Wanted(**{name: str(path)}))
    if name == "caffe in hdf5":
        import caffe_nets as nets

        (folder / "deploy.prototxt").write_text(str(nets.mixture()))
        return functools.partial(
            import_net, wanted=Wanted(prototxt=str(folder / "deploy.prototxt"))
        )
    return functools.partial(import_net, wanted=WANTED.get(name))


FILES = {
    "onnx": onnx_chain, "onnx with branches": onnx_branches, "onnx from pytorch": pytorch_lrn,
    "zip": lambda: state_dict("zip"), "pickle": lambda: state_dict("pickle"),
    "safetensors": lambda: state_dict("safetensors"),
    "caffe": lambda: caffe("caffe"), "caffe v1": lambda: caffe("caffe v1"),
    "caffe with branches": lambda: caffe("caffe with branches"), "caffe in hdf5": lambda: caffe("caffe in hdf5"),
    "prototxt": lambda: caffe("prototxt"), "mean": lambda: caffe("mean"),
}  # fmt: skip
WANTED = dict.fromkeys(("zip", "pickle", "safetensors"), Wanted(arch="alexnet"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_broken_files_are_refused_in_one_sentence(name, tmp_path):
    outcomes = mutations.check(FILES[name](), reader(name, tmp_path), tmp_path, COUNT)
    assert min(outcomes.values()) > COUNT // 50, f"mutants of both kinds are needed: {outcomes}"


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_ten_thousand_broken_files(name, tmp_path):
    outcomes = mutations.check(FILES[name](), reader(name, tmp_path), tmp_path, ALL - COUNT, COUNT)
    print(name, outcomes)


def test_the_harness_sees_what_it_is_for(tmp_path):
    """Code that runs, memory that is taken, a traceback, a hang, a warning: each fails, with the
    mutant's number.
    """
    import os
    import warnings

    def hang(path):
        while True:
            pass

    bad = {
        "did": lambda path: subprocess.run([sys.executable, "-c", ""], check=True),
        "did .*open": lambda path: open(path.with_name("other"), "w").close(),
        "did .*os.system": lambda path: os.system("true"),
        "took .*bytes": lambda path: np.ones(1 << 20) is None,
        "KeyError": lambda path: {}["x"],
        "warned": lambda path: warnings.warn("careful", stacklevel=1),
        "took more than": hang,
        "mutant 3": lambda path: (_ for _ in ()).throw(RawconvError("two\nlines")),
    }
    for message, read in bad.items():
        seen = []

        def once(path, read=read, seen=seen):
            seen.append(path)
            return read(path) if len(seen) > 1 else None

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mutations, "SECONDS", 0.2)
            with pytest.raises(AssertionError, match=message):
                mutations.check(b"some bytes", once, tmp_path, 1, first=3)


def test_mutants_are_a_function_of_their_number():
    data = bytes(range(200))
    assert [mutations.mutant(data, k) for k in range(50)] == [
        mutations.mutant(data, k) for k in range(50)
    ]
    assert len({mutations.mutant(data, k) for k in range(50)}) > 45
