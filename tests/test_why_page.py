"""The page that says why given pictures were taken for what: its numbers, its pictures, and it in a browser."""

import pathlib

import numpy as np
import pytest
from browsing import PHONE, fits, tabs, violations
from PIL import Image
from reports import CLASSES, data_in, data_of, image, net_of, pixels
from test_visualize_cli import place, run  # noqa: F401

from rawconv.data.preprocessing import center_crop
from rawconv.report.liked import Liked, find_liked
from rawconv.report.why import Asked, why_page
from rawconv.visualize.contributions import contributions, last_layers
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.images import crop
from rawconv.visualize.occluder import Places, cover
from rawconv.visualize.units import layer_object

NET = net_of()
NAMES = ["a.png", "<img src=x onerror=alert(1)>.png"]


def liked_in(folder):
    layers = [layer_object(NET, layer) for layer in last_layers(NET)]
    (folder / "one").mkdir()
    return find_liked(NET, data_of(), "val", layers, folder / "one")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The first picture is not of the class that it is taken for; of the second nobody said its class."""
    images = [image(seed=k) for k in (50, 51)]
    guessed = int(forward_pass(NET, images[0]).logits[0].argmax())
    asked = [Asked(NAMES[0], images[0], 1 - guessed), Asked(NAMES[1], images[1])]
    return why_page(NET, asked, liked_in(tmp_path_factory.mktemp("why"))), images


def test_the_numbers_are_those_of_the_net(page):
    about, (first, _) = data_in(page[0]), page[1]
    one, two = about["pictures"]
    passed = forward_pass(NET, first)
    logits, guessed = passed.logits[0], int(passed.logits[0].argmax())
    assert [row[0] for row in one["classes"]] == [guessed, 1 - guessed]
    np.testing.assert_allclose([row[2] for row in one["classes"]], np.sort(logits)[::-1], rtol=1e-6)
    assert (one["guessed"], one["true"], one["other"]) == (guessed, 1 - guessed, 1 - guessed)
    assert two["true"] is None and two["other"] == 1 - two["guessed"]
    assert [layer["layer"] for layer in one["layers"]] == last_layers(NET)
    layer = one["layers"][0]
    assert layer["layer"] == "conv2"
    found = contributions(passed, "conv2", guessed, 1 - guessed)
    for_guessed, for_true = found.strongest(5)
    shown = [*for_guessed, *reversed(for_true)]
    assert [row["unit"] for row in layer["contributions"]] == [str(row.unit) for row in shown]
    np.testing.assert_allclose(
        [row["for"] for row in layer["contributions"]], [row.adds for row in shown], rtol=1e-3
    )
    assert (
        abs(sum(layer["sums"]) + layer["rest"] - layer["difference"])
        < 1e-3 * abs(layer["difference"]) + 1e-3
    )


def test_the_heat_is_what_a_square_does(page):
    heat, first = data_in(page[0])["pictures"][0]["heat"], page[1][0]
    places = Places.of(NET.shape, heat["side"], heat["rows"][1] - heat["rows"][0])
    p = np.concatenate([answers.p for answers in cover(forward_pass(NET, first), places.boxes)])
    assert heat["rows"] == places.rows.tolist()
    for one in heat["maps"]:
        np.testing.assert_allclose(one["values"], p[:, one["class"]], rtol=1e-3, atol=1e-6)


def test_the_tiles_of_a_unit(page, tmp_path):
    """A projection, the patch, and what its map likes: the pixels of the data set's pictures."""
    layer, liked = data_in(page[0])["pictures"][0]["layers"][0], liked_in(tmp_path)
    height, width = layer["tile"]
    for row in layer["contributions"]:
        sheet, unit = pixels(row["sheet"]), row["unit"].split(":")
        assert sheet.shape[1] == (2 + row["liked"]) * layer["cell"][1]
        best = liked.found["relu2"]
        assert row["liked"] == (best.value[int(unit[1])] > 0).sum()
        top, left, bottom, right = row["box"]
        seen = page[1][0][1:25, 1:25][max(0, top) : bottom, max(0, left) : right]
        inside = sheet[max(0, -top) :, layer["cell"][1] + max(0, -left) :][
            : len(seen), : seen.shape[1]
        ]
        assert np.array_equal(inside, seen)  # tiles this small are not compressed
        best_unit = best.units("conv2", [int(unit[1])])[0]
        box = best_unit.shown_box(NET)
        want = crop(center_crop(NET, liked.split.read([best_unit.image]))[0], box)
        patch = sheet[:height, 2 * layer["cell"][1] :][:, :width]
        assert np.array_equal(patch, want)


