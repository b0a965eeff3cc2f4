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


def test_the_search_finds_a_word_from_a_disk(site, browser):
    page = browser.new_page()
    complaints = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("switches")
    page.locator(".md-search-result__item").first.wait_for(timeout=20000)
    assert "matching documents" in page.locator(".md-search-result__meta").inner_text()
    assert not complaints


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
