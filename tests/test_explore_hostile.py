"""What somebody who means harm may send over a socket, and in a link: the server goes on for all others."""

import contextlib
import socket
import time
import urllib.parse

import pytest
from exploring import png_of, saw, tabs_of, wait_for

httpx = pytest.importorskip("httpx", reason="a client is needed: pip install httpx")
pytest.importorskip("starlette", reason="the explorer needs Starlette: pip install starlette")
pytest.importorskip("uvicorn", reason="the explorer needs uvicorn: pip install uvicorn")
requests = pytest.importorskip("rawconv.explore.requests")


@pytest.fixture
def port(address):
    return int(address.rstrip("/").rpartition(":")[2])


def sent(port, data):
    """A socket to the server that has sent `data`."""
    sock = socket.create_connection(("127.0.0.1", port), 60)
    sock.sendall(data)
    return sock


def answer(port, data):
    """All that the server answers until it closes the connection."""
    with sent(port, data) as sock, contextlib.suppress(ConnectionResetError):
        parts = []
        while part := sock.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def head(port, method="GET", path="/api/net", *lines):
    host = [] if any(line.startswith("Host:") for line in lines) else [f"Host: 127.0.0.1:{port}"]
    return "\r\n".join(
        [f"{method} {path} HTTP/1.1", *host, "Connection: close", *lines, "", ""]
    ).encode()


def test_bodies_that_do_not_arrive_hold_up_nobody(port, address, monkeypatch):
    monkeypatch.setattr(requests, "BODY_SECONDS", 2)
    begins = head(port, "POST", "/api/pictures", "Content-Length: 999") + b"x"
    slow = [sent(port, begins) for _ in range(9)]
    with contextlib.ExitStack() as ends:
        for sock in slow:
            ends.enter_context(sock)
        begun = time.monotonic()
        assert httpx.get(f"{address}api/net", timeout=60).status_code == 200
        about = httpx.post(f"{address}api/pictures", content=png_of(), timeout=60)
        assert about.status_code == 200 and time.monotonic() - begun > 1  # after some of them
        told = slow[0].recv(1 << 16)
        assert b" 408 " in told.splitlines()[0] and b"did not arrive within 2 seconds" in told


BROKEN = {
    "two hosts": ["Host: 127.0.0.1:{port}", "Host: evil.example"],
    "a host with a user": ["Host: evil.example@127.0.0.1:{port}"],
    "a negative length": ["Content-Length: -5"],
    "two lengths": ["Content-Length: 5", "Content-Length: 6"],
    "a blank in a name": ["Content Length: 5"],
    "a header of 70 KB": ["X-A: " + "a" * 70_000],
    "a chunk that is none": ["Transfer-Encoding: chunked", "", "zzz"],
}


@pytest.mark.parametrize("lines", BROKEN.values(), ids=BROKEN)
def test_requests_that_are_none_are_refused(port, address, lines):
    lines = [line.format(port=port) for line in lines]
    data = answer(port, head(port, "POST", "/api/project", *lines))
    assert data[9:12] in (b"400", b"403", b""), data[:200]  # the connection of one may be reset
    assert b"Traceback" not in data and httpx.get(address, timeout=60).status_code == 200


def test_no_second_request_is_smuggled_in_a_body(port):
    inner = head(port, "GET", "/api/net")
    lines = ("Content-Length: 3", "Transfer-Encoding: chunked")
    data = answer(port, head(port, "POST", "/api/project", *lines) + b"0\r\n\r\n" + inner)
    assert data.count(b"HTTP/1.1 ") == 1 and b'"layers"' not in data


MARKUP = '<img src=x onerror="document.title=1"><script>alert(1)</script>'


@pytest.mark.parametrize("link", [
    {"p": MARKUP, "u": "conv2:7:2:1"}, {"p": "val:0", "u": MARKUP}, {"p": "val:0", "u": f"{MARKUP}:7:2:1"},
    {"p": "val:0", "u": "conv2:7:2:1", "relu": MARKUP, "lrn": MARKUP, "control": MARKUP, "seed": MARKUP},
    {"p": "val:0", "u": "conv2:7:2:1", "view": MARKUP, "why": MARKUP, "on": MARKUP, "sort": MARKUP},
    {"p": "val:0", "u": "__proto__:1:1:1", "view": "constructor"},
])  # fmt: skip
def test_markup_in_a_link_is_text(browser, session, address, link):
    with contextlib.closing(browser.new_page()) as tab:
        bugs = []
        tab.on("dialog", lambda dialog: (bugs.append("a dialog"), dialog.dismiss()))
        tab.on("pageerror", lambda error: bugs.append(str(error)))
        tab.goto(f"{address}#{urllib.parse.urlencode(link)}")
        tab.wait_for_selector("body[data-ready]")
        tab.wait_for_timeout(500)
        assert (
            tab.evaluate("document.querySelectorAll('img[src=x], script:not([src])').length") == 0
        )
        assert tab.title() != "1" and not bugs
        tab.evaluate("location.hash = '#p=val:0&u=conv2:7:2:1'")
        wait_for(tab, saw(session))


def test_a_name_with_markup_is_text_in_the_page(browser, session, address):
    name = urllib.parse.quote(f"\x1b[31m\u202e{MARKUP}")
    about = httpx.post(f"{address}api/pictures", content=png_of(5), headers={"X-Name": name}, timeout=60)  # fmt: skip
    picture = about.json()["id"]
    with tabs_of(browser, address) as new:
        tab = new()
        tab.goto(f"{address}#p={picture}&u=conv2:7:2:1")
        tab.wait_for_selector("#unit[data-sha256]")
        tab.wait_for_selector(f"#held :text('{MARKUP[:8]}')")
        shown = tab.inner_text("#held")
        assert "\u202e" not in shown and "\x1b" not in shown
        assert tab.evaluate("document.querySelectorAll('img[src=x]').length") == 0