def test_without_a_data_set_the_page_says_so():
    about = data_in(
        why_page(NET, [Asked("a", image())], Liked(NET, None, {}, trouble="There is none."))
    )
    assert about["liked"] == ["", "There is none."]
    rows = about["pictures"][0]["layers"][0]["contributions"]
    assert rows and all(row["liked"] == 0 for row in rows)


@pytest.fixture
def opened(browser, page, tmp_path):
    """A function (how wide, colours) -> the opened tab."""
    (tmp_path / "why.html").write_bytes(page[0])
    with tabs(browser, offline=True) as new:

        def opened(*look):
            tab = new(*look)
            tab.goto((tmp_path / "why.html").as_uri())
            tab.wait_for_function(
                "document.querySelectorAll('canvas:not([data-drawn])').length === 0"
            )
            return tab

        yield opened


def test_what_is_read_on_it(opened, page):
    tab, about = opened(), data_in(page[0])
    assert tab.locator("article > h2").all_inner_texts() == NAMES
    guessed, other = (
        ["lion", CLASSES[1]][about["pictures"][0][role]] for role in ("guessed", "other")
    )
    words = tab.locator(".verdict").first.inner_text()
    assert (
        words.startswith(f"Taken for {guessed}"[:40]) and "; it is" in words and "number 2" in words
    )
    assert "compared with the second" in tab.locator(".verdict").nth(1).inner_text()
    first = tab.locator("article").first
    bars = first.locator(".class-bars li")
    assert (
        bars.count() == 2
        and "guessed" in bars.nth(0).inner_text()
        and "true class" in bars.nth(1).inner_text()
    )
    assert other[:20] in bars.nth(1).inner_text()
    layer = about["pictures"][0]["layers"][0]
    units = [row["unit"] for row in layer["contributions"]]
    shown = (
        first.locator(".why")
        .first.locator(".side li")
        .evaluate_all("rows => rows.map(row => row.dataset.unit)")
    )
    assert sorted(shown) == sorted(units) and shown[0] == units[0]
    assert (
        "Exact" in first.locator(".why").first.inner_text()
        and "its own scale" in tab.locator("#reading").inner_text()
    )
    heats = first.locator(".heats canvas")
    assert heats.count() == 2 and "Probability of" in heats.first.get_attribute("aria-label")
    pixels_of = "one.getContext('2d').getImageData(0, 0, one.width, one.height).data.buffer"
    colours = heats.first.evaluate(f"one => new Set(new Uint32Array({pixels_of})).size")
    assert colours > 50
    assert tab.locator("img, script[src]").count() == 0


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1400, "height": 900}, PHONE])
def test_it_fits_and_is_accessible(opened, viewport, colors):
    tab = opened(viewport, colors)
    assert fits(tab) and violations(tab) == []


def test_on_paper_everything_stands_there(opened):
    tab = opened()
    tab.emulate_media(media="print")
    assert all(
        tab.locator(part).first.is_visible()
        for part in (".side li canvas", ".heats canvas", "#reading")
    )
    assert (
        tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        == "rgb(255, 255, 255)"
    )


@pytest.mark.parametrize("width", [703, 725])  # of A4 and Letter, in CSS pixels between the margins
def test_on_paper_no_tile_is_cut(opened, width):
    tab = opened({"width": width, "height": 900}, "light")
    tab.emulate_media(media="print")
    outside = tab.evaluate("""() => [...document.querySelectorAll('.panel canvas, .panel svg')].filter(one => {
      const box = one.getBoundingClientRect();
      return ['.panel', '.side', 'figure'].some(outer => { const around = one.closest(outer);
        return around && box.right > around.getBoundingClientRect().right + 1; });
    }).length""")
    assert tab.locator(".liked canvas").count() > 9 and outside == 0


def test_by_the_command(place):  # noqa: F811
    """The true class is that of --label, else that of the folder."""
    pathlib.Path("sea dog").mkdir()
    Image.open("a.png").save("sea dog/b.png")
    run("--layer", 2, "a.png", "sea dog/b.png", "--report", "why.html", "--out", "out")
    about = data_in(pathlib.Path("why.html").read_bytes())
    assert [(one["name"], one["true"]) for one in about["pictures"]] == [
        ("a.png", None),
        ("b.png", 1),
    ]
    assert about["liked"][0] == "the 2 validation pictures of pictures"
    run("--layer", 2, "a.png", "--report", "why.html", "--label", "Cat", "--out", "out", "--force")
    assert data_in(pathlib.Path("why.html").read_bytes())["pictures"][0]["true"] == 0
    assert pathlib.Path("out/conv2-a.png").exists()
