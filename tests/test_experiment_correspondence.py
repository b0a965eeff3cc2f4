"""Table 1: the sign's Hamming distance as the paper defines it, pictures and parts from a file,
parts that match.
"""

import json
import pathlib

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from subjects import data_of, same_if_interrupted, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv.cli.experiments import main
from rawconv.data import scenes
from rawconv.data.preprocessing import center_crop, preprocess
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import correspondence, subject
from rawconv.experiments.correspondence import PAPER, Marked, marked, pairs, places, run, signs
from rawconv.experiments.study import begin
from rawconv.experiments.subject import filling
from rawconv.machine.arrays import Device, to_cpu

OPTIONS = {"layers": ["2", "1"], "size": 7, "random": 3}


def some(count=3):
    pictures = data_of(count).val.read(range(count))
    return [
        Marked(f"picture {k}", one, {"nose": (5 + k, 9)}, (0, 0, 24, 24))
        for k, one in enumerate(pictures)
    ]


def test_pairs_are_the_papers_sum():
    """Delta = the sum of H over i != j: twice the sum over the pairs."""
    eps = np.random.default_rng(0).integers(-1, 2, (5, 70))
    delta = sum(np.count_nonzero(eps[i] != eps[j]) for i in range(5) for j in range(5) if i != j)
    found = pairs(list(eps))
    assert len(found) == 10 and 2 * 70 * sum(distance for _, distance, _ in found) == pytest.approx(
        delta
    )
    ones, zeros = np.ones(9, np.int8), np.zeros(9, np.int8)
    assert pairs([ones, ones]) == [((0, 1), 0, 0)] and pairs([zeros, zeros]) == [((0, 1), 0, 0)]
    assert pairs([ones, -ones]) == [((0, 1), 1, 1)]
    half = np.array([1, 1, -1, 0, 0, 0, 0, 0, 0])
    assert pairs([half, half * [1, -1, 1, 1, 1, 1, 1, 1, 1]]) == [((0, 1), 1 / 9, 1 / 3)]


def test_signs_are_those_of_covered_images(xp):
    device = Device() if xp is np else Device(0)
    net = subject_of(small_net().astype("float64"), device=device).net
    one = some(1)[0]
    boxes, grey = places(one, 0, 7, 3, 0, net.shape), filling(net, "0")
    got = signs(net, one.image, grey, boxes, ["relu1", "relu2"])
    x, fill = preprocess(net, one.image[None]), preprocess(net, grey[None])
    for k, (top, left, bottom, right) in enumerate(boxes):
        covered = x.copy()
        covered[:, top:bottom, left:right] = fill[:, top:bottom, left:right]
        for name in ("relu1", "relu2"):
            y, other = (to_cpu(net.forward(a.copy(), name)[0]).ravel() for a in (x, covered))
            eps = (y - other) / np.abs(y).max()
            changed = np.abs(eps) > 1.1e-4
            np.testing.assert_array_equal(got[name][k][changed], np.sign(eps)[changed])
            assert changed.any() and (got[name][k][np.abs(eps) < 0.9e-4] == 0).all()


def test_places_cover_the_parts_and_lie_in_the_box():
    one = Marked("a", None, {"eye": (1, 12), "nose": (15, 23)}, (4, 10, 9, 20))
    boxes = places(one, 3, 6, 200, 5, (24, 24, 3))
    assert boxes[:2].tolist() == [[0, 9, 6, 15], [12, 18, 18, 24]]
    middles = boxes[2:, :2] + 3
    assert middles.min(axis=0).tolist() == [4, 10] and middles.max(axis=0).tolist() == [8, 19]
    assert not np.array_equal(boxes, places(one, 4, 6, 200, 5, (24, 24, 3)))


def test_the_built_in_faces_have_their_parts_where_they_are():
    about = subject.load("weights/scenes.h5", "scenes:12", Device())
    for one in marked(about, count=3, seed=4):
        truth = scenes.truth(int(one.name.split()[1]), 64, 4, aligned=True)
        assert scenes.CLASSES[truth.label] == "face" and one.box == truth.box
        for part, at in one.parts.items():
            assert np.abs(np.subtract(at, truth.parts[part.replace(" ", "_")])).max() < 1


