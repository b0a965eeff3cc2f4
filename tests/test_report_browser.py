"""The page in a browser: it draws, answers clicks and keys, and complains of nothing."""

import io
import itertools
import pathlib
import re

import numpy as np
import pytest
from browsing import DESKTOP, PHONE, tabs
from PIL import Image
from reports import HISTORY, data_in, make, pixels


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(make(count=9)[0])
    return path.as_uri()


@pytest.fixture
def visit(browser, address):
    """A function (where in the page, how wide, colours) -> the opened tab."""
    with tabs(browser, offline=True) as new:

        def visit(where="", viewport=DESKTOP, colors="light"):
            tab = new(viewport, colors)
            tab.goto(address + where)
            return tab

        yield visit


def chosen(tab):
    return tab.locator(".card[aria-current]").get_attribute("data-map"), tab.locator(
        "#map-title"
    ).inner_text()


def test_the_page_draws(visit):
    tab = visit("#conv2")
    tab.wait_for_selector("#detail .tile canvas[data-drawn]")
    tab.wait_for_timeout(300)
    shot = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("RGB"))
    assert len(np.unique(shot.reshape(-1, 3), axis=0)) > 2000
    assert tab.locator(".card").count() == 20 and tab.locator(".tile").count() == 18
    drawn = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert all(tab.locator(".tile canvas").nth(k).evaluate(drawn) > 20 for k in range(18))


def test_clicking(visit):
    tab = visit("#conv2")
    tab.click('.card[data-map="7"]')
    assert chosen(tab) == ("7", "Map 7") and tab.url.endswith("#conv2/7")
    tab.click(".nine >> nth=1 >> .tile >> nth=4")
    assert tab.url.endswith("#conv2/7/5") and "Unit 5" in tab.locator("#unit h3").first.inner_text()
    assert (
        tab.locator(".tile[aria-pressed=true]").count() == 2 and tab.locator(".thumbs").count() == 0
    )
    assert [text.split()[0] for text in tab.locator(".way .verb b").all_inner_texts()] == [
        "start", "rectify", "filter", "norm", "unpool", "rectify", "filter"
    ]  # fmt: skip
    tab.click(".nine >> nth=0 >> .tile >> nth=0")
    assert (
        tab.locator(".thumbs").count() == 5
        and "picture " in tab.locator("#unit .facts").inner_text()
    )
    tab.click("nav >> text=conv1")
    assert tab.locator(".card").count() == 6 and tab.locator(".weights canvas").count() == 1
    tab.go_back()
    assert tab.locator(".card").count() == 20
    tab.click('.card[data-map="3"]')
    assert "Dead" in tab.locator("#detail").inner_text() and tab.locator(".tile").count() == 0


def test_keyboard(visit):
    tab = visit("#conv2")
    order = tab.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.map)")
    tab.locator('.card[tabindex="0"]').focus()
    assert chosen(tab)[0] == order[0]
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert chosen(tab)[0] == order[2]
    tab.keyboard.press("ArrowDown")
    below = chosen(tab)[0]
    assert order.index(below) > 3
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.className") == "tile"
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowDown")
    assert (
        tab.url.endswith(f"#conv2/{below}/5")
        and tab.evaluate("document.activeElement.dataset.rank") == "4"
    )
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.dataset.map") == below
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "search"


def test_search_and_sort(visit):
    tab = visit("#conv2")
    tab.fill("#search", "LION")
    found = tab.locator(".card .note").all_inner_texts()
    hits = [int(re.fullmatch(r"(\d) of 9", note)[1]) for note in found]
    assert (
        hits == sorted(hits, reverse=True) and "with “LION”" in tab.locator("#count").inner_text()
    )
    own = int(tab.locator(".card[aria-current] .note").inner_text()[0])
    assert tab.locator(".tile.match").count() == 2 * own
    tab.fill("#search", "12")
    assert tab.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.map)") == [
        "12"
    ]
    assert chosen(tab)[0] == "12"
    tab.fill("#search", "Picture 3")  # the name of a file
    named = tab.locator(".card .note").all_inner_texts()
    assert named and all(note == "1 of 9" for note in named)
    assert "its own scale" in tab.locator("#detail").inner_text()
    tab.fill("#search", "nothing like it")
    assert tab.locator(".card").count() == 0 and tab.locator("#count").inner_text().startswith(
        "0 of 20"
    )
    tab.keyboard.press("Escape")
    assert tab.locator(".card").count() == 20
    tab.select_option("#sort", "number")
    assert tab.locator(".card").evaluate_all(
        "cards => cards.map(card => +card.dataset.map)"
    ) == list(range(20))
    tab.select_option("#face", "patch")
    tab.wait_for_selector(".card canvas[data-drawn]")


