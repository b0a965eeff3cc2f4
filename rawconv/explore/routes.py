"""The requests of the page, each with the function that answers it; docs/explore.md lists what they take."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from . import asked, why
from .facts import net_facts
from .held import Missing
from .images import png, thumbnail
from .refusals import HANDLERS
from .requests import answer, body, compute, fields, image, question, read, session_of, stream
from .run_watch import RunWatch
from .session import Session
from .strongest import COUNT
from .watching import Watching
from .worker import Worker

UPLOAD_BYTES = 64 << 20  # of a picture's file
BODIES = 4  # that may be on their way at once
THUMB = 64  # pixels of a picture to browse
MOST_BROWSED = 500
LARGEST = 10**9


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


def api(session: Session, watch: RunWatch | None = None) -> Starlette:
    """Return the application that answers the requests of a page about a session.

    watch: of the run that the session's net is from, if it is watched.
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

    return Starlette(routes=ROUTES, lifespan=lifespan, exception_handlers=HANDLERS)
