"""Class names in the files that people have, and the pixels that a user says a net expects."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import rawconv
from rawconv import checkpoint
from rawconv.cli.import_ import main
from rawconv.convert.class_names import read_class_names
from rawconv.convert.pixel_options import check_range, pixel_changes
from rawconv.convert.read import import_net
from rawconv.data import DataSet, Split
from rawconv.data.class_match import matched
from rawconv.errors import RawconvError, UsageError

SYNSETS = """n01440764 tench, Tinca tinca
n02012849 crane
n03126707 crane
n03710637 maillot
n03710721 maillot, tank suit
"""
NAMES = ["tench", "crane (n02012849)", "crane (n03126707)", "maillot", "maillot, tank suit"]
WNIDS = [line.split()[0] for line in SYNSETS.splitlines()]
KERAS = {"1": ["n01443537", "goldfish"], "0": ["n01440764", "great_white_shark"]}


@pytest.mark.parametrize(
    ("text", "names", "wnids"),
    [
        ("tabby\n\n  Egyptian cat \n", ["tabby", "Egyptian cat"], []),
        ("n01440764_tench\nn01443537_goldfish", ["n01440764_tench", "n01443537_goldfish"], []),
        ("\ufeffn01440764\ttench, Tinca tinca", ["tench"], ["n01440764"]),
        (SYNSETS, NAMES, WNIDS),
        (SYNSETS.replace("\n", "\r\n"), NAMES, WNIDS),
        ('"tench, Tinca"\n"crane"\n', ["tench, Tinca", "crane"], []),
        ('"tench"\ncrane', ['"tench"', "crane"], []),
        ("'n01440764 tench, Tinca tinca'", ["tench"], ["n01440764"]),
        ('["a", "b, c"]', ["a", "b, c"], []),
        (json.dumps(KERAS), ["great_white_shark", "goldfish"], ["n01440764", "n01443537"]),
        ('[["n01440764", "tench"]]', ["tench"], ["n01440764"]),
        ('{"0": "tench", "1": "goldfish"}', ["tench", "goldfish"], []),
        ('{"goldfish": 1, "tench": 0}', ["tench", "goldfish"], []),
    ],
    ids=[
        "lines",
        "folders",
        "one",
        "synsets",
        "crlf",
        "quoted",
        "quotes of its own",
        "quoted synset",
        "list",
        "keras",
        "pairs",
        "places",
        "class_to_idx",
    ],
)
def test_what_is_read(text, names, wnids, tmp_path):
    (tmp_path / "classes").write_text(text, encoding="utf-8")
    assert read_class_names(tmp_path / "classes") == (names, wnids)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"0": "a", "2": "b"}', "classes has 2 classes and none at place 1; give a text file"),
        ('[["tench", "n01440764"]]', r"class 0 is \['tench', 'n01440764'\]; give"),
        ("[1, 2]", "class 0 is 1; give"),
        ("[", "begins as JSON and is none"),
        ('{"a": [], "b": 1}', "none at place 0"),
        ("\n \n", "classes is empty; give a text file"),
        ("t\0e\0n\0c\0h\0", "classes is no text in UTF-8; give a text file"),
    ],
)
def test_what_is_refused(text, message, tmp_path):
    (tmp_path / "classes").write_text(text)
    with pytest.raises(RawconvError, match=message) as error:
        read_class_names(tmp_path / "classes")
    assert "n01440764 tench, Tinca tinca" in str(error.value)


# A net with them

onnx = pytest.importorskip(
    "onnx", reason="onnx is not installed: no foreign nets (pip install 'rawconv[onnx]')"
)
files = pytest.importorskip("onnx_files")


def net_of(path, channels=3, classes=5, **about):
    chain = files.Chain((1, channels, 16, 16)).conv(4, channels, 3).add("Relu")
    chain.add("GlobalAveragePool").add("Flatten")
    return chain.add("Gemm", chain.weight(classes, 4), transB=1).save(path, **about)


def command(*words, code=0):
    done = CliRunner().invoke(main, [*map(str, words), "--force"])
    assert done.exit_code == code, done.output
    return done


def test_synsets_name_a_net_s_classes_and_find_those_of_a_data_set(tmp_path):
    path, out = net_of(tmp_path / "net.onnx"), tmp_path / "net.h5"
    (tmp_path / "synset.txt").write_text(SYNSETS)
    command(path, out, "--classes", tmp_path / "synset.txt")
    net, info, _ = checkpoint.load(out)
    assert net.classes == NAMES and info["wnids"] == WNIDS
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert {name for name, _ in rawconv.classify(net, image)} == set(NAMES)

    folders = [f"{wnid}_{k}" for k, wnid in enumerate(reversed(WNIDS))]
    split = Split(None, np.arange(5), list("abcde"), (16, 16, 3))
    data = DataSet("it", "it", folders, split, split, list(reversed(WNIDS)))
    same = matched(data, net.classes, out, wnids=info["wnids"])
    assert same.classes == NAMES and same.val.labels.tolist() == [4, 3, 2, 1, 0]
    with pytest.raises(RawconvError, match="The classes must be the same"):
        matched(data, net.classes, out)


def test_as_many_names_as_scores(tmp_path):
    path = net_of(tmp_path / "net.onnx", classes=4)
    (tmp_path / "synset.txt").write_text(SYNSETS)
    done = command(path, tmp_path / "x.h5", "--classes", tmp_path / "synset.txt", code=1)
    assert "has 4 scores, and there are 5 class names. Mend --classes." in done.stderr


# Pixels


def scores(path, image, how):
    """onnxruntime's scores of a picture that is prepared by hand: how(grey or colour, float64)."""
    import onnxruntime

    x = np.ascontiguousarray(how.transpose(2, 0, 1)[None], np.float32)
    return onnxruntime.InferenceSession(str(path)).run(None, {"x": x})[0][0]


