"""Who may ask: in front of everything else, for a server that only its own page may talk to.

A page from elsewhere cannot read an answer, but it could send requests: to 127.0.0.1, or to a name of
its own that leads there (DNS rebinding).  So the Host must be ours, the Origin, where there is one,
the same, and what a browser says of the site that asks must not be another.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
NO_TOKEN = "This server asks for its token: open the address that it printed."
ELSEWHERE = "Another site asks for this; only the explorer's own page may."
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY = ("0.0.0.0", "::", "")


class Guard:
    """ASGI middleware: lets through what may ask `app`, and gives each answer the headers of HEADERS.

    hosts: names under which the server is reached; None: any, where the token alone decides.
    port: the server's.  token: which each request must show, or "" for none.
    framed: whether other pages may show this one in a frame: notebooks do.
    """

    def __init__(
        self,
        app: Any,
        hosts: Iterable[str] | None,
        port: int,
        token: str = "",
        framed: bool = False,
    ) -> None:
        self.app, self.token, self.cookie = app, token, f"rawconv-{port}"
        self.hosts = None if hosts is None else {name for host in hosts for name in _named(host, port)}  # fmt: skip
        policy = POLICY if framed else f"{POLICY}; frame-ancestors 'none'"
        extra = HEADERS | {"content-security-policy": policy}
        self.headers = [(key.encode(), value.encode()) for key, value in extra.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                ours = {key for key, _ in self.headers}
                theirs = [pair for pair in message["headers"] if pair[0].lower() not in ours]
                message = {**message, "headers": [*theirs, *self.headers]}
            await send(message)

        headers: dict[str, list[str]] = {}
        for key, value in scope["headers"]:
            headers.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        if trouble := self._trouble(scope, headers):
            await _refuse(with_headers, 403, trouble)
        elif self.token and not self._knows(scope, headers):
            if not await self._enter(scope, with_headers):
                await _refuse(with_headers, 403, NO_TOKEN)
        else:
            await self.app(scope, receive, with_headers)

    def _trouble(self, scope: Any, headers: dict[str, list[str]]) -> str:
        """Return why a request is refused, "" where it is not."""
        hosts, origins = headers.get("host", []), headers.get("origin", [])
        if len(hosts) != 1 or (self.hosts is not None and hosts[0].lower() not in self.hosts):
            return "This server answers under its own address alone."
        if origins and origins != [f"{scope.get('scheme', 'http')}://{hosts[0]}"]:
            return ELSEWHERE
        site, mode = headers.get("sec-fetch-site", [""])[0], headers.get("sec-fetch-mode", [""])[0]
        opens = scope["method"] == "GET" and scope["path"] == "/" and mode == "navigate"
        if site in ("cross-site", "same-site") and not opens:
            return ELSEWHERE
        return ""

    def _knows(self, scope: Any, headers: dict[str, list[str]]) -> bool:
        """Whether a request shows the token, in a cookie or as a bearer."""
        shown = [value.removeprefix("Bearer ") for value in headers.get("authorization", [])]
        for text in headers.get("cookie", []):
            try:
                cookie = SimpleCookie(text).get(self.cookie)
            except CookieError:
                continue
            shown += [cookie.value] if cookie else []
        return any(self._same(value) for value in shown)

    def _same(self, value: str) -> bool:
        return hmac.compare_digest(value.encode("utf-8", "replace"), self.token.encode())

    async def _enter(self, scope: Any, send: Any) -> bool:
        """Turn the token in the address into a cookie; return whether it was the right one."""
        try:
            query = parse_qs(scope["query_string"].decode("ascii"), max_num_fields=20)
        except ValueError:
            return False
        if scope["method"] != "GET" or not any(map(self._same, query.pop("token", []))):
            return False
        rest = urlencode(query, doseq=True)
        cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/"
        place = "/" + ("?" + rest if rest else "")
        headers = [(b"location", place.encode()), (b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return True


def _named(host: str, port: int) -> list[str]:
    """What a browser writes as Host for a server there."""
    name = (f"[{host}]" if ":" in host else host).lower()
    return [f"{name}:{port}", *([name] if port == 80 else [])]


async def _refuse(send: Any, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
