"""rawconv-import and rawconv-export from end to end, and what an imported net is for: every other command."""

import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from projecting import project_units

from rawconv import checkpoint
from rawconv.convert.read import import_net
from rawconv.data.preprocessing import preprocess
from rawconv.training import runs
from rawconv.visualize.shortcuts import project
from rawconv.visualize.units import layer_object

onnx = pytest.importorskip(
    "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
)
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install onnxruntime)")
files = pytest.importorskip("onnx_files")
ROOT = pathlib.Path(__file__).parent.parent


def command(name, *words):
    return subprocess.run(
        [sys.executable, "-m", f"rawconv.cli.{name}", *map(str, words)],
        capture_output=True,
        text=True,
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
    assert "bgr, minus 104 117 123" in done.stdout and done.stdout.splitlines()[-1] == str(
        folder / "alexnet.h5"
    )
    return folder / "alexnet.h5"


def test_a_checkpoint_tells_where_it_comes_from(imported):
    told = json.loads(command("info", imported, "--json").stdout)
    about = told["info"]["imported"]
    assert (
        told["classes"][7] == "class 7"
        and about["file"] == "alexnet.onnx"
        and len(about["sha256"]) == 64
    )
    assert {"channel order", "LRN alpha", "softmax", "rounding"} <= about["conventions"].keys()
    assert about["verified"]["difference"] <= 1e-4 and about["verified"]["with"].startswith(
        "onnxruntime"
    )


def test_an_imported_net_is_visualized_with_its_own_pixels(imported, folder):
    out = folder / "seen"
    done = command("visualize", "--weights", imported, "--layer", "3", "--top", "3", "--out", out,
                   ROOT / "docs/pictures/scene.png", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"][0]["classes"][0]["class"].startswith("class ")
    assert (out / "conv3-scene.png").stat().st_size > 10_000
    net = checkpoint.load(imported).net
    image = np.asarray(Image.open(ROOT / "docs/pictures/scene.png").convert("RGB"))
    assert (
        net.pixel_mean.tolist() == [123, 117, 104]
        and np.abs(project(net, image, "conv4:1")).max() > 0
    )


def test_an_imported_net_is_scanned_and_trained_on(imported, folder):
    done = command("visualize", "--weights", imported, "--layer", "2", "--top", "2", "--units", "0-3",
                   "--data", folder / "photos", "--out", folder / "scan")  # fmt: skip
    assert done.returncode == 0 and (folder / "scan/conv2.png").exists(), done.stderr
    changes = {
        "epochs": 1,
        "batch": 8,
        "schedule": "constant",
        "max_filter_rms": 0.0,
        "lr": 1e-3,
        "frozen": "fc7",
    }
    run = runs.start(data=folder / "photos", weights=imported, changes=changes, fine_tune=True)
    assert (
        run.net.classes == ["dark", "light"]
        and run.recipe.stored == 256
        and run.net.shape == (224, 224, 3)
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A checkpoint of a net with what ours do not have: uneven pads below pools and filters,
    averages, floor.
    """
    path = tmp_path_factory.mktemp("small") / "small.onnx"
    chain = files.Chain((1, 3, 48, 48)).conv(8, 3, 5, strides=[2, 2], pads=[2, 1, 1, 2]).add("Relu")
    chain.add("LRN", size=5, alpha=1e-3).add(
        "MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]
    )
    chain.conv(12, 8, 3, 2, auto_pad="SAME_UPPER").add("Relu")
    chain.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1).add(
        "AveragePool", kernel_shape=[2, 2]
    )
    chain.conv(16, 12, 3).add("Relu").add("GlobalAveragePool").add("Flatten")
    found = import_net(
        chain.add("Gemm", chain.weight(6, 16), transB=1).save(path, producer="pytorch")
    )
    checkpoint.save(path.with_suffix(".h5"), found.net, found.info)
    return path.with_suffix(".h5")


def test_units_come_down_through_their_fields_as_through_whole_maps(small):
    net = checkpoint.load(small).net.astype("float64")
    runs.choose_conv(net, "gemm")
    x = preprocess(net, np.random.default_rng(1).integers(0, 256, (2, 48, 48, 3), np.uint8))
    for layer in ("conv1", "pool1", "conv2", "pool2", "avg2", "conv3"):
        height, width, maps = net.shapes[layer_object(net, layer)]
        units = [
            (n, m, y, x)
            for n in (0, 1)
            for m in (0, maps - 1)
            for y in (0, height - 1)
            for x in (0, width // 2)
        ]
        windows, whole = (
            project_units(net, x, layer, units, full=full)[0] for full in (False, True)
        )
        assert np.abs(whole).max() > 0
        np.testing.assert_allclose(windows, whole, atol=1e-12 * np.abs(whole).max())


@pytest.mark.parametrize(
    "words",
    [
        ["occlusion", "--layer", "3", "--stride", "12", ROOT / "docs/pictures/scene.png"],
        pytest.param(
            ["transfer", "--per-class", 5, "--steps", 5, "--folds", 2, "--test", 5],
            marks=pytest.mark.long,
        ),
    ],
    ids=lambda words: words[0],
)
def test_an_imported_net_is_the_subject_of_experiments(words, small, folder, tmp_path):
    program = "from rawconv.cli.experiments import main; main()"
    more = ["--weights", small, "--data", folder / "photos", "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words + more)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out").glob("*.png")) and list((tmp_path / "out").glob("*.json"))


def test_a_small_imported_net_is_trained_in_its_own_size(folder, tmp_path):
    chain = (
        files.Chain((1, 3, 32, 32))
        .conv(4, 3, 3)
        .add("Relu")
        .add("GlobalAveragePool")
        .add("Flatten")
    )
    net = import_net(chain.save(tmp_path / "small.onnx")).net
    checkpoint.save(tmp_path / "small.h5", net, {})
    changes = {"epochs": 1, "batch": 8, "schedule": "constant", "max_filter_rms": 0.0}
    run = runs.start(
        data=folder / "photos", weights=tmp_path / "small.h5", changes=changes, fine_tune=True
    )
    assert run.recipe.stored == 32 and run.net.shapes["conv1"] == (30, 30, 2)


def test_export_and_import_again_by_command(imported, folder):
    out = folder / "again.onnx"
    done = command("export", imported, out)
    assert done.returncode == 0 and done.stdout.strip() == str(out), done.stderr
    assert command("export", imported, out).returncode == 2
    done = command(
        "import_", out, folder / "again.h5", "--json", "--verify", ROOT / "docs/pictures/scene.png"
    )
    about = json.loads(done.stdout)
    assert about["pixels"] == "rgb, minus 0" and about["verified"]["difference"] <= 1e-4
    net, again = (checkpoint.load(path).net for path in (imported, folder / "again.h5"))
    assert again.classes == net.classes and again.pixel_mean.tolist() == net.pixel_mean.tolist()
    x = preprocess(net, np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8))
    np.testing.assert_array_equal(again.forward(x.copy())[0], net.forward(x.copy())[0])


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["nowhere.onnx", "x.h5"], 2, "nowhere.onnx"),
        (["names.txt", "x.h5"], 1, "It reads ONNX, PyTorch (.pth), Caffe, safetensors."),
        (["alexnet.onnx", "names.txt"], 2, "names.txt exists; name another OUT.h5, or"),
        (
            ["alexnet.onnx", "x.h5", "--size", "100"],
            1,
            "takes pictures of 224x224, not 100. Leave --size out.",
        ),
        (["alexnet.onnx", "x.h5", "--mean", "1,2"], 2, "--mean '1,2' is not one number or three"),
        (["alexnet.onnx", "x.h5", "--std", "0"], 2, "--std '0' is not of numbers from 1e-06 to"),
        (["alexnet.onnx", "x.h5", "--channels", "grey"], 1, "takes 3 channels, which are not grey"),
        (["alexnet.onnx", "x.h5", "--resize", "100"], 1, "Name another --resize."),
        (
            ["alexnet.onnx", "x.h5", "--classes", "one.txt"],
            1,
            "1000 scores, and there are 1 class names",
        ),
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
    # not a word of Conv
    strange.graph.node[0].attribute.append(onnx.helper.make_attribute("strange", 1))
    (folder / "strange.onnx").write_bytes(strange.SerializeToString())
    done = subprocess.run(
        [sys.executable, "-m", "rawconv.cli.import_", *words],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code and "Traceback" not in done.stderr, done.stderr
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (folder / "x.h5").exists()


def test_pixels_that_the_user_names_are_not_assumed(tmp_path):
    chain = files.Chain((1, 3, 8, 8)).conv(4, 3, 3).add("Relu").add("GlobalAveragePool")
    path = chain.save(tmp_path / "caffe.onnx")
    model = onnx.load(path)
    model.producer_name = "pytorch"
    onnx.save(model, path)
    for options, said in (
        ((), " (assumed of pytorch: as those of ImageNet; see --pixels); "),
        (("--pixels", "caffe", "--mean", "1,2,3"), "bgr, minus 1 2 3 (as you said); "),
        (("--mean", "1,2,3"), " (as you said, but order and std assumed of pytorch"),
    ):
        done = command("import_", path, tmp_path / "out.h5", "--force", *options)
        assert done.returncode == 0 and said in done.stdout, done.stdout + done.stderr


def test_where_a_foreign_file_is_taken_for_a_checkpoint_and_what_export_calls_its_file(folder):
    path = folder / "alexnet.onnx"
    done = command("info", path)
    assert done.returncode == 1 and f"rawconv-import {path} OUT.h5" in done.stderr, done.stderr
    done = command("export", path, folder / "names.txt")
    assert done.returncode == 2 and "name another OUT.onnx, or" in done.stderr, done.stderr
