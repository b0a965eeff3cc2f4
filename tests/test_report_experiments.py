"""The page shows the experiments done on its net, and no others; what their files say is text."""

import base64
import json
import os
import pathlib

import pytest
from PIL import Image
from reports import HOSTILE, data_in, make, net_of
from test_report_browser import address, visit  # noqa: F401

from rawconv.experiments.study import Result, begin
from rawconv.files.png import png_bytes
from rawconv.report import experiments as module
from rawconv.report.experiments import experiments
from rawconv.visualize.scan_record import fingerprint

PNG = png_bytes(Image.new("RGB", (300, 200), "white"))

PUBLISHED = {"rows": [{"nets": "the paper, 1 net", "top1_error": 38.4}], "epochs": [1, 2, 5]}


def leave(root, name="filters", options=None, stem="a", rows=3, sentences=("Three.",)):
    """A finished experiment on the net of net_of(); its folder."""
    options = {"weights_sha256": fingerprint(net_of()), "data": "nowhere 12 ab", "units": 4} | (
        options or {}
    )
    study = begin(name, options, pathlib.Path(root), f"{stem}-{name}")
    table = [{"filter": k, "rms": k / 3, "net": "zf64"} for k in range(rows)]
    study.finish(Result({"n": float("nan")}, table, PNG, list(sentences), PUBLISHED))
    return study.folder


def found(root, net=None, source="nowhere", weights="elsewhere/w.h5"):
    return experiments(net or net_of(), source, weights, root)


def test_what_belongs_to_the_net(tmp_path):
    own = fingerprint(net_of())
    leave(tmp_path / "runs")
    leave(tmp_path / "runs" / "mine", "occlusion")
    leave(
        tmp_path / "runs",
        "ensemble",
        {"weights_sha256": "other", "others_sha256": ["another", own]},
    )
    leave(tmp_path / "runs", "ablation", {"weights_sha256": "other"})
    assert [one["name"] for one in found(tmp_path / "runs")] == ["ensemble", "filters", "occlusion"]
    assert found(tmp_path / "runs", net_of(5)) == [] and found(tmp_path / "nothing") == []


def test_an_experiment_on_no_single_net_belongs_to_its_data(tmp_path):
    folder = leave(tmp_path, "ablation")
    about = json.loads((folder / "ablation.json").read_text())
    del about["options"]["weights_sha256"]
    (folder / "ablation.json").write_text(json.dumps(about))
    assert [one["name"] for one in found(tmp_path, net_of(5))] == ["ablation"]
    assert found(tmp_path, source="now") == []


def test_the_newest_of_equal_options_counts_and_others_stand_beside_it(tmp_path):
    for k, sentence in enumerate(("old", "new")):
        folder = leave(tmp_path, sentences=[sentence])
        os.utime(folder / "filters.json", ns=(0, 10**9 * (1 + k)))
    leave(tmp_path, options={"units": 8}, sentences=["eight"])
    assert [one["sentences"] for one in found(tmp_path)] == [["new"], ["eight"]]


def test_what_the_page_gets(tmp_path):
    folder = leave(tmp_path, rows=100)
    (one,) = found(tmp_path)
    assert base64.b64decode(one["figure"].partition(",")[2]) == PNG and "Three." in one["alt"]
    assert (
        one["columns"] == ["filter", "rms", "net"]
        and one["count"] == 100
        and len(one["rows"]) == module.ROWS
    )
    assert one["rows"][2] == ["2", "0.666667", "zf64"]
    assert ["units", "4"] in one["options"]
    assert one["published"] == [
        ["rows", "nets the paper, 1 net, top1 error 38.4"],
        ["epochs", "1, 2, 5"],
    ]
    for file in one["files"]:
        assert (
            base64.b64decode(file["uri"].partition(",")[2]) == (folder / file["name"]).read_bytes()
        )
    assert {file["name"] for file in one["files"]} == {"filters.json", "filters.csv"}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"experiment": "filters"}', '{"experiment": 3, "options": {}}', "[" * 9999],
)
def test_files_that_are_something_else_are_left_out(tmp_path, text):
    folder = leave(tmp_path)
    (folder / "filters.json").write_text(text)
    assert found(tmp_path) == []


def test_a_figure_that_is_none_is_left_out_and_a_table_may_be_missing(tmp_path):
    folder = leave(tmp_path)
    (folder / "filters.csv").write_bytes(b"\xff\xfe\x00")
    (one,) = found(tmp_path)
    assert one["rows"] == [] and one["columns"] == []
    (folder / "filters.png").write_bytes(b"GIF89a")
    assert found(tmp_path) == []


def page_of(root):
    return make(count=4, experiments=found(root))[0]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The address of a page with two experiments, one of them hostile, and one without any."""
    root = tmp_path_factory.mktemp("runs")
    leave(root, rows=100)
    leave(root, "occlusion", {"fill": HOSTILE}, sentences=[HOSTILE])
    (root / "page.html").write_bytes(page_of(root))
    (root / "none.html").write_bytes(make(count=4)[0])
    return root


def test_hostile_words_are_text(page):
    text = (page / "page.html").read_bytes()
    assert (
        text.count(b"</script>") == 2
        and data_in(text)["experiments"][1]["sentences"][0][:40] in HOSTILE
    )


@pytest.mark.parametrize("colors", ["light", "dark"])
def test_the_section_in_a_browser(page, visit, colors):  # noqa: F811
    tab = visit("", colors=colors)
    tab.goto((page / "page.html").as_uri())
    tab.click("nav >> text=experiments")
    assert tab.url.endswith("#experiments") and tab.locator("#maps").is_hidden()
    assert tab.locator(".experiment h2").all_inner_texts()[0].startswith("filters")
    images = tab.locator(".experiment img")
    assert images.count() == 2 and all(images.nth(k).get_attribute("alt") for k in range(2))
    assert images.first.evaluate("picture => picture.decode().then(() => picture.naturalWidth)") > 0
    first = tab.locator(".experiment").first
    first.locator("summary >> nth=0").click()
    assert first.locator("tbody tr").count() == module.ROWS and "of 100 rows" in first.inner_text()
    first.locator("summary >> text=exact options").click()
    assert fingerprint(net_of()) in first.inner_text()
    with tab.expect_download() as download:
        first.locator("a >> text=filters.csv").click()
    assert download.value.suggested_filename == "filters.csv"
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.click("nav >> text=conv1")
    assert tab.locator("#experiments").is_hidden() and tab.locator(".card").count() == 6


def test_a_page_without_experiments_has_no_such_section(page, visit):  # noqa: F811
    tab = visit("")
    tab.goto((page / "none.html").as_uri() + "#experiments")
    assert tab.locator("nav >> text=experiments").count() == 0 and tab.locator("#maps").is_visible()
