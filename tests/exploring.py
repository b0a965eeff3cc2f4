"""For the tests of the explorer: a session of a small net and random pictures, and a client of its server."""

import contextlib
import io
import threading

import numpy as np
import pytest
from PIL import Image
from subjects import data_of
from test_visualize_cli import small_net

from rawconv.explore.session import Session

PORT = 8765
SLOT = {"X-Slot": "k3f9/project"}


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

    from rawconv.explore.server import Access, application

    app = application(session, Access((host, "localhost"), PORT, token), watch)
    with TestClient(app, f"http://{host}:{PORT}", **options) as client:
        yield client


@contextlib.contextmanager
def serving(session, watch=None, token="", port=0):
    """The address of a server of a session, over a socket, in a thread.  port: 0 is any that is free."""
    pytest.importorskip("uvicorn", reason="the explorer needs uvicorn: pip install uvicorn")
    from rawconv.explore import serve
    from rawconv.explore.server import application

    sock, answers = serve.bind("127.0.0.1", port), threading.Event()
    app = application(session, serve.access(sock, "127.0.0.1", token), watch)
    server = serve.server_of(app, answers.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        assert answers.wait(60), "it does not start"
        yield serve.address(sock, "127.0.0.1")
    finally:
        server.should_exit = True
        thread.join(30)
        sock.close()
