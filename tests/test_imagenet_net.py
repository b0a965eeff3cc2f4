"""docs/imagenet-net.md: a trained SqueezeNet comes in, answers as onnxruntime does, and is looked into."""

import io
import json
import os
import pathlib
import re
import shlex
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import rawconv
from rawconv.cli.rawconv import main

pytestmark = pytest.mark.skipif(
    not os.environ.get("RAWCONV_PHOTOS"), reason="RAWCONV_PHOTOS, a folder of pictures, is not set"
)
ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / "docs/imagenet-net.md").read_text()
COMMANDS = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
PHOTOS = pathlib.Path(os.environ.get("RAWCONV_PHOTOS", "."))


def run(line, *more):
    """What a command of the page prints, with the page's files in the folder of photographs."""
    _, command, *words = [part for part in re.split(r"^rawconv-(\w+) ", line)]
    words = shlex.split(words[0])
    done = CliRunner().invoke(main, [command, *words, *more])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A user's folder: the net's file and the photographs."""
    for name in ("squeezenet_v10.onnx", "imagenet1000.zip"):
        (tmp_path / name).symlink_to(PHOTOS / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def some_photographs(count):
    """Every so manieth of the photographs: [(class folder, its bytes)]."""
    with zipfile.ZipFile(PHOTOS / "imagenet1000.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        return [(n.split("/")[0], archive.read(n)) for n in names[:: len(names) // count]]


def places_by_onnxruntime(photographs):
    """At which place of onnxruntime's answers each photograph's class stands, 0 the best.

    As the net's authors prepared pictures: BGR, the centre 227x227 of a picture whose smallest side is
    256, minus the mean of each channel.
    """
    session = pytest.importorskip("onnxruntime").InferenceSession(PHOTOS / "squeezenet_v10.onnx")
    places = []
    for label, content in photographs:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        left, top = (image.width - 256) // 2, (image.height - 256) // 2
        square = np.asarray(image.crop((left, top, left + 256, top + 256)), np.float32)
        x = square[14:241, 14:241, ::-1] - np.float32([104, 117, 123])
        feed = {session.get_inputs()[0].name: x.transpose(2, 0, 1)[None]}
        p = session.run(None, feed)[0].reshape(-1)
        places.append(int((p > p[label]).sum()))
    return np.array(places)


def test_its_answers_are_onnxruntime_s(files):
    run(COMMANDS[0])
    net = rawconv.load("squeezenet.h5")
    known = [label for label, _ in some_photographs(1000)]
    chosen = some_photographs(25)
    theirs = places_by_onnxruntime([(known.index(label), content) for label, content in chosen])
    ours = []
    for label, content in chosen:
        answers = rawconv.classify(net, Image.open(io.BytesIO(content)), count=1000)
        ours.append([name for name, _ in answers].index(str(known.index(label))))
    assert np.array_equal(ours, theirs) and 0.4 < np.mean(theirs == 0) < 0.9


def test_its_maps_are_drawn_by_the_name_of_a_module(files):
    run(COMMANDS[0])
    with zipfile.ZipFile("few.zip", "w") as few:
        for label, content in some_photographs(10):
            few.writestr(f"{label}/1.jpg", content)
    line = COMMANDS[2].replace("imagenet1000.zip", "few.zip")
    line = line.partition(" --layer fire4")[0]
    run(line, "--no-patches", "--units", "7,87", "--top", "4", "--out", "out")
    (layer,) = json.loads(pathlib.Path("out/index.json").read_text())["layers"]
    assert (layer["layer"], layer["maps"], layer["field"]) == ("fire2/concat", 128, [19, 19])
    assert sorted(layer["units"]) == ["7", "87"] and len(layer["units"]["7"]) == 4


@pytest.mark.long
def test_the_page_s_commands_as_they_stand(files):
    for line in COMMANDS:
        found = run(line, *(["--json"] if "test-only" in line else []))
        if "test-only" in line:
            results = json.loads(found.stdout.splitlines()[-1])
    photographs = some_photographs(1000)
    places = places_by_onnxruntime([(k, content) for k, (_, content) in enumerate(photographs)])
    counts = [round(results[key] * results["pictures"]) for key in ("top1", "top5")]
    assert counts == [(places < 1).sum(), (places < 5).sum()]
