"""The explorer's server: its page, and in front of it and of all requests, who may ask.

    app = application(Later(api(session)), Access(("127.0.0.1",), 8765))      an ASGI application, for uvicorn

The requests of the page are in routes.py.  This file imports nothing that takes long to load.
"""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .guard import Guard
from .later import Later
from .refusals import HANDLERS

STATIC = pathlib.Path(__file__).parent / "static"
SHARED = pathlib.Path(__file__).parent.parent / "report" / "page"
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png",
}  # fmt: skip


class Access(NamedTuple):
    """Under which names and port the server is reached, and who may ask: guard.Guard says what each means."""

    hosts: tuple[str, ...] | None
    port: int
    token: str = ""
    framed: bool = False


def index(_: Request) -> Response:
    return _file(STATIC, "index.html")


def static(request: Request) -> Response:
    return _file(STATIC, request.path_params["name"])


def shared(request: Request) -> Response:
    return _file(SHARED, request.path_params["name"])


def _file(folder: pathlib.Path, name: str) -> Response:
    """A file of the package: its name is looked for among those that are there, never opened as it came."""
    files = {path.name: path for path in folder.iterdir() if path.suffix in TYPES}
    if name not in files:
        raise HTTPException(404, "There is no such file")
    path = files[name]
    return Response(path.read_bytes(), media_type=TYPES[path.suffix])


def application(requests: Later, access: Access) -> Any:
    """Return the ASGI application of a page whose requests `requests` answers, a routes.api when it is there."""
    routes = [
        Route("/", index),
        Route("/static/{name}", static),
        Route("/page/{name}", shared),
        Route("/api/{rest:path}", requests),
    ]
    app = Starlette(routes=routes, lifespan=requests.lifespan, exception_handlers=HANDLERS)
    return Guard(app, *access)
