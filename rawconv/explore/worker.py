"""One thread computes; the newest request of a slot takes the place of one that still waits.

A page gives each kind of its requests a slot.  While one is computed, at most one more of the slot
waits: whoever drags a mouse is never more than one request behind.  A request whose client has gone
is not computed.  When nothing was asked for a while, the background's steps are.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

LOG = logging.getLogger(__name__)
IDLE = 0.25  # seconds without a request, after which the background goes on


class Replaced(Exception):
    """A newer request of the same slot took the place of this one."""


class Gone(Exception):
    """Nobody waits for the answer any more."""


class _Job(NamedTuple):
    function: Callable[[], Any]
    gone: Callable[[], Awaitable[bool]]
    answer: asyncio.Future[Any]


class Worker:
    """The thread that computes, and what waits for it.

    background: called when nothing else is to be done; returns whether there is more.  It takes a
    tenth of a second or so.
    """

    def __init__(self, background: Callable[[], bool] = lambda: False) -> None:
        self._background = background
        self._waiting: dict[object, _Job] = {}
        self._thread = ThreadPoolExecutor(1, "rawconv-explore")
        self._arrived = asyncio.Event()

    async def do(
        self, function: Callable[..., Any], *arguments: Any, slot: str = "",
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> Any:  # fmt: skip
        """Return function(*arguments), computed in the thread when it is its turn.

        slot: of the page that asks, or "" for a request that no other replaces.
        gone: the function that tells whether the client has gone.
        Replaced, Gone, or what the function raises.
        """
        key: object = slot or object()
        older = self._waiting.pop(key, None)
        if older and not older.answer.done():
            older.answer.set_exception(Replaced())
        answer = asyncio.get_running_loop().create_future()
        work = functools.partial(function, *arguments)
        self._waiting[key] = _Job(work, gone or _never, answer)
        self._arrived.set()
        return await answer

    async def run(self) -> None:
        """Do what waits, one after the other, until cancelled."""
        try:
            while True:
                await self._next()
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _next(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._waiting:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), IDLE)
            except asyncio.TimeoutError:
                await self._go_on()
        job = self._waiting.pop(next(iter(self._waiting)))
        if job.answer.done():
            return
        if await job.gone():
            _settle(
                job.answer, error=Gone()
            )  # the wait above let others go on: it may be cancelled
            return
        try:
            result = await loop.run_in_executor(self._thread, _ended, job.function)
        except Exception as error:
            _settle(job.answer, error=error)
        else:
            _settle(job.answer, result)

    async def _go_on(self) -> None:
        """Do the background's steps until there are no more, or something is asked."""
        loop = asyncio.get_running_loop()
        try:
            while not self._waiting and await loop.run_in_executor(
                self._thread, _ended, self._background
            ):
                pass
        except Exception:  # a bug: nobody waits for it, and it would fail again
            LOG.exception("What goes on in the background has failed, and is not tried again.")
            self._background = bool


def _ended(function: Callable[[], Any]) -> Any:
    """What a function returns.  No Future takes a StopIteration: whoever waits would do so for ever."""
    try:
        return function()
    except StopIteration as error:
        raise RuntimeError("An iterator ended too early.") from error


def _settle(
    answer: asyncio.Future[Any], result: Any = None, error: Exception | None = None
) -> None:
    if answer.done():  # who waited was cancelled
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)


async def _never() -> bool:
    return False
