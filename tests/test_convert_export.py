"""ONNX out: onnxruntime scores as we do, and what we read back is the same net.  The commands, from end to end."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rawconv import checkpoint, models, runs
from rawconv.convert.read import import_net
from rawconv.convert.to_onnx import export, to_onnx
from rawconv.deconvnet import net_input, project, seen, stored_size
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.layers.lrn import LRN
from rawconv.layers.pool import MaxPool
from rawconv.layers.relu import ReLU
from rawconv.net import Net

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install onnxruntime)")
files = pytest.importorskip("onnx_files")
ROOT = pathlib.Path(__file__).parent.parent


def theirs(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": x.transpose(0, 3, 1, 2).astype(np.float32)})[0]


def check(net, path, count=3):
    """Export; onnxruntime's scores are ours, on its own way from the pixels; so are those of the net read back."""
    export(net, path)
    onnx.checker.check_model(str(path), full_check=True)
    size = stored_size(net)
    pictures = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    ours = net.forward(net_input(net, pictures), keep=False)[0].reshape(count, -1)
    again = import_net(path)
    back = again.net.forward(net_input(again.net, pictures), keep=False)[0].reshape(count, -1)
    scale = np.abs(ours).max()
    assert scale > 0 and stored_size(again.net) == size and again.net.classes == net.classes
    assert np.abs(theirs(path, seen(net, pictures)) - ours).max() <= 1e-5 * scale
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
    net.mean = np.random.default_rng(3).uniform(90, 130, (*net.shape[:2], 3)).astype(np.float32)
    again = check(net, tmp_path / "net.onnx")
    assert [name for name, _ in again.net.layers] == [name for name, _ in net.layers]
    pools = [(a[1].settings, b[1].settings) for a, b in zip(net.layers, again.net.layers, strict=True)
             if isinstance(a[1], MaxPool | LRN | Dropout | ReLU) and not isinstance(a[1], Dropout)]  # fmt: skip
    for want, got in pools:
        assert want == pytest.approx(got) if "alpha" in want else want == got


