"""Requests of the page -> questions to the session -> JSON and PNG.  It computes nothing itself.

    app = application(session, Access(("127.0.0.1",), 8765))          an ASGI application, for uvicorn

The requests, with what each takes and answers, are listed in docs/explore.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..errors import RawconvError, UsageError
from ..files.json_text import plain
from . import asked, why
from .facts import net_facts
from .guard import Guard
from .images import png, thumbnail
from .likes import COUNT
from .pictures import Missing
from .run_watch import RunWatch
from .session import Session
from .watching import Watching
from .worker import Gone, Replaced, Worker

UPLOAD_BYTES = 64 << 20  # of a picture's file
JSON_BYTES = 64 << 10  # of a question
BODIES = 4  # that may be on their way at once
THUMB = 64  # pixels of a picture to browse
MOST_BROWSED = 500
LARGEST = 10**9
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


def application(session: Session, access: Access, watch: RunWatch | None = None) -> Any:
    """Return the ASGI application of a session.  watch: of the run that the session's net is from, if
    it is watched.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.session = session
        app.state.worker = worker = Worker(session.background)
        app.state.bodies = asyncio.Semaphore(BODIES)
        app.state.watching = watching = watch and Watching(session, watch, worker)
        running = [asyncio.create_task(task.run()) for task in (worker, watching) if task]
        try:
            yield
        finally:
            for task in running:
                task.cancel()

    app = Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        exception_handlers={
            UsageError: _usage,
            RawconvError: _usage,
            HTTPException: _http,
            Replaced: _replaced,
            Gone: _gone,
            ClientDisconnect: _gone,
            MemoryError: _memory,
            Exception: _bug,
        },
    )
    return Guard(app, *access)


# -------------------------------------------------------------------------------- what goes wrong


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)


async def _usage(_: Request, error: Exception) -> Response:
    return _refusal(404 if isinstance(error, Missing) else 400, str(error))


async def _http(_: Request, error: Any) -> Response:
    return _refusal(error.status_code, f"{error.detail}.")


async def _replaced(*_: Any) -> Response:
    return _refusal(409, "replaced")


async def _gone(*_: Any) -> Response:
    return _refusal(499, "gone")


async def _memory(*_: Any) -> Response:
    return _refusal(503, "There is not enough memory for this; close other programs.")


async def _bug(*_: Any) -> Response:
    return _refusal(
        500, "Something failed that should not; the terminal of rawconv-explore says more."
    )


# -------------------------------------------------------------------------------- what comes in


async def body(request: Request, most: int) -> bytes:
    """Read what a request brings, at most so many bytes.  HTTPException 413: it is more."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(
                413, f"This is larger than {most >> 10:,} KB, the most that is taken"
            )
        parts.append(part)
    return b"".join(parts)


async def fields(request: Request) -> dict[str, Any]:
    """Read the JSON object of a question.  UsageError: it is none."""
    content = await body(request, JSON_BYTES)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise UsageError("The question is no JSON; send an object of named fields.") from None
    if not isinstance(value, dict):
        raise UsageError("The question is JSON, but no object; send one of named fields.")
    return value


async def question(request: Request, asking: Mapping[str, Any]) -> asked.Question:
    """Read a question about a projection.  A data set that its picture is of is opened here, where
    nothing else waits.
    """
    checked, pictures = asked.question(asking), session_of(request).pictures
    if not pictures.settled:
        for picture in filter(None, (checked.picture, checked.other)):
            await read(pictures.find, picture)
    return checked


async def compute(request: Request, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function of the session returns, computed in the one thread, in the slot that
    the request names.
    """
    worker: Worker = request.app.state.worker
    slot = request.headers.get("x-slot", "")[:100]
    return await worker.do(function, *arguments, slot=slot, gone=request.is_disconnected)


