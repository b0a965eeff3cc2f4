"""Figure 7: every number is what covering the picture by hand gives, and the maps show what the
paper says.
"""

import json
import pathlib

import nets
import numpy as np
import pytest
from click.testing import CliRunner
from laws import assert_close
from PIL import Image
from subjects import data_of, same_if_interrupted, subject_of
from test_visualize_cli import place, small_net  # noqa: F401

from rawconv.cli.experiments import main
from rawconv.data import scenes
from rawconv.data.preprocessing import preprocess
from rawconv.errors import RawconvError, UsageError
from rawconv.experiments import subject
from rawconv.experiments.evidence import correlation
from rawconv.experiments.occlusion import Covered, Places, respond, run
from rawconv.experiments.study import begin
from rawconv.experiments.subject import Shown, filling, shown
from rawconv.layers import GEMM
from rawconv.layers.softmax import softmax
from rawconv.machine.arrays import Device
from rawconv.net import Net
from rawconv.visualize.forward_pass import ForwardPass, forward_pass
from rawconv.visualize.projection import project


def by_hand(net, image, boxes, fill, name, label):
    """(activity, P(label), most probable class, its P) of each box, from whole pictures, one by one."""
    x, grey = preprocess(net, image[None]), preprocess(net, fill[None])
    y = net.forward(x.copy(), name)[0]
    number, found = int(y.sum(axis=(0, 1, 2)).argmax()), []
    for top, left, bottom, right in boxes:
        one = x.copy()
        one[:, top:bottom, left:right] = grey[:, top:bottom, left:right]
        p = softmax(net.forward(one.copy())[0]).ravel()
        found.append(
            (net.forward(one, name)[0][0, :, :, number].sum(), p[label], int(p.argmax()), max(p))
        )
    return [np.array(column) for column in zip(*found, strict=True)]


@pytest.mark.parametrize(
    ("side", "stride", "fill"), [(1, 7, "128"), (9, 4, "mean"), (12, 5, "255,0,30"), (60, 9, "0")]
)
def test_the_maps_are_those_of_covered_images(side, stride, fill):
    net = small_net().astype("float64")
    net.execution = GEMM
    net["fc3"].weight *= 1e-4
    image, filled = data_of(3).val.read([2])[0], filling(net, fill)
    places = Places.of(net.shape, side, stride)
    found = respond(net, Covered.of(net, image, filled, "relu2"), places.boxes, 1)
    activity, p, best, best_p = by_hand(net, image, places.boxes, filled, "relu2", 1)
    assert_close(found["activity"], activity, 1e-12)
    assert_close(found["true"], p, 1e-12)
    np.testing.assert_array_equal(found["best"], best)
    assert_close(found["best_p"], best_p, 1e-12)
    assert np.ptp(p) > 1e-6 or side == 60


def test_images_that_are_not_square():
    """A net for wide pictures: rows stay rows."""
    net = Net((18, 41, 3), nets.make(np, nets.FULL, (18, 41, 3)).layers)
    x = nets.image(shape=net.shape)
    covered = Covered(ForwardPass(net, x).maps, 0 * x, "relu3", 2, 1.0)
    places = Places.of(net.shape, 7, 4)
    assert places.boxes.shape == (len(places.rows) * len(places.columns), 4) and len(
        places.rows
    ) < len(places.columns)
    found = respond(net, covered, places.boxes, 1)
    for index in (0, 8, len(places.boxes) - 1):
        one, (top, left, bottom, right) = x.copy(), places.boxes[index]
        one[:, top:bottom, left:right] = 0
        assert found["activity"][index] == pytest.approx(
            net.forward(one, "relu3")[0][..., 2].sum(), rel=1e-12
        )
        at = places.middle(index)
        assert top <= at["y"] < bottom and left <= at["x"] < right
        assert places.grid(np.arange(len(places.boxes)))[at["y"] // 4, at["x"] // 4] == index


def test_places_are_centred_cover_every_pixel_and_stay_inside():
    for shape, side, stride in (
        ((24, 24), 8, 4),
        ((31, 17), 5, 5),
        ((9, 30), 50, 7),
        ((10, 10), 1, 1),
        ((6, 7), 3, 90),
    ):
        places, seen = Places.of(shape, side, stride), np.zeros(shape)
        for top, left, bottom, right in places.boxes:
            assert 0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]
            seen[top:bottom, left:right] += 1
        assert seen.all() or side < stride
        for line, length in zip((places.rows, places.columns), shape, strict=True):
            assert 0 <= (length - 1 - line[-1]) - line[0] <= 1


