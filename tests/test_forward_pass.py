"""Images go up once: in a ForwardPass, in parts of one, and in every command that looks into a net."""

import hashlib
import json
import pathlib
from collections import Counter

import numpy as np
import pytest
from laws import assert_close, assert_same
from PIL import Image
from test_deconvnet import image, square_net
from test_pages import split_of
from test_visualize_cli import place, run, small_net  # noqa: F401

import rawconv
from rawconv.data.preprocessing import preprocess
from rawconv.errors import UsageError
from rawconv.net import Net
from rawconv.visualize.controls import control
from rawconv.visualize.forward_pass import (
    ForwardPass,
    at_once,
    forward_pass,
    forward_passes,
    passes_of_units,
)
from rawconv.visualize.projection import project
from rawconv.visualize.top_activations import scan
from rawconv.visualize.units import Unit


@pytest.fixture
def ups(monkeypatch):
    """Counter of {(the net's weights, an image as it went in): how often that went up}."""
    counted, plain = Counter(), Net.up

    def up(net, x, *given, **options):
        weights = id(next(iter(net.params.values())))
        counted.update((weights, hashlib.sha256(one.tobytes()).digest()) for one in x)
        return plain(net, x, *given, **options)

    monkeypatch.setattr(Net, "up", up)
    return counted


# ---------------------------------------------------------------------------------------------- a pass


def test_a_pass_holds_what_every_layer_says():
    net, images = square_net(), np.stack([image(seed=k) for k in range(3)])
    passed, x = forward_pass(net, images), preprocess(net, images)
    assert len(passed) == 3 and passed.logits.shape == (3, 4)
    assert_same(passed.logits, net.forward(x)[0].reshape(3, 4))
    for given, name in (
        ("conv1", "relu1"),
        ("pool1", "pool1"),
        (2, "relu2"),
        ("norm1", "norm1"),
        ("scores", "fc3"),
    ):
        assert_same(passed[given], net.forward(x, name)[0])
    np.testing.assert_array_equal(passed.center_crops(), images[:, 1:25, 1:25])
    assert list(passed.caches_to("relu2")) == ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2"]


def test_a_pass_that_stopped_below_says_so():
    passed = forward_pass(square_net(), image(), ["conv1", "pool1"])
    assert passed["conv1"].any() and list(passed.caches) == ["conv1", "relu1", "pool1"]
    with pytest.raises(UsageError, match="went up to pool1 only; name conv2 among the layers"):
        passed["conv2"]
    with pytest.raises(UsageError, match="went up to pool1 only"):
        passed.classes()
    with pytest.raises(UsageError, match="went up to pool1 only"):
        project(passed, ["conv2:1"])


def test_the_strongest_units_of_an_image():
    net, images = square_net(), np.stack([image(seed=k) for k in range(3)])
    passed = forward_pass(net, images)
    y = passed["conv2"][2]
    best = y.max(axis=(0, 1))
    found = passed.strongest("conv2", 3, image=2)
    assert [unit.channel for unit in found] == np.argsort(-best, kind="stable")[:3].tolist()
    assert all(
        y[unit.y, unit.x, unit.channel] == best[unit.channel] and unit.image == 2 for unit in found
    )
    assert [unit.channel for unit in passed.strongest("conv2", 1, channels=[4, 0, 4], image=2)] == [
        4,
        0,
        4,
    ]
    assert passed.unit(f"conv2:{found[0].channel}", 2) == found[0]
    assert passed.unit("2:3:1:0") == Unit(0, "conv2", 3, 1, 0)
    net["conv2"].bias[:] = -1e6
    assert forward_pass(net, images).strongest("conv2") == [], (
        "where all is dead nothing is strongest"
    )
    assert len(passed.strongest("scores", 3)) == 3, "a score counts, whatever its sign"


