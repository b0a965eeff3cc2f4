"""rawconv-visualize --report: the page from the command line."""

import json
import pathlib

from reports import data_in
from test_visualize_cli import place, refused, run  # noqa: F401


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
    refused("--layer", 2, "--report", "o.html", "--label", "cat", code=2, says="name both")
    refused("--label", "cat", "a.png", code=2, says="name both")
    refused("--report", "o.html", "--label", "whale", "a.png", code=2, says="cat, sea dog")


def test_a_page_that_cannot_be_written_leaves_the_figures(place):  # noqa: F811
    result = run("--layer", 2, "--report", "a.png/out.html", "--out", "out", code=1)
    assert (
        "a.png/out.html could not be written" in result.stderr
        and result.stdout.splitlines()[-1] == "out"
    )
    assert pathlib.Path("out/conv2.png").exists() and pathlib.Path("out/index.json").exists()
