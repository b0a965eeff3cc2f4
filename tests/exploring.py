"""For the tests of the explorer: a session of a small net and random pictures, a client of its server, its page."""

import contextlib
import hashlib
import io
import time

import numpy as np
import pytest
from browsing import tabs
from PIL import Image
from subjects import data_of
from test_visualize_cli import small_net

import rawconv
from rawconv.explore.session import Session
from rawconv.layers import Rules
from rawconv.visualize import controls
from rawconv.visualize.forward_pass import forward_pass
from rawconv.visualize.projection import project

PORT = 8765
SLOT = {"X-Slot": "k3f9/project"}
START = "#p=val:0&u=conv2:7:2:1"
PHONE, WIDE = {"width": 390, "height": 844}, {"width": 1400, "height": 900}
SOON = 30_000  # milliseconds that a busy machine may take


def session_of(net=None, count=12, root=None, info=None):
    """A Session of a small net and `count` random pictures in two classes."""
    data = data_of(count)
    return Session(net or small_net(), info, "w.h5", lambda: data, root)


def png_of(seed=0, size=(30, 40)):
    """A random picture as a PNG file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@contextlib.contextmanager
def client_of(session, host="127.0.0.1", token="", watch=None, **options):
    """A client of a session's application, without a socket."""
    pytest.importorskip("starlette", reason="the explorer needs Starlette: pip install starlette")
    pytest.importorskip("httpx", reason="Starlette's client needs httpx: pip install httpx")
    from starlette.testclient import TestClient

    from rawconv.explore.later import Later
    from rawconv.explore.routes import api
    from rawconv.explore.server import Access, application

    access = Access((host, "localhost"), PORT, token)
    app = application(Later(api(session, watch)), access)
    with TestClient(app, f"http://{host}:{PORT}", **options) as client:
        yield client


@contextlib.contextmanager
def serving(session, watch=None, token="", port=0):
    """The address of a server of a session, over a socket, in a thread.  port: 0 is any that is free."""
    pytest.importorskip("uvicorn", reason="the explorer needs uvicorn: pip install uvicorn")
    from rawconv.explore import serve
    from rawconv.explore.later import Later
    from rawconv.explore.routes import api
    from rawconv.explore.server import application

    sock = serve.bind("127.0.0.1", port)
    app = application(Later(api(session, watch)), serve.access(sock, "127.0.0.1", token))
    with serve.Serving(app, sock):
        yield serve.address(sock, "127.0.0.1")


# -------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="module")
def session():
    """A session of twelve pictures."""
    return session_of()


@pytest.fixture(scope="module")
def client(session):
    """A client of the session's server."""
    with client_of(session) as client:
        yield client


@pytest.fixture(scope="module")
def address(session):
    """Where the session is served."""
    with serving(session) as found:
        yield found


@pytest.fixture
def visit(browser, address):
    """A function (where in the page, how wide, colours) -> the opened tab, ready."""
    with tabs_of(browser, address) as new:

        def visit(where=START, *look):
            tab = new(*look)
            tab.goto(address + where)
            tab.wait_for_selector("#unit[data-sha256]")
            tab.wait_for_selector("#cards .card[aria-current]")
            return tab

        yield visit


@contextlib.contextmanager
def tabs_of(browser, address):
    """browsing.tabs that may ask this server alone, and use the clipboard."""

    def prepare(context):
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        context.set_default_timeout(SOON)

    with tabs(browser, (address, "data:", "blob:"), prepare) as new:
        yield new


# -------------------------------------------------------------------------------- witnesses


def stored(session, number=0):
    """A picture of the session's data set as it is stored."""
    return session.pictures.find(f"val:{number}").stored


def digest(pixels):
    """The SHA-256 of the bytes of pixels."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def saw(session, unit="conv2:7:2:1", number=0, rules=Rules(), control=None, other=None):  # noqa: B008
    """The SHA-256 of what rawconv.project says; of a control, what the way down says."""
    if control is None:
        with pytest.warns() if unit.startswith("conv2:3:") else contextlib.nullcontext():
            return digest(rawconv.project(session.net, stored(session, number), unit, rules))
    images = [stored(session, number)] + ([stored(session, other)] if other is not None else [])
    passed = forward_pass(session.net, images)
    rows = np.array([1, 0]) if other is not None else None
    chosen = controls.control(session.net, control, 0)
    return digest(next(project(passed, [unit], rules, chosen, rows, full=True)).pixels)


def until(tab, condition):
    """Wait until an expression of JavaScript is true; the page's policy lets no text be evaluated inside it."""
    deadline = time.monotonic() + SOON / 1000
    while not tab.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < deadline, f"{condition}: {tab.url}"
        tab.wait_for_timeout(20)


def wait_for(tab, sha):
    """Wait until the projection with this SHA-256 is painted."""
    tab.wait_for_selector(f'#unit[data-sha256="{sha}"]')
