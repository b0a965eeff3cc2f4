"""The page: all of a net's units in one file that asks for nothing, and that works in a browser."""

import html as markup
import io
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from test_deconvnet import picture
from test_visualize_cli import place, refused, run, small_net  # noqa: F401

from rawconv.data import DataSet, Split
from rawconv.deconvnet import crop, display, layer_object, project
from rawconv.layers import GRADIENT
from rawconv.report import html, paths, sheets
from rawconv.report.pages import Look, window
from rawconv.topk import scan

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & 'quotes' \u2028 {{data}}"
CLASSES = ["n02129165_lion", HOSTILE]
HISTORY = [
    {"epoch": k, "lr": 0.01, **{f"{part}_{what}": 1 / k if what == "loss" else 1 - 1 / (k + 1)
     for part in ("train", "val") for what in ("loss", "top1", "top5")}} for k in range(1, 6)
]  # fmt: skip
INFO = {"data": "somewhere/pictures", "recipe": {"epochs": 5, "lr": 0.01}, "seed": 3, "history": HISTORY}


def net_of(seed=0):
    net = small_net(seed)
    net.classes = CLASSES
    return net


def data_of(count=12, names=None):
    pictures = np.stack([picture(seed=k) for k in range(count)])
    names = names or [f"picture {k}" for k in range(count)]
    split = Split(pictures.__getitem__, np.arange(count) % 2, names, (26, 26, 3))
    return DataSet("random", "nowhere", CLASSES, split, split)


def make(net=None, layers=("conv1", "conv2", "scores"), maps=None, look=html.pages.LOOK, info=INFO, data=None, count=4):
    net, data = net or net_of(), data or data_of()
    found = scan(net, data.val, layers, count, progress=False)
    return html.report(net, info, data, data.val, found, maps, look, count), found