def test_places_in_a_file_are_pixels_of_its_images(tmp_path):
    """A dot is where it was put, in wide and high pictures, larger than the net's, and in one that
    lies on its side.
    """
    about, listed = subject_of(), []
    for k, (size, at, turn) in enumerate(
        (((52, 80), (20, 50), 1), ((104, 60), (70, 22), 1), ((60, 60), (9, 31), 6))
    ):
        pixels = np.zeros((*size, 3), np.uint8)
        pixels[at[0] - 2 : at[0] + 3, at[1] - 2 : at[1] + 3] = 255
        opened, exif = (
            Image.fromarray(np.rot90(pixels).copy() if turn == 6 else pixels),
            Image.Exif(),
        )
        exif[0x0112] = turn  # 6: turned clockwise by whoever shows it
        opened.save(tmp_path / f"{k}.png", exif=exif)
        box = [at[0] - 9, at[1] - 9, at[0] + 9, at[1] + 9]
        listed.append({"file": f"{k}.png", "parts": {"dot": list(at)}, "box": box})
    (tmp_path / "parts.json").write_text(json.dumps({"pictures": listed}))
    for one in marked(about, tmp_path / "parts.json"):
        image = center_crop(about.net, one.image[None])[0].sum(axis=2, dtype=float)
        rows, columns = np.indices(image.shape)
        middle = [(grid * image).sum() / image.sum() for grid in (rows, columns)]
        assert np.abs(np.subtract(one.parts["dot"], middle)).max() <= 1
        assert np.abs(np.add(one.box[:2], one.box[2:]) / 2 - middle).max() <= 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "does not list pictures and parts"),
        ('{"images": []}', "no 'pictures'"),
        ('{"pictures": []}', "give two or more"),
        ('{"pictures": [{"file": "a.png", "parts": {"nose": [3]}}]}', "[3] is not 2 numbers"),
        ('{"pictures": [{"file": "a.png", "parts": {"nose": ["x", 3]}}]}', "is not 2 numbers"),
        (
            '{"pictures": [{"file": "a.png", "parts": {"nose": [3, 4]}, "box": [1, 2]}]}',
            "is not 4 numbers",
        ),
        ('{"pictures": [{"file": "a.png", "parts": {"nose": [13, 4]}}]}', "give two or more"),
        (
            '{"pictures": [{"file": "b.png", "parts": {"nose": [3, 4]}}]}',
            "There is no picture b.png",
        ),
        (
            '{"pictures": [{"file": "a.png", "parts": {"nose": [300, 4]}}]}',
            "nose is outside of the centre square",
        ),
        (
            '{"pictures": [{"file": "a.png", "parts": {"nose": [9, 4]}}, {"file": "a.png", "parts": {"ear": [9, 4]}}]}',
            "each picture needs the same parts",
        ),
        (
            '{"pictures": [{"file": "a.png", "parts": {}}, {"file": "a.png", "parts": {}}]}',
            "each picture needs the same parts, one at least",
        ),
        (
            '{"pictures": [{"file": "a.png", "parts": {"nose": [13, 4]}, "box": [9, 9, 9, 12]}]}',
            "its box is empty",
        ),
    ],
)
def test_a_file_that_does_not_say_it_right(place, text, says):  # noqa: F811
    pathlib.Path("parts.json").write_text(text)
    with pytest.raises(RawconvError) as error:
        marked(subject_of(), "parts.json")
    assert says in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UsageError, match="There is no file"):
        marked(subject_of(), "none.json")


def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, monkeypatch):
    def it(subject, study, **options):
        return run(subject, study, some(), **options)

    same_if_interrupted(it, subject_of(), tmp_path, monkeypatch, **OPTIONS)


def test_the_numbers_are_those_of_the_table(tmp_path):
    result = run(subject_of(), begin("it", {}, tmp_path, "it"), some(), **OPTIONS)
    assert list(result.numbers["layers"]) == ["conv2", "conv1"] and result.published == {}
    for layer, found in result.numbers["layers"].items():
        for what, count in (("nose", 3), ("random", 9)):
            mine = [row for row in result.rows if (row["layer"], row["occlusion"]) == (layer, what)]
            assert len(mine) == found[what]["pairs"] == count
            assert found[what]["mean"] == pytest.approx(np.mean([row["distance"] for row in mine]))
            assert found[what]["std"] == pytest.approx(np.std([row["distance"] for row in mine]))


def test_the_command(place):  # noqa: F811
    listed = [
        {"file": "a.png", "parts": {"nose": [20, 14]}},
        {"file": "b.png", "parts": {"nose": [12, 20]}},
    ]
    Image.open("a.png").rotate(90).save("b.png")
    pathlib.Path("parts.json").write_text(json.dumps({"pictures": listed}))
    options = ["--layer", "2", "--layer", "1", "--size", "5", "--device", "cpu"]
    result = CliRunner().invoke(main, ["correspondence", "parts.json", *options])
    assert result.exit_code == 0, result.output
    folder = pathlib.Path(result.stdout.splitlines()[-1])
    about = json.loads((folder / "correspondence.json").read_text())
    assert about["options"]["pictures"][1]["parts"] == {"nose": [5, 14]} and about["options"][
        "layers"
    ] == ["2", "1"]
    refused = CliRunner().invoke(
        main, ["correspondence", "parts.json", "--layer", "9", "--device", "cpu"]
    )
    assert refused.exit_code == 2 and "There is no layer '9'" in refused.stderr


def check_law(seed, tmp_path, count=12):
    about = subject.load("weights/scenes.h5", "scenes:12", Device())
    pictures = marked(about, count=count, seed=seed)
    found = run(about, begin("it", {}, tmp_path, "it"), pictures, random=10, seed=seed)
    for kind in ("mean", "of_changed"):
        table = {
            layer: {what: one[kind] for what, one in row.items()}
            for layer, row in found.numbers["layers"].items()
        }
        assert (
            np.mean([table["conv5"][part] for part in correspondence.FACE])
            < table["conv5"]["random"]
        ), kind
    assert (
        max(found.numbers["layers"]["conv5"][part]["of_changed"] for part in correspondence.FACE)
        < 0.95 * (found.numbers["layers"]["conv5"]["random"]["of_changed"])
    )
    assert found.published["conv5"]["nose"] == {
        "mean": PAPER["conv5"]["nose"][0],
        "std": PAPER["conv5"]["nose"][1],
    }


def test_parts_correspond_better_than_random_places_at_layer_5(tmp_path):
    check_law(0, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_so_they_do_in_other_faces(seed, tmp_path):
    check_law(seed, tmp_path)
