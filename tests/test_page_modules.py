"""The page's scripts: ES modules that a server can serve as they are, put into one script for the
page in one file.
"""

import functools
import http.server
import re
import threading

import pytest
from browsing import DESKTOP, PHONE
from reports import make
from test_report_browser import address, visit  # noqa: F401

from rawconv.report.modules import bundle
from rawconv.report.one_file import PAGE, PAGES


def write(folder, **modules):
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder


@pytest.fixture
def run(browser, tmp_path):
    """A function (modules): what main.js leaves in the document's title, bundled and inlined."""
    tab = browser.new_page()

    def run(**modules):
        script = bundle(write(tmp_path, **modules), "main.js")
        tab.set_content(f'<title></title><script type="module">{script}</script>')
        return tab.title()

    yield run
    tab.close()


def test_each_module_runs_once_after_those_it_imports_and_keeps_its_own_names(run):
    said = run(
        main='import { b } from "./b.js";\nimport {\n  a,\n  log,\n} from "./a.js";\nconst own = 1;\n'
        "log.push(`main ${own}`);\ndocument.title = [...log, a(), b].join();\n",
        a='export const log = ["a"];\nconst own = 2;\nexport function a() {\n  return own;\n}\n',
        b='import { log } from "./a.js";\nconst own = 3;\nlog.push("b");\nexport const b = own;\n',
    )
    assert said == "a,b,main 1,2,3"


@pytest.mark.parametrize(
    ("main", "says"),
    [
        ('import { b } from "./other.js";\n', "main.js imports b, which other.js does not export"),
        (
            'import * as other from "./other.js";\n',
            "main.js: this form is not known here: import [*] as other",
        ),
        (
            'import { a as b } from "./other.js";\n',
            "this form is not known here: import { a as b }",
        ),
        ("export default 3;\n", "this form is not known here: export default 3;"),
        (
            'import { a } from "./around.js";\nexport const b = a;\n',
            "main.js imports itself: main -> around -> main",
        ),
    ],
)
def test_what_cannot_be_put_together_is_refused(tmp_path, main, says):
    write(
        tmp_path,
        main=main,
        other="export const a = 1;\n",
        around='import { b } from "./main.js";\n',
    )
    with pytest.raises(ValueError, match=says):
        bundle(tmp_path, "main.js")


def test_every_module_of_the_page_is_in_it():
    scripts = "\n".join(bundle(PAGE, entry) for entry, _ in PAGES.values())
    assert {f"module_{path.stem}" for path in PAGE.glob("*.js")} == set(
        re.findall(r"^const (\w+) = \(\(\)", scripts, re.M)
    )


@pytest.fixture
def served(tmp_path):
    """The address of the page with its modules beside it, each fetched by itself."""
    page = make(count=4)[0].decode()
    page = re.sub(
        '<script type="module">.*?</script>',
        '<script type="module" src="main.js"></script>',
        page,
        flags=re.S,
    )
    page = re.sub("<meta http-equiv=[^>]*>", "", page)
    (tmp_path / "index.html").write_text(page)
    for path in PAGE.glob("*.js"):
        (tmp_path / path.name).write_bytes(path.read_bytes())

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def test_a_server_can_serve_the_modules_as_they_are(browser, served):
    tab, complaints = browser.new_page(), []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(served + "#conv2/7")
    tab.wait_for_selector("#detail .tile canvas[data-drawn]")
    assert tab.locator(".card").count() == 20 and tab.locator("#map-title").inner_text() == "Map 7"
    assert complaints == []
    tab.close()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_on_paper_all_is_drawn_and_light(visit, viewport):  # noqa: F811
    tab = visit("#conv2/7", viewport, "dark")
    tab.emulate_media(media="print", color_scheme="dark")
    tab.wait_for_selector(".thumbs canvas[data-drawn]")
    assert (
        tab.locator("#unit canvas:not([data-drawn])").count() == 0
        and tab.locator(".thumbs canvas").count() > 15
    )
    color = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert color == "rgb(255, 255, 255)" and tab.locator("#title").is_visible()
    assert not any(
        tab.locator(part).is_visible() for part in ("#gallery", "#layers", ".steps", ".back")
    )
    assert (
        tab.evaluate("getComputedStyle(document.querySelector('#detail')).overflowY") == "visible"
    )


def test_narrow_paper_takes_no_map_away(visit):  # noqa: F811
    tab = visit("#conv2")
    chosen = tab.locator("#map-title").inner_text()
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 700, "height": 900})
    tab.wait_for_timeout(100)
    assert tab.locator("#map-title").inner_text() == chosen


@pytest.mark.parametrize("colors", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_the_page_is_accessible(visit, viewport, colors):  # noqa: F811
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    for where in ("#conv2/7", "#net"):
        tab = visit(where, viewport, colors)
        tab.wait_for_timeout(100)
        found = axe.Axe().run(tab).response["violations"]
        assert [
            (rule["id"], [node["html"][:120] for node in rule["nodes"][:3]]) for rule in found
        ] == [], where
