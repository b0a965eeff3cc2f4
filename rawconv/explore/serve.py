"""A port, and a server in a thread: the net is read beside it, and a notebook goes on beside it.

sock = bind("127.0.0.1", None)                  a free port, from FIRST_PORT on
run(load, sock, access(sock, "127.0.0.1"), opened)
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import RawconvError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

FIRST_PORT, MORE = 8765, 50
START_SECONDS = 30
SETTLES = 2  # seconds after which a page that was opened at once has asked its first questions
MISSING = (
    "The explorer needs Starlette and uvicorn, which are not installed; install them with "
    "pip install 'rawconv[explore]'."
)


def bind(host: str, port: int | None) -> socket.socket:
    """Return a socket bound to a port of `host`: `port`, or by default the first free one from FIRST_PORT on.

    UsageError: the host is no address of this machine.  RawconvError: the port is in use, or all are.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError(f"--host {host} is no address of this machine; 127.0.0.1 is.") from None
    tried = [port] if port is not None else [*range(FIRST_PORT, FIRST_PORT + MORE), 0]
    for number in tried:
        # asyncio sends small parts at once (TCP_NODELAY) where it reads that this is TCP: 40 ms less
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address[0], number))
            sock.listen(128)
            return sock
        except OSError as error:
            sock.close()
            trouble = error
    if port is None:
        raise RawconvError(f"No port of {host} can be had ({trouble.strerror or trouble}).")
    raise RawconvError(
        f"Port {port} of {host} cannot be had ({trouble.strerror or trouble}); without --port the next free one is "
        "taken."
    )


def need_packages() -> None:
    """RawconvError: the packages of the extra `explore` are not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise RawconvError(MISSING) from None


class Serving:
    """A server of an ASGI application that answers in a thread of its own, from here on until `close`.

    RawconvError: it does not start.
    """

    def __init__(self, application: Any, sock: socket.socket) -> None:
        answers, self._ended = threading.Event(), threading.Event()
        self._server, self._sock = _server_of(application, answers.set), sock
        threading.Thread(target=self._run, name="rawconv-explorer", daemon=True).start()
        if not answers.wait(START_SECONDS):
            self.close()
            raise RawconvError("The explorer's server did not start.")

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._sock])
        finally:
            # Python 3.11 takes a thread for ended when a signal interrupts the wait for it
            self._ended.set()

    def wait(self, seconds: float = math.inf) -> None:
        """Wait until it ends, or so long; a signal's exception ends the wait."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._ended.wait(min(left, 1)):  # without a time, no signal would end it on Windows
                return

    def close(self) -> None:
        """End it: what is being answered has a second, and is cut off then without an error on the terminal.

        A second call does nothing.
        """
        log = logging.getLogger("uvicorn.error")
        level = log.level
        log.setLevel(logging.CRITICAL)
        try:
            self._server.should_exit = True
            self.wait()
        finally:
            log.setLevel(level)
            self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _server_of(application: Any, opened: Callable[[], object]) -> Any:
    """The uvicorn server of an application; opened is called when it answers."""
    import uvicorn

    config = uvicorn.Config(
        application, log_level="error", access_log=False, server_header=False,
        date_header=False, timeout_graceful_shutdown=1, timeout_keep_alive=75, h11_max_incomplete_event_size=32 << 10,
        ws="none", http="h11", loop="asyncio", proxy_headers=False,
    )  # fmt: skip

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            opened()

    return Server(config)


def address(sock: socket.socket, host: str) -> str:
    """Return the URL under which a browser on this machine finds the server."""
    from .guard import ANY

    name = "127.0.0.1" if host in ANY else host
    return f"http://{f'[{name}]' if ':' in name else name}:{sock.getsockname()[1]}/"


def access(sock: socket.socket, host: str, token: str = "", framed: bool = False) -> Any:
    """Return the server.Access of a socket that `host` was bound to."""
    from .guard import ANY, LOOPBACK
    from .server import Access

    names = None if host in ANY else LOOPBACK if host in LOOPBACK else (host,)
    return Access(names, sock.getsockname()[1], token, framed)


def run(
    load: Callable[[], Any],
    sock: socket.socket,
    access: Any,
    opened: Callable[[], object],
    patience: float = 0,
) -> None:
    """Serve the page until a signal's exception ends it.

    load: of the routes.api that answers its requests, called when the page is there already.  What it raises ends
    the server, after those who wait were told; for the first of them it waits `patience` seconds.
    opened: called when the page is there.
    """
    from .later import Later, hurrying
    from .server import application

    later = Later()
    with Serving(application(later, access), sock) as serving:
        try:
            opened()
            with hurrying():
                later.give(load())
                serving.wait(SETTLES)
        except Exception as error:
            later.refuse(error)
            later.told.wait(patience)
            raise
        except BaseException:
            later.refuse(RawconvError("The server has ended before the net was read."))
            raise
        serving.wait()
