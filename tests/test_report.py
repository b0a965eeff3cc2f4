"""The page: all of a net's units in one file that asks for nothing."""

import html as markup
import re

import numpy as np
import pytest
from reports import HISTORY, HOSTILE, data_in, data_of, make, net_of, pixels

from rawconv.data.preprocessing import preprocess
from rawconv.layers import GRADIENT, Execution
from rawconv.report import html, sheets
from rawconv.report.look import Look
from rawconv.report.places import place_sheet, shrink
from rawconv.report.thumbnails import thumbnails
from rawconv.report.winners import Way
from rawconv.visualize.images import crop, display
from rawconv.visualize.shortcuts import project
from rawconv.visualize.units import Unit, layer_object


def test_asks_for_nothing_from_outside():
    page = make()[0].decode()
    addresses = set(
        re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`]*", re.sub(r"data:image/[^\"]+", "", page))
    )
    assert addresses <= {"https://arxiv.org/abs/1311.2901", "//www.w3.org/2000/svg"}
    assert not re.search(
        r"<link(?![^>]*href=\"data:)|@import|url\(|<iframe|\bfetch\(|XMLHttpRequest|\bsrc=\"(?!data)",
        page,
    )
    assert (
        "default-src 'none'" in page
        and "innerHTML" not in page
        and "{{" not in page.replace("{{data}}", "")
    )


def test_names_are_never_markup():
    page = make(data=data_of(names=[HOSTILE] * 12))[0]
    assert page.count(b"<script") == 2 and page.count(b"</script>") == 2 and b"<img" not in page
    about = data_in(page)
    assert about["classes"] == ["lion", HOSTILE]
    assert about["layers"][0]["maps"][0]["units"][0]["picture"] == HOSTILE


def test_title_is_escaped():
    net = net_of()
    net.model = "<b>"
    assert f"<title>{markup.escape('<b>')} · random" in make(net, ["conv1"])[0].decode()


def test_equal_nets_give_equal_pages():
    assert make()[0] == make()[0]
    assert make()[0] != make(net_of(1))[0]


def test_every_unit_is_there():
    page, found = make()
    about, net = data_in(page), net_of()
    assert [layer["name"] for layer in about["layers"]] == ["conv1", "conv2", "scores"]
    for layer in about["layers"]:
        best = found[layer_object(net, layer["name"])]
        assert [one["n"] for one in layer["maps"]] == list(range(len(best.value)))
        for one in layer["maps"]:
            assert len(one["units"]) == 4
            for rank, unit in enumerate(one["units"]):
                assert unit["value"] == pytest.approx(best.value[one["n"], rank], rel=1e-5)
                assert (unit["y"], unit["x"]) == (best.y[one["n"], rank], best.x[one["n"], rank])
                assert unit["class"] == best.label[one["n"], rank]
                assert unit["picture"] == f"picture {best.image[one['n'], rank]}"
                assert len(unit["energy"]) == len(unit["share"]) == len(layer["steps"])
            assert ("sheet" in one) == ("path" in one) == (not one["dead"])
    assert [one["n"] for one in about["layers"][1]["maps"] if one["dead"]] == [3]


def test_chosen_maps_only_and_of_very_many_the_strongest(monkeypatch):
    assert [
        m["n"]
        for m in data_in(make(maps={"relu2": [7, 2]}, layers=["conv2"])[0])["layers"][0]["maps"]
    ] == [7, 2]
    monkeypatch.setattr(html, "MAPS", 5)
    shown = [m["n"] for m in data_in(make(layers=["conv2"])[0])["layers"][0]["maps"]]
    assert len(shown) == 5 and 3 not in shown


@pytest.mark.parametrize(
    ("layer", "look"), [("conv2", Look()), ("conv1", Look(GRADIENT, 100)), ("scores", Look())]
)
def test_tiles_are_the_projections_and_patches(layer, look):
    net, data = net_of(), data_of()
    page, found = make(net, [layer], look=look, data=data)
    layer, best = data_in(page)["layers"][0], found[layer_object(net, layer)]
    (height, width), (down, right) = layer["tile"], layer["cell"]
    one = layer["maps"][1]
    sheet = pixels(one["sheet"])
    assert sheet.shape == (2 * down, 4 * right, 3)
    for rank, unit in enumerate(one["units"]):
        seen = Unit(0, layer["name"], 1, unit["y"], unit["x"])
        stored, box = data.val.read([best.image[1, rank]])[0], seen.shown_box(net)
        r = project(net, stored, str(seen), look.rules)
        want = display(crop(r, box, 0), look.percentile), crop(stored[1:25, 1:25], box)
        for face in (0, 1):
            got = sheet[face * down : face * down + height, rank * right : rank * right + width]
            assert np.abs(got.astype(int) - want[face]).max() <= 1


def test_the_pictures_of_the_units_are_there_small():
    net, data = net_of(), data_of()
    page, found = make(net, ["conv2"], data=data)
    about = data_in(page)
    places, best = about["places"], found["relu2"]
    sheet, (down, right) = pixels(places["sheet"]), places["cell"]
    assert sorted(places["images"]) == sorted(set(best.image.ravel().tolist()))
    assert list(sheet.shape[:2]) == places["size"] and places["tile"] == [24, 24]
    for k, image in enumerate(places["images"]):
        top, left = k // places["columns"] * down, k % places["columns"] * right
        want = data.val.read([image])[0][1:25, 1:25]
        np.testing.assert_array_equal(sheet[top : top + 24, left : left + 24], want)
    units = about["layers"][0]["maps"][1]["units"]
    assert [unit["image"] for unit in units] == best.image[1].tolist()


def test_many_pictures_are_smaller():
    picture = np.zeros((60, 80, 3), np.uint8)
    ways = {
        Unit(k, "conv2", 0, 0, 0): Way(None, [], [], [], shrink(picture[None])(0))
        for k in range(3000)
    }
    places = place_sheet(ways)
    assert places["tile"] == (24, 32), (
        "48 pixels wide they would be 7 million pixels, 32 wide 3 million"
    )
    assert place_sheet(dict(list(ways.items())[:50]))["tile"] == (36, 48)


def test_without_patches():
    about = data_in(make(look=Look(patches=False), layers=["conv2"])[0])
    layer = about["layers"][0]
    assert about["places"] is None, "the pictures are not handed on"
    assert not layer["patches"] and pixels(layer["maps"][0]["sheet"]).shape[0] == layer["cell"][0]


def test_steps_are_those_of_the_walk_down():
    net, data = net_of(), data_of()
    page, found = make(net, ["conv2"], data=data)
    layer, best = data_in(page)["layers"][0], found["relu2"]
    verbs = [(step["verb"], step["layer"]) for step in layer["steps"]]
    assert verbs == [("rectify", "relu2"), ("filter", "conv2"), ("norm", "norm1"), ("unpool", "pool1"),
                     ("rectify", "relu1"), ("filter", "conv1")]  # fmt: skip
    assert [step["skipped"] for step in layer["steps"]] == [False, False, True, False, False, False]
    assert layer["steps"][-1]["shape"] == [24, 24, 3] and layer["steps"][1]["shape"] == list(
        net.shapes["norm1"]
    )
    unit = layer["maps"][5]["units"][2]
    stored = data.val.read([best.image[5, 2]])
    y, caches = net.forward(preprocess(net, stored), "relu2")
    r = np.zeros_like(y)
    r[0, unit["y"], unit["x"], 5] = y[0, unit["y"], unit["x"], 5]
    for step, name in enumerate(reversed(caches)):
        r = net[name].deconv(r, caches[name])
        assert unit["energy"][step] == pytest.approx((r.astype(float) ** 2).sum(), rel=1e-3)
        assert unit["share"][step] == pytest.approx((r != 0).mean(), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("conv", ["winograd", "auto"])
def test_shares_count_what_can_be_and_nothing_more(conv):
    """Whatever computes the convolutions, one unit of conv2 reaches no more than 3x3 places below it."""
    net = net_of()
    net.execution = Execution(conv)
    units = [
        unit
        for one in data_in(make(net, ["conv2"])[0])["layers"][0]["maps"]
        for unit in one["units"]
    ]
    height, width, _ = net.shapes["norm1"]
    assert all(
        unit["share"][0] in (0, pytest.approx(1 / (height * width * 20), rel=1e-3))
        for unit in units
    )
    assert max(unit["share"][1] for unit in units) == pytest.approx(9 / (height * width), rel=1e-3)
    assert net.execution == Execution(conv)


def test_thumbnails():
    r = np.zeros((6, 5, 9), np.float32)
    r[1, 2, 4], r[0, 0, 7], r[5, 4, 7] = 2, -1, -3
    seen = thumbnails(r)
    assert seen.maps == [7, 4] and seen.pixels.shape == (6, 15)
    assert (
        seen.pixels[5, 9] == 1
        and seen.pixels[1, 12] == 128 + round(127 * 2 / 3)
        and seen.pixels[2, 11] == 128
    )
    assert thumbnails(r * 0).maps == [] and (thumbnails(r * 0).pixels == 128).all()
    assert thumbnails(np.ones((1, 1, 70), np.float32)).pixels.shape == (3, 32)
    assert thumbnails(np.ones((110, 90, 3), np.float32)).pixels.shape == (32, 4 * 26)


def test_large_tiles_are_exact_enough_and_do_not_mix():
    tiles = [np.full((43, 43, 3), 255 * (k % 2), np.uint8) for k in range(3)]
    sheet = pixels(sheets.sheet([tiles], (43, 43)))
    assert sheets.cell_size((43, 43)) == (48, 48) and sheet.shape == (48, 144, 3)
    for k in range(3):
        assert np.abs(sheet[:43, 48 * k : 48 * k + 43].astype(int) - 255 * (k % 2)).max() <= 2


def test_the_page_keeps_its_size(monkeypatch):
    assert data_in(make(layers=["scores"])[0])["layers"][0]["tile"] == [24, 24]
    monkeypatch.setattr(html, "PIXELS", 1000)
    monkeypatch.setattr(html, "SMALLEST", 8)
    layer = data_in(make(layers=["scores"])[0])["layers"][0]
    assert (
        layer["tile"] == [8, 8]
        and layer["shrunk"]
        and pixels(layer["maps"][0]["sheet"]).shape == (16, 32, 3)
    )


def test_facts_and_curves_and_what_foreign_checkpoints_say_instead():
    about = data_in(make(layers=["conv1"])[0])
    facts = dict(about["facts"])
    assert (
        facts["Validation top-1"] == "83.3%"
        and facts["Epochs trained"] == "5"
        and facts["Recipe: lr"] == "0.01"
    )
    assert (
        facts["Trained on"] == "pictures"
        and facts["Parameters"] == f"{sum(r['parameters'] for r in about['net']):,}"
    )
    assert [row["epoch"] for row in about["history"]] == [1, 2, 3, 4, 5] and about["filters"][
        "count"
    ] == 6
    for history in (
        None,
        3,
        [3],
        [{"epoch": 1}],
        [dict(HISTORY[0], val_loss=float("nan"))],
        [dict(HISTORY[0], lr="x")],
    ):
        about = data_in(
            make(
                layers=["conv1"],
                info={"history": history, "recipe": 3, "data": 4, "seed": float("inf")},
            )[0]
        )
        assert about["history"] == [] and dict(about["facts"])["Seed"] == "inf"
    assert data_in(make(layers=["conv1"], info={})[0])["history"] == []