@pytest.mark.parametrize(
    ("options", "mean", "std"),
    [((), 0, 1), (("--pixels", "raw"), 0, 1), (("--pixels", "unit"), 0, 255),
     (("--mean", "33.3", "--std", "78.6"), 33.3, 78.6), (("--pixels", "unit", "--mean", "128"), 128, 255)],
)  # fmt: skip
def test_a_grey_net_takes_what_is_said_of_its_pixels(options, mean, std, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: no witness")
    path, out = net_of(tmp_path / "net.onnx", channels=1), tmp_path / "net.h5"
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    command(path, out, *options, "--verify", tmp_path / "a.png")
    net = checkpoint.load(out).net
    grey = image.astype(float) @ [0.299, 0.587, 0.114]
    theirs = scores(path, image, ((grey - mean) / std)[..., None])
    ours = rawconv.visualize.forward_pass.forward_pass(net, image).logits[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("channels", "options", "says"),
    [
        (1, ("--mean", "1,2,3"), "--mean has 3 numbers, and this net takes grey pictures"),
        (1, ("--pixels", "torch"), "--pixels torch has numbers for three channels"),
        (3, ("--mean", "0.485,0.456,0.406"), "write --mean 123.675,116.28,103.53."),
        (3, ("--std", "0.229,0.224,0.225"), "write --std 58.395,57.12,57.375."),
        (
            1,
            ("--mean", "0.1307"),
            "--mean 0.1307 is of pixels from 0 to 1, and rawconv counts them",
        ),
        (1, ("--pixels", "unit", "--mean", "-0.5"), "write --mean -127.5."),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_remedy(channels, options, says, tmp_path):
    done = command(net_of(tmp_path / "n.onnx", channels), tmp_path / "x.h5", *options, code=2)
    assert says in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "x.h5").exists()


def test_means_and_deviations_from_0_to_255_are_taken():
    assert pixel_changes(3, mean=(0.0,), std=(1.0,)) == {"mean": (0.0,), "std": (1.0,)}
    assert pixel_changes(3, mean=(0.0, 1.0, 2.0)) == {"mean": (0.0, 1.0, 2.0)}
    assert pixel_changes(3, "caffe", "rgb")["order"] == "rgb"
    assert pixel_changes(1) == {}


def inside(path, mean):
    chain = files.Chain((1, 3, 16, 16))
    chain.add("Sub", chain.constant(np.full((3, 1, 1), mean, np.float32))).conv(4, 3, 3)
    return chain.add("Relu").add("GlobalAveragePool").add("Flatten").save(path)


def test_a_file_that_takes_a_mean_off_says_in_which_range(tmp_path):
    unit, raw = inside(tmp_path / "unit.onnx", 0.45), inside(tmp_path / "raw.onnx", 120)
    done = command(unit, tmp_path / "x.h5")
    assert "divided by 255 (assumed of the mean that the file takes off its input" in done.stdout
    assert "rgb, minus 0; assumed" in command(raw, tmp_path / "x.h5").stdout
    done = command(unit, tmp_path / "y.h5", "--pixels", "raw", code=2)
    assert (
        "takes a mean of up to 0.45 off its input, as of pixels from 0 to 1; say --pixels unit."
        in done.stderr
    )
    done = command(raw, tmp_path / "y.h5", "--pixels", "torch", code=2)
    assert (
        "takes a mean of up to 120 off its input, as of pixels from 0 to 255; say --pixels raw"
        in done.stderr
    )
    assert not (tmp_path / "y.h5").exists()
    check_range("unit", import_net(unit).foreign.inside)


def test_pictures_of_ones_and_zeros_are_not_taken_for_black():
    net = rawconv.load()
    dim = np.zeros((64, 64, 3), np.uint8)
    assert len(rawconv.classify(net, dim)) == 5
    dim[3, 4] = 1
    with pytest.raises(UsageError, match=r"no value of this one is above 1: write numpy.uint8\("):
        rawconv.classify(net, dim)
    dim[3, 4] = 2
    assert len(rawconv.classify(net, dim)) == 5


@pytest.mark.parametrize(
    ("given", "says"),
    [({"mean": (123.675, 116.28, 103.53)}, r"write mean=\(0.485, 0.456, 0.406\)"),
     ({"std": (58.395, 57.12, 57.375)}, r"write std=\(0.229, 0.224, 0.225\)")],
)  # fmt: skip
def test_from_torch_is_given_the_mean_of_pixels_from_0_to_1(given, says):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no model to take")
    with pytest.raises(UsageError, match=says):
        rawconv.from_torch(torch.nn.Conv2d(3, 2, 8), 8, **given)
