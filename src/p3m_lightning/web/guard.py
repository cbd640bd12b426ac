"""What stands before the page: requests that a person's clicks do not make are refused."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api"
FILE = f"{API}/file="
MESSAGES = (f"{API}/queue/join", f"{API}/run/predict")
"""Where clicks arrive: those that wait for their turn, and those that need not."""
READ = (
    "/theme.css",
    "/favicon.ico",
    "/assets/",
    "/static/",
    f"{API}/heartbeat/",
    f"{API}/queue/data",
    f"{API}/startup-events",
    f"{API}/upload_progress",
)
"""Beginnings of the addresses that the page reads, beside itself and files."""
WRITE = (*MESSAGES, f"{API}/upload", f"{API}/cancel")
"""Addresses that the page posts to."""

MOST_JSON = 1_000_000
"""Bytes of a message; pictures come as uploads, not in it."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; frame-ancestors 'none'"
)
"""Content security policy: the browser asks nobody else, and no other page shows this one in a frame."""


class Guard:
    """An ASGI middleware that keeps visitors to the page, and the page to its folder.

    Gradio serves more than its pages need: it fetches addresses that a request names, passes requests on to other
    hosts, and lists an interface for programs. Here only addresses of `READ` and `WRITE` exist; files are those of the
    folder; a message may name no other file and no address; the host must be this machine, so that no foreign page
    reaches it under a name of its own.

    Args:
        app: what is guarded.
        folder: of uploads and results.
        hosts: names of this machine, without port.
    """

    def __init__(self, app: App, folder: Path, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> None:
        self.app, self.folder, self.hosts = app, folder.resolve(), hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 400, 403, 404 or 413."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST" and scope["path"].rstrip("/") in MESSAGES:
            refusal, receive = await self._read_message(receive)
        if refusal is not None:
            await _answer(send, *refusal)
            return

        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self.app(scope, receive, with_policy)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = dict(scope.get("headers", ()))
        host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
        if scope["type"] != "http" or host not in self.hosts:
            return 403, "not for this host"
        path, method = scope["path"], scope["method"]
        if method == "POST":
            known = path.rstrip("/") in WRITE
        elif path.startswith(FILE):
            known = self._is_ours(unquote(path.removeprefix(FILE)))
        else:
            known = method in ("GET", "HEAD") and (path == "/" or path.startswith(READ))
        return None if known else (404, "no such page")

    def _is_ours(self, name: str) -> bool:
        """Tell whether a path leads to a file in the folder; addresses do not."""
        if "\0" in name:
            return False
        path = Path(name).resolve()
        return path.is_relative_to(self.folder) and path.is_file()

    async def _read_message(self, receive: Receive) -> tuple[tuple[int, str] | None, Receive]:
        """Read the whole body; return why it is refused, if so, and what gives it to the next reader."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MOST_JSON:
                return (413, "message too long"), receive
        try:
            content = json.loads(body)
            harmless = all(self._is_harmless(part) for part in _files_in(content))
        except (ValueError, RecursionError):
            harmless = False

        async def again() -> MutableMapping[str, Any]:
            nonlocal body
            taken, body = body, None
            return {"type": "http.request", "body": taken} if taken is not None else await receive()

        return (None, again) if harmless else ((400, "only uploaded files are opened"), receive)

    def _is_harmless(self, file: Mapping[str, Any]) -> bool:
        path, url = file.get("path"), file.get("url")
        if path is not None and not (isinstance(path, str) and self._is_ours(path)):
            return False
        return url is None or (isinstance(url, str) and self._is_own_address(url))

    def _is_own_address(self, url: str) -> bool:
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        if scheme != "http" or host.rsplit(":", 1)[0] not in self.hosts:
            return False
        return f"/{path}".startswith(FILE) and self._is_ours(unquote(f"/{path}".removeprefix(FILE)))


def _files_in(content: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all parts of a message that name a file."""
    if isinstance(content, dict):
        if "path" in content or "url" in content:
            yield content
        content = list(content.values())
    if isinstance(content, list):
        for part in content:
            yield from _files_in(part)


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