def test_dead_units_are_told_in_a_sentence():
    net = square_net()
    net["conv2"].bias[3] = -1e6
    passed = forward_pass(net, image())
    y = passed["conv2"][0]
    assert (
        passed.dead("conv2:3:1:1")
        == passed.dead(Unit(0, "conv2", 3, whole=True))
        == (
            "conv2:3 is 0 everywhere in this picture: it is dead there and its projection is empty."
        )
    )
    channel = next(k for k in range(7) if y[..., k].any() and not y[..., k].all())
    top, left = np.argwhere(y[..., channel] == 0)[0]
    best = passed.unit(f"conv2:{channel}")
    told = passed.dead(Unit(0, "conv2", channel, int(top), int(left)))
    assert (
        told.startswith(f"conv2:{channel}:{top}:{left} is 0 in this picture")
        and f"is {best}, with " in told
    )
    assert passed.dead(best) == passed.dead("scores:1") == ""


def test_units_of_several_layers_come_back_in_their_order():
    """Places, whole maps and names, of several images; each the projection of a pass of its own."""
    net, images = square_net(), np.stack([image(seed=k) for k in range(3)])
    passed = forward_pass(net, images)
    units = [
        *passed.strongest("conv2", 2, image=1), Unit(2, "conv1", 3, whole=True), "pool1:2", Unit(1, "conv2", 5),
        Unit(0, "scores", 2), Unit(2, "conv2", 6, 0, 4),
    ]  # fmt: skip
    found = list(project(passed, units))
    assert [str(one.unit).split(":")[:2] for one in found] == [
        str(unit).split(":")[:2] for unit in units
    ]
    assert [one.unit.image for one in found] == [1, 1, 2, 0, 1, 0, 2]
    for one in found:
        alone = rawconv.project(net, images[one.unit.image], str(one.unit))
        assert_close(one.pixels, alone, 1e-5)
        y = passed[one.unit.layer][one.unit.image, :, :, one.unit.channel]
        assert one.value == pytest.approx(y.max() if one.unit.whole else y[one.unit.y, one.unit.x])
        assert one.dead == (not one.pixels.any()) and one.shown_box == one.unit.shown_box(net)
        assert one.box == one.unit.box(net)
        assert one.unit.inner_box(net) == tuple(np.clip(one.shown_box, 0, 24))
    assert any(one.unit.inner_box(net) != one.shown_box for one in found)
    assert found[2].box == (0, 0, 24, 24)
    assert list(project(passed, [])) == []


# ---------------------------------------------------------------------------------------------- parts


