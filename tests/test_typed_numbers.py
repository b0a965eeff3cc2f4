"""No result is typed on a page: a per cent, a correlation, an interval stands in a paragraph that tools/make_docs.py
fills from docs/numbers, or in one that is marked as the paper's.

    <!-- the paper's -->
    Its axes end at 0.8.

Settings are written as code, `0.3`, or stand in a page's head, for the site.  What a block of code prints is held by
test_docs.py.
"""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("weights/*.md"))
    if path.name != "CHANGELOG.md"  # is of what was
)
STILL_TYPED = {  # pages that are to be measured anew; one that is done leaves this list
    "docs/experiments/ensemble.md",
    "docs/experiments/occlusion.md",
    "weights/README.md",
}  # fmt: skip
NO_RESULTS = {  # what such numbers are there
    "docs/speed.md": "ratios of times, each with its command, machine and date",
    "docs/gpu.md": "arithmetic, each with its command",
    "docs/training.md": "settings, and arithmetic of several processes",
    "docs/visualize.md": "a time with its command, machine and date",
    "docs/book/5-lrn.md": "what the block above prints, in words",
}
NUMBER = r"[-+−]?\d+(?:\.\d+)?"
RESULT = re.compile(
    rf"{NUMBER} ?(?:%|per cent|percentage points?|points? of)|"  # shares, and their differences
    r"(?<![\d.])[-+−]?0\.\d+|"  # correlations, cosines, areas
    rf"{NUMBER} ?± ?{NUMBER}|\({NUMBER} to {NUMBER}"  # intervals
)
LEVEL = "95 %"  # of an interval: no result


def paragraphs(text):
    """The paragraphs, tables and lists of a page that nothing but a hand has written."""
    text = re.sub(r"\A---\n.*?^---$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for mark in (r"<!-- numbers\n.*?\n-->", r"<!-- the paper's -->"):
        text = re.sub(rf"^{mark}\n.+?(?=\n\n|\n?\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.split(r"\n{2,}", text)


def results(text):
    """The results that are typed on a page."""
    plain = (re.sub(r"`[^`]*`", "", part).replace(LEVEL, "") for part in paragraphs(text))
    return [found for part in plain for found in RESULT.findall(part)]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in NO_RESULTS])
def test_results_are_measured(page):
    typed = results((ROOT / page).read_text())
    if page in STILL_TYPED:
        assert typed, f"{page} has no typed result any more; take it off STILL_TYPED"
    else:
        assert not typed, f"{page}: write a template for {typed} (CONTRIBUTING, a measured number)"


@pytest.mark.skipif(not PAGES, reason="the checkout's pages are not here: installed tests")
def test_the_lists_name_pages_that_are_there():
    assert set(PAGES) >= STILL_TYPED | NO_RESULTS.keys() and not STILL_TYPED & NO_RESULTS.keys()


@pytest.mark.parametrize(
    "text",
    [
        "It is 31.5 % of them.",
        "| a | 40 % |",
        "by 1.5 points of accuracy",
        "The cosine is 0.98, as in the paper.",
        "- a list\n- it falls by -0.02 there",
        "6.2 times (4.5 to 7.0 over the rounds)",
        "83.8 ± 0.5",
        "<!-- numbers\nOf {a[b]}.\n-->\nOf 0.5.\n\nAnd 0.25 by hand.",
        "<!-- the paper's -->\nIt has 38.4 %.\n\nHere it is 12 %.",
    ],
)
def test_a_typed_result_is_found(text):
    assert len(results(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "A 95 % interval of 24 pictures of 224 pixels, Zeiler & Fergus 2013, 6.2 times.",
        "a learning rate of `0.01` and `--dropout 0.3`",
        "```sh\nrawconv-train --lr 0.01\n```\n\n```text\n31 %\n```",
        "<!-- numbers\nOf {a[b]:.0%} it is {a[c]:.2f}.\n-->\nOf 31 % it is\n0.25 (0.20 to 0.30).\n",
        "<!-- the paper's -->\n| layer | 16.5 % |\n| other | 0.8 |\n",
    ],
)
def test_what_is_filled_or_published_or_code_is_none(text):
    assert results(text) == []