def test_the_picture_is_in_its_locator(visit):
    """As it stands in the sheet, below the field: the part that is cut out, by its colours on the screen."""
    tab = visit("#conv2/7")
    locator = tab.locator("#unit .locator")
    locator.locator("image").wait_for(state="attached")
    for rank in (1, 3):
        tab.click(f".nine .tile >> nth={rank}")
        about = data_in(pathlib.Path(tab.url[7:].partition("#")[0]).read_bytes())
        layer = next(one for one in about["layers"] if one["name"] == "conv2")
        unit = next(one for one in layer["maps"] if one["n"] == 7)["units"][rank]
        places, (top, left, bottom, right) = about["places"], unit["box"]
        k = places["images"].index(unit["image"])
        row, column = k // places["columns"], k % places["columns"]
        box = locator.locator("svg").get_attribute("viewBox")
        assert box == f"{column * places['cell'][1]} {row * places['cell'][0]} 24 24"
        field = {name: float(locator.locator("rect.field").get_attribute(name))
                 for name in ("x", "y", "width", "height")}  # fmt: skip
        assert field == {"x": left, "y": top, "width": right - left, "height": bottom - top}
        tab.wait_for_timeout(300)
        tab.evaluate("document.querySelector('#unit .field').setAttribute('visibility', 'hidden')")
        tab.evaluate("document.querySelector('#unit .locator').scrollIntoView({ block: 'center' })")
        clip = locator.locator("rect.whole").bounding_box()
        shot = Image.open(io.BytesIO(tab.screenshot(clip=clip)))
        sheet = pixels(places["sheet"])[row * 24 : row * 24 + 24, column * 24 : column * 24 + 24]
        small = np.asarray(shot.convert("RGB").resize((24, 24), Image.Resampling.BOX), float)
        match = [
            np.corrcoef(small.ravel(), other.ravel().astype(float))[0, 1]
            for other in (sheet, sheet[::-1])
        ]
        assert match[0] > 0.8 > match[1]


def test_hostile_names_are_shown_as_text(visit):
    tab = visit("#scores/1")
    assert (
        tab.locator("#map-title").inner_text().startswith("</script><script>alert(1)</script><img")
    )
    assert tab.locator("img").count() == 0


def test_the_net(visit):
    tab = visit("#net")
    words = tab.locator("#net").inner_text()
    assert (
        "Validation top-1" in words
        and "83.3%" in words
        and "1 / 1" not in words
        and "conv2" in words
    )
    assert "Each filter has its own scale" in words
    assert tab.locator("#net svg polyline").count() == 6 and tab.locator(".filters a").count() == 6
    tab.click(".filters a >> nth=2")
    assert chosen(tab)[1] == "Map 2"


NAMES = "figure => [...figure.querySelectorAll('.end')].map(one => one.textContent)"
BOXES = """figure => [...figure.querySelectorAll('.end')].map(one => {
  const { left, right, top, bottom } = one.getBoundingClientRect(); return [left, right, top, bottom]; })"""


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_curves_are_named_at_their_ends_and_names_keep_apart(visit, viewport):
    tab = visit("#net", viewport)
    loss, error = tab.locator("#net .curves figure").all()
    assert sorted(loss.evaluate(NAMES)) == ["training", "validation"]
    assert sorted(error.evaluate(NAMES)) == [
        "training", "training top-5", "validation", "validation top-5"
    ]  # fmt: skip
    for figure in (loss, error):
        box, dots = figure.locator("svg").bounding_box(), figure.locator(".dot")
        names = sorted(figure.evaluate(BOXES), key=lambda one: one[2])
        assert all(box["x"] < left < right <= box["x"] + box["width"] for left, right, *_ in names)
        assert all(one[3] <= other[2] + 3 for one, other in itertools.pairwise(names))
        ends = sorted(dot.bounding_box()["y"] for dot in dots.all())
        for (_, _, top, bottom), end in zip(names, ends, strict=True):
            assert abs((top + bottom) / 2 - end) < 4 * (bottom - top)


def test_top_5_of_five_classes_or_fewer_is_not_drawn(browser, tmp_path):
    always = [row | {"train_top5": 1, "val_top5": 1} for row in HISTORY]
    (tmp_path / "few.html").write_bytes(make(layers=["conv1"], info={"history": always})[0])
    with tabs(browser, offline=True) as new:
        tab = new()
        tab.goto((tmp_path / "few.html").as_uri() + "#net")
        assert tab.locator("#net svg polyline").count() == 4
        assert "top-5" not in tab.locator("#net .curves").inner_text()


@pytest.mark.parametrize("where", ["", "#conv2/5", "#conv2/5/3", "#scores/1", "#net"])
def test_phone_never_scrolls_sideways_and_begins_at_the_top(visit, where):
    tab = visit(where, PHONE)
    tab.wait_for_timeout(100)
    assert (
        tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        and tab.evaluate("scrollY") == 0
    )


def test_phone_shows_one_thing_at_a_time(visit):
    tab = visit("#conv2", PHONE)
    assert tab.locator("#gallery").is_visible() and not tab.locator("#detail").is_visible()
    tab.click(".card >> nth=1")
    assert tab.locator("#detail").is_visible() and not tab.locator("#gallery").is_visible()
    tab.click("text=All maps")
    assert tab.locator("#gallery").is_visible()
    tab.click(".card >> nth=1")
    tab.go_back()
    assert tab.locator("#gallery").is_visible()


def test_dark_and_light(visit):
    color = "getComputedStyle(document.documentElement).backgroundColor"
    dark, light = (
        sum(map(int, re.findall(r"\d+", visit("", colors=scheme).evaluate(color))))
        for scheme in ("dark", "light")
    )
    assert dark < 150 and light > 600


def test_every_image_has_words(visit):
    for where in ("#conv1/1", "#conv2/5", "#net"):
        tab = visit(where)
        tab.wait_for_timeout(100)
        silent = (
            "() => [...document.querySelectorAll('canvas, svg')].filter(one => !one.getAttribute('aria-label')"
            " && !one.closest('button[aria-label], svg[aria-label]')).length"
        )
        assert tab.evaluate(silent) == 0
