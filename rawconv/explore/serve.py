"""A port and a server: in this thread until it is interrupted, or beside it for a notebook.

sock = bind("127.0.0.1", None)                  a free port, from FIRST_PORT on
run(application(session, access(sock, "127.0.0.1")), sock, opened)
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from ..errors import RawconvError, UsageError

FIRST_PORT, MORE = 8765, 50
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


def server_of(application: Any, opened: Callable[[], object] = lambda: None) -> Any:
    """Return the uvicorn server of a server.application; opened is called when it answers."""
    import uvicorn

    config = uvicorn.Config(
        application, log_level="warning", access_log=False, server_header=False,
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


def run(application: Any, sock: socket.socket, opened: Callable[[], object]) -> None:
    """Serve in this thread until a signal ends it.  opened: called when it answers."""
    server_of(application, opened).run(sockets=[sock])