def data_in(page):
    return json.loads(re.search(rb'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def pixels(uri):
    import base64

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


# ---------------------------------------------------------------------------------------------- the file


def test_asks_for_nothing_from_outside():
    page = make()[0].decode()
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`]*", re.sub(r"data:image/[^\"]+", "", page)))
    assert addresses <= {"https://arxiv.org/abs/1311.2901", "//www.w3.org/2000/svg"}
    assert not re.search(
        r"<link(?![^>]*href=\"data:)|@import|url\(|<iframe|\bfetch\(|XMLHttpRequest|\bsrc=\"(?!data)", page
    )
    assert "default-src 'none'" in page and "innerHTML" not in page and "{{" not in page.replace("{{data}}", "")


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
                assert unit["picture"] == f"picture {best.picture[one['n'], rank]}"
                assert len(unit["energy"]) == len(unit["share"]) == len(layer["steps"])
            assert ("sheet" in one) == ("path" in one) == (not one["dead"])
    assert [one["n"] for one in about["layers"][1]["maps"] if one["dead"]] == [3]


def test_chosen_maps_only_and_of_very_many_the_strongest(monkeypatch):
    assert [m["n"] for m in data_in(make(maps={"relu2": [7, 2]}, layers=["conv2"])[0])["layers"][0]["maps"]] == [7, 2]
    monkeypatch.setattr(html, "MAPS", 5)
    shown = [m["n"] for m in data_in(make(layers=["conv2"])[0])["layers"][0]["maps"]]
    assert len(shown) == 5 and 3 not in shown


@pytest.mark.parametrize(("layer", "look"), [("conv2", Look()), ("conv1", Look(GRADIENT, 100)), ("scores", Look())])
def test_tiles_are_the_projections_and_patches(layer, look):
    net, data = net_of(), data_of()
    page, found = make(net, [layer], look=look, data=data)
    layer, best = data_in(page)["layers"][0], found[layer_object(net, layer)]
    field, (height, width), (down, right) = html.fields(net)[layer["object"]], layer["tile"], layer["cell"]
    one = layer["maps"][1]
    sheet = pixels(one["sheet"])
    assert sheet.shape == (2 * down, 4 * right, 3)
    for rank, unit in enumerate(one["units"]):
        stored, box = data.val.read([best.picture[1, rank]])[0], window(field, net, unit["y"], unit["x"])
        r = project(net, stored, f"{layer['name']}:1:{unit['y']}:{unit['x']}", look.rules)
        want = display(crop(r, box, 0), look.percentile), crop(stored[1:25, 1:25], box)
        for face in (0, 1):
            got = sheet[face * down : face * down + height, rank * right : rank * right + width]
            assert np.abs(got.astype(int) - want[face]).max() <= 1


def test_without_patches():
    layer = data_in(make(look=Look(patches=False), layers=["conv2"])[0])["layers"][0]
    assert not layer["patches"] and pixels(layer["maps"][0]["sheet"]).shape[0] == layer["cell"][0]


def test_steps_are_those_of_the_walk_down():
    net, data = net_of(), data_of()
    page, found = make(net, ["conv2"], data=data)
    layer, best = data_in(page)["layers"][0], found["relu2"]
    verbs = [(step["verb"], step["layer"]) for step in layer["steps"]]
    assert verbs == [("rectify", "relu2"), ("filter", "conv2"), ("norm", "norm1"), ("unpool", "pool1"),
                     ("rectify", "relu1"), ("filter", "conv1")]  # fmt: skip
    assert [step["skipped"] for step in layer["steps"]] == [False, False, True, False, False, False]
    assert layer["steps"][-1]["shape"] == [24, 24, 3] and layer["steps"][1]["shape"] == list(net.shapes["norm1"])
    unit = layer["maps"][5]["units"][2]
    stored = data.val.read([best.picture[5, 2]])
    y, caches = net.forward(html.paths.net_input(net, stored), "relu2")
    r = np.zeros_like(y)
    r[0, unit["y"], unit["x"], 5] = y[0, unit["y"], unit["x"], 5]
    for step, ((_, kind), cache) in enumerate(net.down(caches)):
        r = kind.deconv(r, cache)
        assert unit["energy"][step] == pytest.approx((r.astype(float) ** 2).sum(), rel=1e-3)
        assert unit["share"][step] == pytest.approx((r != 0).mean(), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("conv", ["winograd", "auto"])
def test_shares_count_what_can_be_and_nothing_more(conv):
    """Whatever computes the convolutions, one unit of conv2 reaches no more than 3x3 places below it."""
    net = net_of()
    net["conv2"].conv = conv
    units = [unit for one in data_in(make(net, ["conv2"])[0])["layers"][0]["maps"] for unit in one["units"]]
    height, width, _ = net.shapes["norm1"]
    assert all(unit["share"][0] in (0, pytest.approx(1 / (height * width * 20), rel=1e-3)) for unit in units)
    assert max(unit["share"][1] for unit in units) == pytest.approx(9 / (height * width), rel=1e-3)
    assert net["conv2"].conv == conv


def test_thumbnails():
    r = np.zeros((6, 5, 9), np.float32)
    r[1, 2, 4], r[0, 0, 7], r[5, 4, 7] = 2, -1, -3
    seen = paths._sight(r)
    assert seen.maps == [7, 4] and seen.pixels.shape == (6, 15)
    assert seen.pixels[5, 9] == 1 and seen.pixels[1, 12] == 128 + round(127 * 2 / 3) and seen.pixels[2, 11] == 128
    assert paths._sight(r * 0).maps == [] and (paths._sight(r * 0).pixels == 128).all()
    assert paths._sight(np.ones((1, 1, 70), np.float32)).pixels.shape == (3, 32)
    assert paths._sight(np.ones((110, 90, 3), np.float32)).pixels.shape == (32, 4 * 26)


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
    assert layer["tile"] == [8, 8] and layer["shrunk"] and pixels(layer["maps"][0]["sheet"]).shape == (16, 32, 3)


def test_facts_and_curves_and_what_foreign_checkpoints_say_instead():
    about = data_in(make(layers=["conv1"])[0])
    facts = dict(about["facts"])
    assert facts["Validation top-1"] == "83.3%" and facts["Epochs trained"] == "5" and facts["Recipe: lr"] == "0.01"
    assert (
        facts["Trained on"] == "pictures" and facts["Parameters"] == f"{sum(r['parameters'] for r in about['net']):,}"
    )
    assert [row["epoch"] for row in about["history"]] == [1, 2, 3, 4, 5] and about["filters"]["count"] == 6
    for history in (
        None,
        3,
        [3],
        [{"epoch": 1}],
        [dict(HISTORY[0], val_loss=float("nan"))],
        [dict(HISTORY[0], lr="x")],
    ):
        about = data_in(
            make(layers=["conv1"], info={"history": history, "recipe": 3, "data": 4, "seed": float("inf")})[0]
        )
        assert about["history"] == [] and dict(about["facts"])["Seed"] == "inf"
    assert data_in(make(layers=["conv1"], info={})[0])["history"] == []


# ---------------------------------------------------------------------------------------------- the command


def test_report_option(place):  # noqa: F811
    result = run("--layer", 2, "--layer", 1, "--report", "new/out.html", "--out", "out")
    page = pathlib.Path("new/out.html").read_bytes()
    assert "new/out.html: one page" in result.stderr and str(place).encode() not in page
    assert [layer["name"] for layer in data_in(page)["layers"]] == ["conv2", "conv1"]
    assert json.loads(pathlib.Path("out/index.json").read_text())["report"] == "new/out.html"
    refused("--layer", 2, "--report", "new/out.html", code=2, says="--force")
    run("--layer", 2, "--layer", 1, "--report", "new/out.html", "--force")
    assert pathlib.Path("new/out.html").read_bytes() == page


def test_report_refusals(place):  # noqa: F811
    refused("--layer", 2, "--report", "pictures", code=2, says="is a folder")
    refused("--layer", 2, "--report", "out.html", "a.png", code=2, says="a data set")


def test_a_page_that_cannot_be_written_leaves_the_figures(place):  # noqa: F811
    result = run("--layer", 2, "--report", "a.png/out.html", "--out", "out", code=1)
    assert "a.png/out.html could not be written" in result.stderr and result.stdout.splitlines()[-1] == "out"
    assert pathlib.Path("out/conv2.png").exists() and pathlib.Path("out/index.json").exists()


# ---------------------------------------------------------------------------------------------- in a browser

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_bytes(make(count=9)[0])
    return path.as_uri()


@pytest.fixture
def visit(browser, address):
    """A function (where in the page, how wide, colours) -> the opened tab; no tab may complain or ask for anything."""
    complaints, contexts = [], []

    def visit(where="", viewport=DESKTOP, colors="light"):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=colors, offline=True))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url))
        tab.goto(address + where)
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


def chosen(tab):
    return tab.locator(".card[aria-current]").get_attribute("data-map"), tab.locator("#map-title").inner_text()


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
    assert tab.locator(".tile[aria-pressed=true]").count() == 2 and tab.locator(".thumbs").count() == 0
    assert [text.split()[0] for text in tab.locator(".way .verb b").all_inner_texts()] == [
        "start", "rectify", "filter", "norm", "unpool", "rectify", "filter"
    ]  # fmt: skip
    tab.click(".nine >> nth=0 >> .tile >> nth=0")
    assert tab.locator(".thumbs").count() == 5 and "picture " in tab.locator("#unit .facts").inner_text()
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
    assert tab.url.endswith(f"#conv2/{below}/5") and tab.evaluate("document.activeElement.dataset.rank") == "4"
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.dataset.map") == below
    tab.keyboard.press("/")
    assert tab.evaluate("document.activeElement.id") == "search"


def test_search_and_sort(visit):
    tab = visit("#conv2")
    tab.fill("#search", "LION")
    found = tab.locator(".card .note").all_inner_texts()
    hits = [int(re.fullmatch(r"(\d) of 9", note)[1]) for note in found]
    assert hits == sorted(hits, reverse=True) and "with “LION”" in tab.locator("#count").inner_text()
    own = int(tab.locator(".card[aria-current] .note").inner_text()[0])
    assert tab.locator(".tile.match").count() == 2 * own
    tab.fill("#search", "12")
    assert tab.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.map)") == ["12"]
    assert chosen(tab)[0] == "12"
    tab.fill("#search", "nothing like it")
    assert tab.locator(".card").count() == 0 and tab.locator("#count").inner_text().startswith("0 of 20")
    tab.keyboard.press("Escape")
    assert tab.locator(".card").count() == 20
    tab.select_option("#sort", "number")
    assert tab.locator(".card").evaluate_all("cards => cards.map(card => +card.dataset.map)") == list(range(20))
    tab.select_option("#face", "patch")
    tab.wait_for_selector(".card canvas[data-drawn]")


def test_hostile_names_are_shown_as_text(visit):
    tab = visit("#scores/1")
    assert tab.locator("#map-title").inner_text().startswith("</script><script>alert(1)</script><img")
    assert tab.locator("img").count() == 0


def test_the_net(visit):
    tab = visit("#net")
    words = tab.locator("#net").inner_text()
    assert "Validation top-1" in words and "83.3%" in words and "1 / 1" not in words and "conv2" in words
    assert tab.locator("#net svg polyline").count() == 6 and tab.locator(".filters a").count() == 6
    tab.click(".filters a >> nth=2")
    assert chosen(tab)[1] == "Map 2"


@pytest.mark.parametrize("where", ["", "#conv2/5", "#conv2/5/3", "#scores/1", "#net"])
def test_phone_never_scrolls_sideways(visit, where):
    tab = visit(where, PHONE)
    tab.wait_for_timeout(100)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


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
        sum(map(int, re.findall(r"\d+", visit("", colors=scheme).evaluate(color)))) for scheme in ("dark", "light")
    )
    assert dark < 150 and light > 600


def test_every_picture_has_words(visit):
    for where in ("#conv1/1", "#conv2/5", "#net"):
        tab = visit(where)
        tab.wait_for_timeout(100)
        silent = (
            "() => [...document.querySelectorAll('canvas, svg')].filter(one => !one.getAttribute('aria-label')"
            " && !one.closest('button[aria-label]')).length"
        )
        assert tab.evaluate(silent) == 0
