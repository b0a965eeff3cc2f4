"""The site of docs/ builds without a warning, and its pages work in a browser, without a network,
for everyone.
"""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'rawconv[docs]'")
    pytest.importorskip(
        "material", reason="mkdocs-material is not installed: pip install 'rawconv[docs]'"
    )
    pytest.importorskip(
        "mkdocstrings", reason="mkdocstrings is not installed: pip install 'rawconv[docs]'"
    )
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING -" not in done.stderr, done.stderr
    return folder


def test_every_page_is_built_and_asks_for_nothing_from_elsewhere(site):
    pages = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    wanted = {
        path.relative_to(ROOT / "docs").with_suffix("").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
    }
    assert wanted <= pages
    for path in site.rglob("*.html"):
        assert not re.findall(r'(?:src|<link[^>]*href)="(https?://[^"]+)"', path.read_text()), path


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("switches", "book/3-pooling"), ("saliency", "glossary"), ("attribution", "glossary"),
        ("heat map", "experiments/occlusion"), ("misclassified", "why"), ("receptive field", "glossary"),
        ("saliency map", "visualize"), ("8 GPUs", "training"), ("which pixels", "book/1-up"),
        ("same winner", "book/3-pooling"), ("bias", "book/2-convolution"), ("deconvolution", "book/2-convolution"),
        ("--layer", "visualize"), ("rawconv-train --resume", "training"),
    ],
)  # fmt: skip
def test_the_search_finds_the_page_of_a_word_from_a_disk(words, page, site, browser):
    tab = browser.new_page()
    complaints = []
    tab.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto((site / "index.html").as_uri())
    tab.keyboard.press("/")
    tab.keyboard.type(words)
    tab.locator(".md-search-result__item").first.wait_for(timeout=20000)
    assert "matching document" in tab.locator(".md-search-result__meta").inner_text()
    links = tab.locator(".md-search-result__link").evaluate_all("all => all.map(a => a.href)")
    assert any(f"/{page}.html" in link for link in links), links
    assert not complaints
    tab.close()


@pytest.mark.parametrize("page", ["index", "book/3-pooling", "experiments/occlusion", "why"])
def test_pictures_can_be_read_on_a_telephone(page, site, browser):
    """A picture is not shrunk to the width of 360 pixels, the page is not wider, and a click enlarges it."""
    tab = browser.new_page(viewport={"width": 360, "height": 740})
    tab.goto((site / f"{page}.html").as_uri())
    tab.wait_for_load_state("load")
    sizes = tab.locator("article a.glightbox img").evaluate_all(
        "all => all.map(image => [image.clientWidth, image.naturalWidth])"
    )
    assert sizes and all(shown >= min(natural, 800) for shown, natural in sizes), sizes
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    tab.locator("article a.glightbox").first.click()
    tab.locator(".gslide img").first.wait_for(timeout=20000)
    tab.close()


@pytest.mark.parametrize("page", ["book/3-pooling", "experiments/ablation", "speed", "commands"])
def test_paper_holds_tables_pictures_and_lines_of_code(page, site, browser):
    """Nothing on a printed page is wider than A4 between its margins, 700 pixels: it could not be scrolled."""
    tab = browser.new_page(viewport={"width": 700, "height": 1000})
    tab.emulate_media(media="print")
    tab.goto((site / f"{page}.html").as_uri())
    tab.wait_for_load_state("load")
    wide = tab.locator("article :is(table, pre, pre code, img)").evaluate_all(
        "all => all.filter(part => part.getBoundingClientRect().right > 700 || part.scrollWidth > part.clientWidth + 1)"
        ".map(part => part.tagName + ' ' + part.textContent.slice(0, 60))"
    )
    assert not wide
    tab.close()


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(site, browser, scheme):
    """The axe rules (WCAG 2 A and AA, and best practices) find nothing to complain about."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    page, found = browser.new_page(color_scheme=scheme), {}
    # a server's, which names its files from "/"
    for path in sorted(set(site.rglob("*.html")) - {site / "404.html"}):
        page.goto(path.as_uri())
        result = axe.Axe().run(page).response
        found |= {
            (path.relative_to(site).as_posix(), rule["id"]): [
                node["html"][:120] for node in rule["nodes"][:3]
            ]
            for rule in result["violations"]
        }
    assert not found
