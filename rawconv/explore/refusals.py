"""What a page is told where its request cannot be answered: a status and one sentence."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from ..errors import RawconvError, UsageError
from .held import Missing
from .worker import Gone, Replaced

BUG = "Something failed that should not; the terminal of rawconv-explore says more."


def refusal(status: int, sentence: str) -> JSONResponse:
    """The answer of a status and a sentence."""
    return JSONResponse({"error": sentence}, status)


async def _usage(_: Request, error: Exception) -> Response:
    return refusal(404 if isinstance(error, Missing) else 400, str(error))


async def _http(_: Request, error: Any) -> Response:
    return refusal(error.status_code, f"{error.detail}.")


async def _replaced(*_: Any) -> Response:
    return refusal(409, "replaced")


async def _gone(*_: Any) -> Response:
    return refusal(499, "gone")


async def _memory(*_: Any) -> Response:
    return refusal(503, "There is not enough memory for this; close other programs.")


async def _bug(*_: Any) -> Response:
    return refusal(500, BUG)


HANDLERS: dict[Any, Any] = {
    UsageError: _usage,
    RawconvError: _usage,
    HTTPException: _http,
    Replaced: _replaced,
    Gone: _gone,
    ClientDisconnect: _gone,
    MemoryError: _memory,
    Exception: _bug,
}
