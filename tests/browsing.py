"""For the tests of pages: how wide a screen is, what a tab complains of, and what axe finds."""

import contextlib
import shutil

import pytest

FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    *FAKE_CAMERA,
]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@contextlib.contextmanager
def chromium():
    """A browser without a window; a test without one is skipped."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="no playwright here: pip install playwright"
    )
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.skip("no chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def tabs(browser, ours=("file:", "data:"), prepare=lambda context: None, **options):
    """A function (how wide, colours) -> a new tab; none may complain, or ask for what is not `ours`.

    prepare: called with the context of each tab.  options: of all contexts.
    """
    complaints, contexts = [], []

    def listen(tab):
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
        tab.on(
            "request",
            lambda request: request.url.startswith(ours) or complaints.append(request.url),
        )
        return tab

    def new(viewport=DESKTOP, colors="light"):
        contexts.append(browser.new_context(viewport=viewport, color_scheme=colors, **options))
        prepare(contexts[-1])
        return listen(contexts[-1].new_page())

    try:
        yield new
    finally:
        for context in contexts:
            context.close()
    assert complaints == []


def violations(tab):
    """What axe finds on a page: [(rule, the first of the elements that break it), ...]."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    found = axe.Axe().run(tab).response["violations"]
    return [(rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found]


def fits(tab):
    """Whether nothing leaves the screen sideways."""
    return tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"]
