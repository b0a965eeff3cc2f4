"""What a request brings, read and bounded; its answer, computed in its turn, as JSON, lines of JSON or a PNG."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..errors import RawconvError, UsageError
from ..files.json_text import plain
from . import asked
from .session import Session
from .worker import Gone, Replaced, Worker

JSON_BYTES = 64 << 10  # of a question
BODY_SECONDS = 60  # that a body may take to arrive: few are taken at once


async def body(request: Request, most: int) -> bytes:
    """Read what a request brings, at most so many bytes.  HTTPException 413: it is more; 408: it takes too long."""
    try:
        return await asyncio.wait_for(_body(request, most), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise HTTPException(
            408, f"This did not arrive within {BODY_SECONDS} seconds; send it again"
        ) from None


async def _body(request: Request, most: int) -> bytes:
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