def stream(request: Request, lines: Iterator[Mapping[str, Any]]) -> Response:
    """Answer with a line of JSON for each value of a generator of the session; each is computed in
    its turn, so that other requests come between.
    """

    async def answer() -> AsyncIterator[bytes]:
        while True:
            try:
                line = await compute(request, next, lines, None)
            except (RawconvError, UsageError) as error:
                line, ends = {"error": str(error)}, True
            except (Replaced, Gone):
                line, ends = {"error": "replaced"}, True
            else:
                ends = line is None
            if line is not None:
                yield json.dumps(plain(line)).encode() + b"\n"
            if ends:
                return

    return StreamingResponse(answer(), media_type="application/x-ndjson")


async def read(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function that reads the data set returns; it waits for no computation."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


def answer(value: Any) -> Response:
    """JSON of what a session says."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), media_type="application/json")


def image(content: bytes) -> Response:
    """A PNG file."""
    return Response(content, media_type="image/png")


def session_of(request: Request) -> Session:
    """The session that a request asks."""
    session: Session = request.app.state.session
    return session


# -------------------------------------------------------------------------------- the page


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


# -------------------------------------------------------------------------------- the net and its pictures


async def net(request: Request) -> Response:
    session = session_of(request)
    watching = request.app.state.watching
    run = {"run": watching.watch.name if watching else None}
    return answer(net_facts(session.net) | session.origin() | run)


async def data(request: Request) -> Response:
    return answer(await read(session_of(request).data_facts))


async def bring(request: Request) -> Response:
    session = session_of(request)
    name = unquote(request.headers.get("x-name", "picture")[:1000], errors="replace")
    async with request.app.state.bodies:
        content = await body(request, UPLOAD_BYTES)
        picture = await read(session.pictures.bring, name, content)
    del content
    return answer(await compute(request, session.describe, picture))


async def take(request: Request) -> Response:
    session, asking = session_of(request), await fields(request)
    split = asked.text(asking, "split")
    number = asked.number(asking, "number", 0, LARGEST)
    picture = await read(session.pictures.find, f"{split}:{number}")
    return answer(await compute(request, session.describe, picture))


async def picture(request: Request) -> Response:
    session = session_of(request)
    shown = await read(session.pictures.find, request.path_params["id"])
    return answer(await compute(request, session.describe, shown))


async def picture_image(request: Request) -> Response:
    session = session_of(request)
    shown = await read(session.pictures.find, request.path_params["id"])
    return image(await read(session.image, shown))


async def browse(request: Request) -> Response:
    asking = request.query_params
    limits = [asked.number(asking, name, 0, most, start) for name, most, start in
              (("offset", LARGEST, 0), ("count", MOST_BROWSED, 60), ("class", LARGEST, LARGEST))]  # fmt: skip
    return answer(await read(_browse, session_of(request), asked.text(asking, "split", "val"), *limits))  # fmt: skip


def _browse(session: Session, split: str, offset: int, count: int, label: int) -> dict[str, Any]:
    labels = session.pictures.split(split).labels
    every = np.arange(len(labels)) if label == LARGEST else np.flatnonzero(labels == label)
    return {
        "total": len(every),
        "items": [
            {"number": number, "class": int(labels[number])}
            for number in every[offset : offset + count].tolist()
        ],
    }


async def browse_image(request: Request) -> Response:
    split, number = request.path_params["split"], request.path_params["number"]
    shown = await read(session_of(request).pictures.find, f"{split}:{number}")
    return image(await read(lambda: png(thumbnail(shown.stored, THUMB))))


# -------------------------------------------------------------------------------- maps and projections


async def maps(request: Request) -> Response:
    session, layer = session_of(request), asked.text(request.query_params, "layer")
    shown = await read(session.pictures.find, request.path_params["id"])
    facts = await compute(request, session.maps, shown, layer)
    facts["sprite"]["src"] = f"{request.url.path}.png?{request.url.query}&of={session.mark}"
    return answer(facts)


async def maps_image(request: Request) -> Response:
    session, layer = session_of(request), asked.text(request.query_params, "layer")
    shown = await read(session.pictures.find, request.path_params["id"])
    return image(await compute(request, session.maps_sheet, shown, layer))


async def project(request: Request) -> Response:
    asking = await question(request, await fields(request))
    return answer(await compute(request, session_of(request).project, asking))


async def project_npy(request: Request) -> Response:
    asking = await question(request, request.query_params)
    pixels = await compute(request, session_of(request).pixels, asking)
    out = io.BytesIO()
    np.save(out, pixels, allow_pickle=False)
    return Response(out.getvalue(), media_type="application/octet-stream")


async def steps(request: Request) -> Response:
    asking = await question(request, await fields(request))
    return answer(await compute(request, session_of(request).steps, asking))


async def likes(request: Request) -> Response:
    session, asking = session_of(request), await fields(request)
    layer, channel = asked.text(asking, "layer"), asked.number(asking, "channel", 0, LARGEST)
    count = asked.number(asking, "count", 1, COUNT, COUNT)
    waits = session.likes.ready(layer)
    if waits:
        if not session.pictures.settled:
            asyncio.get_running_loop().run_in_executor(None, session.data_facts)
        return answer(waits)
    patches = await compute(request, session.likes.patches, layer, channel, count)
    return answer({"ready": True, "patches": patches})


# -------------------------------------------------------------------------------- a run that trains


def watched(request: Request) -> Watching:
    """What watches the run.  Missing: none is watched."""
    watching: Watching | None = request.app.state.watching
    if watching is None:
        raise Missing("No run is watched; start rawconv-explore with the folder of one.")
    return watching


async def run(request: Request) -> Response:
    return answer(await read(watched(request).watch.facts, session_of(request).net))


async def run_events(request: Request) -> Response:
    return StreamingResponse(watched(request).events(), media_type="text/event-stream")


# -------------------------------------------------------------------------------- why this class


async def explain(request: Request) -> Response:
    session, body = session_of(request), await fields(request)
    classes = asked.number(body, "guessed", 0, LARGEST), asked.number(body, "true", 0, LARGEST)
    layer = asked.text(body, "layer", "")
    picture = await read(session.pictures.find, asked.text(body, "picture"))
    return answer(await compute(request, why.why, session, picture, classes, layer))


async def occlude(request: Request) -> Response:
    session, body = session_of(request), await fields(request)
    sides = [asked.number(body, name, -LARGEST, LARGEST) for name in ("top", "left")]
    square = *sides, asked.number(body, "size", 1, LARGEST)
    unit = asked.text(body, "unit", "")
    picture = await read(session.pictures.find, asked.text(body, "picture"))
    return answer(await compute(request, why.occlude, session, picture, square, unit))


async def heatmap(request: Request) -> Response:
    session, body = session_of(request), await fields(request)
    most = max(session.net.shape[:2])
    square = asked.number(body, "size", 1, most), asked.number(body, "stride", 1, most)
    number, unit = asked.number(body, "class", 0, LARGEST), asked.text(body, "unit", "")
    picture = await read(session.pictures.find, asked.text(body, "picture"))
    return stream(
        request, await compute(request, why.heatmap, session, picture, square, number, unit)
    )


ROUTES = [
    Route("/", index),
    Route("/static/{name}", static),
    Route("/page/{name}", shared),
    Route("/api/net", net),
    Route("/api/data", data),
    Route("/api/pictures", bring, methods=["POST"]),
    Route("/api/pictures/data", take, methods=["POST"]),
    Route("/api/pictures/{id}", picture),
    Route("/api/pictures/{id}/image.png", picture_image),
    Route("/api/pictures/{id}/maps", maps),
    Route("/api/pictures/{id}/maps.png", maps_image),
    Route("/api/browse", browse),
    Route("/api/browse/{split}/{number}.png", browse_image),
    Route("/api/project", project, methods=["POST"]),
    Route("/api/project.npy", project_npy),
    Route("/api/steps", steps, methods=["POST"]),
    Route("/api/likes", likes, methods=["POST"]),
    Route("/api/why", explain, methods=["POST"]),
    Route("/api/occlude", occlude, methods=["POST"]),
    Route("/api/heatmap", heatmap, methods=["POST"]),
    Route("/api/run", run),
    Route("/api/run/events", run_events),
]