def test_correlation_counts_the_energy_under_each_box():
    rng = np.random.default_rng(0)
    down, boxes = rng.standard_normal((11, 13, 3)), Places.of((11, 13), 5, 3).boxes
    drop = rng.random(len(boxes))
    under = [(down[top:bottom, left:right] ** 2).sum() for top, left, bottom, right in boxes]
    assert correlation(drop, down, boxes) == pytest.approx(np.corrcoef(drop, under)[0, 1])
    assert correlation(np.array(under) * 3 + 1, down, boxes) == pytest.approx(1)
    assert np.isnan(correlation(np.ones(len(boxes)), down, boxes))


def test_on_the_device(xp):
    """The same numbers as on the CPU."""
    found = []
    for where in (Device(), Device() if xp is np else Device(0)):
        net = subject_of(small_net(), device=where).net
        covered = Covered.of(net, data_of(1).val.read([0])[0], filling(net, "mean"), "relu2")
        found.append(respond(net, covered, Places.of(net.shape, 8, 8).boxes, 0))
    assert_close(found[1]["activity"], found[0]["activity"], 1e-5)
    np.testing.assert_allclose(found[1]["true"], found[0]["true"], atol=1e-4)


OPTIONS = {"layer": "conv2", "square": 8, "stride": 2}


def some(count=2):
    return [
        Shown(f"picture {k}", image, k % 2)
        for k, image in enumerate(data_of(count).val.read(range(count)))
    ]


def test_an_interrupted_run_ends_with_the_same_numbers(tmp_path, monkeypatch):
    def it(subject, study, **options):
        return run(subject, study, some(), **options)

    same_if_interrupted(it, subject_of(), tmp_path, monkeypatch, **OPTIONS)


def test_the_numbers_are_those_of_the_table(tmp_path):
    result = run(subject_of(), begin("it", {}, tmp_path, "it"), some(), **OPTIONS)
    assert len(result.rows) == 2 * result.numbers["places"] == 2 * 12 * 12
    for one in result.numbers["pictures"]:
        rows = [row for row in result.rows if row["picture"] == one["picture"]]
        lowest = min(rows, key=lambda row: row["true"])
        assert one["lowest_p"] == {
            "y": lowest["y"],
            "x": lowest["x"],
            "p": pytest.approx(lowest["true"]),
        }
        assert one["stays"] == pytest.approx(np.mean([row["best"] == one["class"] for row in rows]))
        share = min(row["activity"] for row in rows) / one["activity"]
        assert one["lowest_activity"]["share"] == pytest.approx(share)
    assert result.figure.startswith(b"\x89PNG") and len(result.sentences) == 2 + 3


def test_nulls_and_curves_are_about_other_pictures_or_the_named_ones(tmp_path):
    """`measured` validation pictures spread over the split; with none the pictures themselves."""
    about, asked = subject_of(), []
    read, split = about.data.val.read, about.data.val
    split.read = lambda ids: asked.append(list(ids)) or read(ids)
    found = run(about, begin("it", {}, tmp_path / "a", "it"), some(), measured=4, **OPTIONS)
    assert found.numbers["measured"]["pictures"] == 4 and [0, 3, 7, 11] in asked
    found = run(subject_of(), begin("it", {}, tmp_path / "b", "it"), some(), **OPTIONS)
    assert found.numbers["measured"]["pictures"] == 2
    assert len(found.sentences) == 5


def test_one_image_of_one_class_is_enough(tmp_path):
    """There are no other pictures to project the map from, then."""
    result = run(subject_of(data=data_of(1)), begin("it", {}, tmp_path, "it"), some(1), **OPTIONS)
    assert len(result.numbers["pictures"]) == 1 and result.figure.startswith(b"\x89PNG")


def test_shown_are_images_that_the_net_gets_right_of_different_classes():
    about = subject_of()
    found = shown(about, count=3)
    best = subject.probabilities(about.net, np.stack([one.image for one in found])).argmax(axis=1)
    assert [one.label for one in found] == best.tolist()
    assert len({one.label for one in found}) == 2 or len(set(best)) == 1


def test_shown_ends_with_an_image_that_the_net_gets_wrong():
    about = subject_of()
    right, found = shown(about, count=2), shown(about, count=2, wrong=1)
    assert [one.name for one in found[:2]] == [one.name for one in right] and len(found) == 3
    best = subject.probabilities(about.net, found[2].image[None]).argmax()
    assert best != found[2].label
    labels, split = about.data.val.labels, about.data.val
    earlier = split.read(range(split.names.index(found[2].name)))
    p = subject.probabilities(about.net, earlier)
    assert (p.argmax(axis=1) == labels[: len(earlier)]).all(), "the first one"