def test_parts_fit_their_budget_and_send_each_image_up_once(ups):
    net, split = square_net(), split_of(11)
    found = scan(net, split, ["conv1", "conv2"], 3, progress=False)
    units = found["conv1"].units("conv1", [0, 1]) + found["conv2"].units("conv2")
    ups.clear()
    one, seen = at_once(net, ["conv2"], 1 << 30), []
    budget = 3 * ((1 << 30) // one + 1)
    assert at_once(net, ["conv2"], budget) == 3
    for passed, pairs, others in passes_of_units(net, split, units, budget):
        assert len(passed) <= 3 and others is None
        for unit, here in pairs:
            assert here == unit._replace(image=here.image)
            np.testing.assert_array_equal(passed.images[here.image], split.read([unit.image])[0])
            assert passed[unit.layer][here.image, unit.y, unit.x, unit.channel] == pytest.approx(
                found[unit.layer].value[
                    unit.channel, list(found[unit.layer].image[unit.channel]).index(unit.image)
                ]
            )
        seen += [unit for unit, _ in pairs]
    assert sorted(seen) == sorted(units) and set(ups.values()) == {1}
    assert len(ups) == len({unit.image for unit in units})


def test_images_go_up_as_far_as_their_units_need():
    net, split = square_net(), split_of(4)
    units = [Unit(3, "conv1", 0, 0, 0), Unit(0, "conv2", 1, 0, 0), Unit(3, "conv1", 2, 1, 1)]
    parts = list(passes_of_units(net, split, units, 1))
    assert [list(passed.caches)[-1] for passed, *_ in parts] == ["relu1", "relu2"]
    assert [[unit for unit, _ in pairs] for _, pairs, _ in parts] == [
        [units[0], units[2]],
        [units[1]],
    ]


@pytest.mark.parametrize("workspace", [1 << 30, 1])
def test_the_image_beside_goes_up_too(workspace):
    net, split = square_net(), split_of(7)
    units = [Unit(k, "conv2", 1, 2, 2) for k in (0, 3, 6)]
    beside = lambda image: (image + 3) % 7  # noqa: E731
    for passed, pairs, others in passes_of_units(net, split, units, workspace, beside):
        for unit, here in pairs:
            other = passed.images[others[here.image]]
            np.testing.assert_array_equal(other, split.read([beside(unit.image)])[0])


@pytest.mark.parametrize("workspace", [1 << 30, 1])
def test_each_image_has_the_next_beside_it(workspace):
    """So that a control finds the switches of the next image, that of the first after the last."""
    net, images = square_net(), np.stack([image(seed=k) for k in range(5)])
    exchanged, rows = control(net, "other-switches"), []
    for part, passed in forward_passes(net, images, ["conv2"], workspace, with_next=True):
        for row, k in enumerate(range(*part.indices(5))):
            (got,) = project(passed, [Unit(row, "conv2", 2, 1, 1)], control=exchanged)
            pair = ForwardPass(net, preprocess(net, images[[k, (k + 1) % 5]]), ["conv2"])
            (want,) = project(pair, [Unit(0, "conv2", 2, 1, 1)], control=exchanged)
            assert_close(got.pixels, want.pixels, 1e-5)
            rows.append(k)
    assert rows == list(range(5))


# ---------------------------------------------------------------------------------------------- commands


def test_images_go_up_once_for_all_layers(place, ups):  # noqa: F811
    Image.open("a.png").rotate(90).save("b.png")
    run(
        "a.png",
        "b.png",
        "--layer",
        "1",
        "--layer",
        "pool1",
        "--layer",
        "2",
        "--layer",
        "scores",
        "--out",
        "out",
    )
    # the two, and those of the data set that are scanned for what the maps like
    assert len(ups) > 2 and set(ups.values()) == {1}
    assert len(json.loads(pathlib.Path("out/index.json").read_text())["pictures"][1]["layers"]) == 4


@pytest.mark.parametrize(
    "name", ["mismatched-filters", "other-unit", "no-switches", "other-switches"]
)
def test_images_go_up_once_with_a_control(place, ups, name):  # noqa: F811
    Image.open("a.png").rotate(90).save("b.png")
    run("a.png", "b.png", "--layer", "1", "--layer", "2", "--control", name, "--out", "out")
    assert sorted(ups.values()) == [1, 1]


def test_a_trace_sends_its_image_up_once(place, ups):  # noqa: F811
    run("--trace", "conv2:3:1:2", "a.png")
    assert list(ups.values()) == [1]


def test_a_scan_sends_its_winners_up_once_more_figures_and_page_together(place, ups):  # noqa: F811
    options = (
        "--split",
        "train",
        "--top",
        "3",
        "--layer",
        "1",
        "--layer",
        "2",
        "--layer",
        "scores",
    )
    run(*options, "--out", "runs/one", "--report", "page.html")
    about = json.loads(pathlib.Path("runs/one/index.json").read_text())
    assert len(ups) == about["pictures"] and max(ups.values()) == 2, (
        "the scan, and the winners once more"
    )
    ups.clear()
    run(*options, "--out", "runs/two", "--report", "again.html")
    assert set(ups.values()) == {1}, "what an earlier scan found needs no other"
    ups.clear()
    run("--split", "train", "--layer", "2", "--control", "no-switches", "--out", "runs/three")
    assert set(ups.values()) <= {1, 2}


def test_functions_send_an_image_up_once(ups):
    net, images = square_net(), [image(seed=k) for k in range(3)]
    rawconv.classify(net, images)
    assert sorted(ups.values()) == [1, 1, 1]
    ups.clear()
    with pytest.warns(UserWarning, match="dead there"):
        net["conv2"].bias[3] = -1e6
        rawconv.project(net, images, "conv2:3")
    assert sorted(ups.values()) == [1, 1, 1]


def test_the_shipped_net_is_loaded_where_no_file_is_named(tmp_path, monkeypatch):
    """From any folder; and the other functions take what comes back."""
    monkeypatch.chdir(tmp_path)
    net = rawconv.load()
    images = rawconv.open_data("scenes:6").val.read(range(2))
    assert net.model == "zf64" and len(rawconv.classify(net, images)) == 2
    assert rawconv.project(net, images[0], "conv1:17:1:1").shape == (64, 64, 3)
    assert rawconv.scan(net, images, "conv1", 1, progress=False)["conv1"].value.shape == (48, 1)