@pytest.mark.parametrize("model", ["zfnet", "alexnet-groups"])
def test_large_pictures_and_their_crop(model, tmp_path):
    """The paper's nets, an eighth as wide: pictures are kept in 256, and a mean picture is of that size."""
    shape, layers = models.MODELS[model](10)
    narrow = [(name, type(layer)(**layer.settings | {"filters": layer.filters // (8 if name != "fc8" else 1)}))
              if isinstance(layer, Conv) else (name, layer) for name, layer in layers]  # fmt: skip
    net = trained_like(Net(shape, narrow, list("abcdefghij"), None, model, seed=1))
    assert stored_size(check(net, tmp_path / "net.onnx", 1).net) == 256
    net.mean = np.random.default_rng(3).uniform(90, 130, (256, 256, 3)).astype(np.float32)
    again = check(net, tmp_path / "net.onnx", 1).net
    np.testing.assert_array_equal(again.mean[16:240, 16:240], net.mean[16:240, 16:240])


@st.composite
def nets(draw):
    """Any geometry: rounding, uneven windows, strides and pads, groups, a last window that is dropped."""
    integer = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    rounding = st.sampled_from(["ceil", "floor"])
    size, stride = (integer(1, 4), integer(1, 4)), (integer(1, 4), integer(1, 4))
    groups = draw(st.sampled_from([1, 3]))
    pad = tuple(integer(0, 2) for _ in range(4))
    layers = [("conv1", Conv(6, size, stride, pad, groups, draw(rounding))), ("relu1", ReLU(True))]
    if draw(st.booleans()):
        layers.append(("norm1", LRN(draw(st.sampled_from([1, 3, 5])), 1e-3, 0.75, 1.5)))
    shape = Net((13, 13, 3), layers).shapes["conv1"]
    size = (integer(1, min(4, shape[0])), integer(1, min(4, shape[1])))
    pad = tuple(integer(0, k - 1) for k in size * 2)
    layers.append(("pool1", MaxPool(size, (integer(1, 5), integer(1, 5)), pad, draw(rounding))))
    shape = Net((13, 13, 3), layers).shapes["pool1"]
    if draw(st.booleans()):
        layers += [("conv2", Conv(4, 1, groups=2)), ("relu2", ReLU(True))]
    layers += [("fc3", Conv(7, None)), ("relu3", ReLU(True)), ("fc4", Conv(3, None))]
    return trained_like(Net((13, 13, 3), layers, list("abc"), np.full((13, 13, 3), 120, np.float32)))


@given(net=nets())
def test_any_geometry(net, tmp_path_factory):
    check(net, tmp_path_factory.mktemp("any") / "net.onnx")


def test_float64_weights_become_float32(tmp_path):
    net = trained_like(models.build("lenet", 3)).astype("float64")
    check(net, tmp_path / "net.onnx")
    assert all(t.data_type == onnx.TensorProto.FLOAT for t in to_onnx(net).graph.initializer)


def command(name, *words):
    return subprocess.run(
        [sys.executable, "-m", f"rawconv.cli.{name}", *map(str, words)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A foreign AlexNet of the model zoo, narrow, and 12 pictures in two folders."""
    folder = tmp_path_factory.mktemp("commands")
    files.zoo("bvlc_alexnet", folder / "alexnet.onnx", 16)
    (folder / "names.txt").write_text("".join(f"class {k}\n" for k in range(1000)))
    rng = np.random.default_rng(0)
    for label, low in (("dark", 0), ("light", 120)):
        (folder / "photos" / label).mkdir(parents=True)
        for k in range(12):
            pixels = rng.integers(low, low + 120, (260, 300, 3), np.uint8)
            Image.fromarray(pixels).resize((70, 64)).save(folder / "photos" / label / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def imported(folder):
    scene = ROOT / "docs/pictures/scene.png"
    done = command("import_", folder / "alexnet.onnx", folder / "alexnet.h5", "--classes", folder / "names.txt",
                   "--verify", scene)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "bgr, minus 104 117 123" in done.stdout and done.stdout.splitlines()[-1] == str(folder / "alexnet.h5")
    return folder / "alexnet.h5"


def test_a_checkpoint_tells_where_it_comes_from(imported):
    told = json.loads(command("info", imported, "--json").stdout)
    about = told["info"]["imported"]
    assert told["classes"][7] == "class 7" and about["file"] == "alexnet.onnx" and len(about["sha256"]) == 64
    assert {"channel order", "LRN alpha", "softmax", "rounding"} <= about["conventions"].keys()
    assert about["verified"]["difference"] <= 1e-4 and about["verified"]["with"].startswith("onnxruntime")


def test_an_imported_net_is_visualized_with_its_own_pixels(imported, folder):
    out = folder / "seen"
    done = command("visualize", "--weights", imported, "--layer", "3", "--top", "3", "--out", out,
                   ROOT / "docs/pictures/scene.png", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"][0]["classes"][0]["class"].startswith("class ")
    assert (out / "conv3-scene.png").stat().st_size > 10_000
    net = checkpoint.load(imported).net
    picture = np.asarray(Image.open(ROOT / "docs/pictures/scene.png").convert("RGB"))
    assert net.mean.tolist() == [123, 117, 104] and np.abs(project(net, picture, "conv4:1")).max() > 0


def test_an_imported_net_is_scanned_and_trained_on(imported, folder):
    done = command("visualize", "--weights", imported, "--layer", "2", "--top", "2", "--units", "0-3",
                   "--data", folder / "photos", "--out", folder / "scan")  # fmt: skip
    assert done.returncode == 0 and (folder / "scan/conv2.png").exists(), done.stderr
    changes = {"epochs": 1, "batch": 8, "schedule": "constant", "renorm": 0.0, "lr": 1e-3, "frozen": "fc7"}
    run = runs.start(data=folder / "photos", weights=imported, changes=changes, fine_tune=True)
    assert run.net.classes == ["dark", "light"] and run.recipe.stored == 256 and run.net.shape == (224, 224, 3)


def test_a_small_imported_net_is_trained_in_its_own_size(folder, tmp_path):
    chain = files.Chain((1, 3, 32, 32)).conv(4, 3, 3).add("Relu").add("GlobalAveragePool").add("Flatten")
    net = import_net(chain.save(tmp_path / "small.onnx")).net
    checkpoint.save(tmp_path / "small.h5", net, {})
    changes = {"epochs": 1, "batch": 8, "schedule": "constant", "renorm": 0.0}
    run = runs.start(data=folder / "photos", weights=tmp_path / "small.h5", changes=changes, fine_tune=True)
    assert run.recipe.stored == 32 and run.net["avg1"].groups == 1


def test_export_and_import_again_by_command(imported, folder):
    out = folder / "again.onnx"
    done = command("export", imported, out)
    assert done.returncode == 0 and done.stdout.strip() == str(out), done.stderr
    assert command("export", imported, out).returncode == 2
    done = command("import_", out, folder / "again.h5", "--json", "--verify", ROOT / "docs/pictures/scene.png")
    about = json.loads(done.stdout)
    assert about["pixels"] == "rgb, minus 0" and about["verified"]["difference"] <= 1e-4
    net, again = (checkpoint.load(path).net for path in (imported, folder / "again.h5"))
    assert again.classes == net.classes and again.mean.tolist() == net.mean.tolist()
    x = net_input(net, np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8))
    np.testing.assert_array_equal(again.forward(x.copy())[0], net.forward(x.copy())[0])


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["nowhere.onnx", "x.h5"], 2, "nowhere.onnx"),
        (["names.txt", "x.h5"], 1, "names.txt is of no format"),
        (["alexnet.onnx", "names.txt"], 2, "names.txt exists"),
        (["alexnet.onnx", "x.h5", "--size", "100"], 1, "takes pictures of 224x224, not 100. Leave --size out."),
        (["alexnet.onnx", "x.h5", "--mean", "1,2"], 2, "--mean '1,2' is not one number or three"),
        (["alexnet.onnx", "x.h5", "--std", "0"], 2, "--std '0'"),
        (["alexnet.onnx", "x.h5", "--channels", "grey"], 1, "takes 3 channels, which are not grey"),
        (["alexnet.onnx", "x.h5", "--resize", "100"], 1, "Name another --resize."),
        (["alexnet.onnx", "x.h5", "--classes", "one.txt"], 1, "1000 scores, and there are 1 class names"),
        (["alexnet.onnx", "x.h5", "--verify", "names.txt"], 1, "names.txt is not a picture"),
        (["alexnet.onnx", "x.h5", "--verify", "none.png"], 2, "There is no file none.png."),
        (["alexnet.onnx", "x.h5", "--classes", "none.txt"], 2, "There is no file none.txt."),
        (["strange.onnx", "x.h5", "--verify", "scene.png"], 1, "onnxruntime cannot run it"),
        (["alexnet.onnx", "nowhere/x.h5"], 1, "nowhere/x.h5 could not be written"),
    ],
)
def test_what_a_user_gets_wrong(folder, words, code, message):
    (folder / "one.txt").write_text("only\n")
    shutil.copy(ROOT / "docs/pictures/scene.png", folder)
    strange = files.finish(files.small()).model()
    strange.graph.node[0].attribute.append(onnx.helper.make_attribute("strange", 1))  # not a word of Conv
    (folder / "strange.onnx").write_bytes(strange.SerializeToString())
    done = subprocess.run(
        [sys.executable, "-m", "rawconv.cli.import_", *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (folder / "x.h5").exists()
