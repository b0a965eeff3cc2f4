"""The task that looks after a watched run, and the pages that it tells: server-sent events.

watching = Watching(session, watch, worker)
task = asyncio.create_task(watching.run())
async for text in watching.events(): ...        event: net, data: {"net": 3}
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from ..errors import RawconvError
from .run_watch import Change, RunWatch, check_same
from .session import Session
from .worker import Worker

EVERY = 0.5  # seconds between two looks at the folder
ALIVE = 10  # seconds after which a page is told that the server lives, if there is nothing else
MOST_WAITING = 100  # events for one page; a page that takes none is behind anyway


class Watching:
    """A RunWatch, asked twice a second, whose changes all pages are told."""

    def __init__(self, session: Session, watch: RunWatch, worker: Worker) -> None:
        self.session, self.watch, self.worker = session, watch, worker
        self._pages: set[asyncio.Queue[str]] = set()

    async def run(self) -> None:
        """Look into the folder again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(EVERY)
            for change in await loop.run_in_executor(None, self.watch.changes):
                self._tell(*await self._take(change))

    async def _take(self, change: Change) -> tuple[str, dict[str, Any]]:
        """Replace the session's net where it is new; return the event that says so."""
        if change.kind == "trouble":
            return "trouble", {"sentence": change.sentence}
        if change.net is None:
            return change.kind, {}
        try:
            check_same(self.session.net, change.net)
        except RawconvError as error:
            return "trouble", {"sentence": str(error)}
        # in the thread that computes: no answer is half of the one net, half of the other
        await self.worker.do(self.session.replace, change.net, change.info or {})
        return "net", {"net": self.session.version}

    def _tell(self, kind: str, value: dict[str, Any]) -> None:
        text = f"event: {kind}\ndata: {json.dumps(value)}\n\n"
        for page in self._pages:
            if not page.full():
                page.put_nowait(text)

    async def events(self) -> AsyncIterator[str]:
        """Yield the events from now on as text for a page, and a comment now and then."""
        page: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
        self._pages.add(page)
        try:
            yield f"event: hello\ndata: {json.dumps({'net': self.session.version})}\n\n"
            while True:
                try:
                    yield await asyncio.wait_for(page.get(), ALIVE)
                except asyncio.TimeoutError:
                    yield ": alive\n\n"
        finally:
            self._pages.discard(page)