def test_refusals(tmp_path):
    dead = small_net()
    dead["conv2"].bias[:] = -1e6
    with pytest.raises(RawconvError, match="No map of conv2 responds"):
        run(subject_of(dead), begin("it", {}, tmp_path, "it"), some(), **OPTIONS)
    for fill in ("300", "1,2", "grey", "-3", ""):
        with pytest.raises(UsageError, match="is no colour"):
            filling(small_net(), fill)
    wrong = small_net()
    wrong["fc3"].bias[:] = [1e6, 0]
    data = data_of(4)
    data = data._replace(val=subject.DataSet(*data).val)
    data.val.labels[:] = 1
    with pytest.raises(RawconvError, match="gets no picture of nowhere right"):
        shown(subject_of(wrong, data))
    with pytest.raises(RawconvError, match="does not know zebra"):
        shown(subject_of(data=data_of(4)._replace(classes=["cat", "zebra"])))


def test_the_command(place):  # noqa: F811
    """Of a wide picture the middle is seen."""
    wide = np.random.default_rng(3).integers(0, 256, (26, 48, 3), np.uint8)
    Image.fromarray(wide).save("wide.png")
    Image.fromarray(wide[:, 11:37]).save("middle.png")
    told = []
    for number, image in enumerate(("wide.png", "middle.png"), 1):
        options = [
            "--layer",
            "2",
            "--square",
            "6",
            "--stride",
            "6",
            "--label",
            "cat",
            "--device",
            "cpu",
        ]
        result = CliRunner().invoke(main, ["occlusion", image, *options])
        assert result.exit_code == 0, result.output
        folder = pathlib.Path(result.stdout.splitlines()[-1])
        assert folder == pathlib.Path(f"runs/tiny-pictures-1/occlusion-{number}")
        about = json.loads((folder / "occlusion.json").read_text())
        assert about["options"]["pictures"][0]["name"] == image and about["published"] == {}
        told.append(about["numbers"]["pictures"][0] | {"picture": ""})
    assert told[0] == told[1] and told[0]["class"] == "cat"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["b.png"], 2, "There is no picture b.png"),
        (["pictures"], 2, "is a folder"),
        (["a.png", "--label", "dog"], 2, "no class 'dog'; its classes are cat, sea dog"),
        (["--label", "cat"], 2, "name one, or leave it out"),
        (["--fill", "grey"], 2, "--fill grey is no colour"),
        (["--layer", "9"], 2, "There is no layer '9'"),
        (["broken.png"], 1, "broken.png is not a picture"),
    ],
)
def test_the_command_refuses(place, arguments, code, says):  # noqa: F811
    pathlib.Path("broken.png").write_bytes(b"no")
    result = CliRunner().invoke(main, ["occlusion", "--layer", "2", *arguments, "--device", "cpu"])
    assert result.exit_code == code and "Error: " in result.stderr and says in result.stderr, (
        result.output
    )
    assert [path.name for path in pathlib.Path("runs/tiny-pictures-1").iterdir()] == ["last.h5"]


def test_on_the_shipped_net_the_object_and_the_projection_are_what_counts():
    """The minimum of P(true class) lies in the object's box, which is half of the picture; and
    covering what a map's projection shows lowers the map more than covering elsewhere."""
    about = subject.load("rawconv/scenes.h5", "scenes:12", Device())
    net, split = about.net, about.data.val
    places, fill, inside, correlations = Places.of(net.shape, 16, 4), filling(net, "128"), [], []
    for one in shown(about, count=24):
        covered = Covered.of(net, one.image, fill, "relu5")
        found = respond(net, covered, places.boxes, one.label)
        top, left, bottom, right = scenes.truth(
            int(split.names[split.names.index(one.name)].split()[1])
        ).box
        at = places.middle(found["true"].argmin())
        inside.append(top <= at["y"] < bottom and left <= at["x"] < right)
        (projection,) = project(forward_pass(net, one.image), [f"relu5:{covered.number}:*"])
        down = projection.pixels
        correlations.append(correlation(-found["activity"], down, places.boxes))
    assert np.mean(inside) >= 0.9
    assert np.mean(correlations) > 0.5 and min(correlations) > 0
