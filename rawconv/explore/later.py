"""An application that is there later than its server: the page comes at once, its questions wait for the net.

later = Later()
Starlette(routes=[Route("/api/{rest:path}", later)], lifespan=later.lifespan)
later.give(app)                                 from any thread, as soon as it is there;  or later.refuse(error)
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any

from starlette.applications import Starlette

from ..errors import RawconvError, UsageError
from .refusals import BUG, refusal

LOG = logging.getLogger(__name__)
TURN = 0.0005  # seconds after which who imports lets others go on; Python's are ten times as many


class Later:
    """An ASGI application that passes everything on to another one, `app`, or waits until that is given.

    told: set when somebody who asked was told why there will be none.
    """

    def __init__(self, app: Starlette | None = None) -> None:
        self.told = threading.Event()
        self._future_app: Future[Starlette] = Future()
        self._future_app.set_running_or_notify_cancel()  # so that a request that is cancelled cancels no other's
        self._open: asyncio.Task[Starlette] | None = None
        if app is not None:
            self.give(app)

    def give(self, app: Starlette) -> None:
        """Let `app` answer from now on, and those who wait."""
        self._future_app.set_result(app)

    def refuse(self, error: BaseException) -> None:
        """Tell in a sentence why there will be none; where one is there already, do nothing."""
        if not self._future_app.done():
            self._future_app.set_exception(error)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Run the application's lifespan within the server's, from when it is given."""
        async with contextlib.AsyncExitStack() as ends:
            self._open = asyncio.create_task(self._enter(ends))
            try:
                yield
            finally:
                self._open.cancel()
                await asyncio.wait([self._open])

    async def _enter(self, ends: contextlib.AsyncExitStack) -> Starlette:
        app = await asyncio.wrap_future(self._future_app)
        await ends.enter_async_context(app.router.lifespan_context(app))
        return app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request as soon as the application is there."""
        assert self._open is not None
        try:
            app = await asyncio.shield(self._open)
        except Exception as error:
            known = isinstance(error, RawconvError | UsageError)
            await refusal(503, str(error) if known else BUG)(scope, receive, send)
            self.told.set()
        else:
            try:
                await app(scope, receive, send)
            except Exception:
                # a bug, which the app has answered; uvicorn would end the connection for it
                LOG.exception("A request has failed.")


@contextlib.contextmanager
def hurrying() -> Iterator[None]:
    """While much is imported: take shorter turns, and leave out garbage collection, an eighth of the time.

    What is there at its end is no garbage, and is left out of all collections that come.
    """
    before, collects = sys.getswitchinterval(), gc.isenabled()
    sys.setswitchinterval(TURN)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        gc.freeze()
        if collects:
            gc.enable()
