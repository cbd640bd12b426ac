"""Guard of the page: refuses requests that the page itself does not make."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from p3m_lightning.web.quota import Quota, Refusal
from p3m_lightning.web.session import Limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api"
FILE = f"{API}/file="
MESSAGES = (f"{API}/queue/join", f"{API}/run/predict")
"""Addresses for clicks, queued or not."""
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
"""Prefixes of addresses that the page reads, besides itself and files."""
UPLOAD = f"{API}/upload"
WRITE = (*MESSAGES, UPLOAD, f"{API}/cancel")
"""Addresses that the page posts to."""

PROXY = (b"x-forwarded", b"forwarded", b"x-gradio-server", b"x-original", b"x-real-ip")
"""Prefixes of headers set by proxies, from which Gradio would derive its own address."""

MOST_JSON = 1_000_000
"""Largest message in bytes; images come as uploads, not in messages."""

EMPTY = "the file arrived empty; send it again"

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; frame-ancestors 'none'"
)
"""Content security policy: the browser contacts no other host, and no other page can embed this one."""


class Guard:
    """An ASGI middleware that keeps visitors to the page, and the page to its folder.

    Gradio serves more than its pages need: it fetches URLs given in requests, forwards requests to other hosts, and has
    an interface for programs. Here only the addresses of `READ` and `WRITE` exist; only files of the folder are served;
    a message may name no other file and no URL, and must have the arguments of the page's own; the host must be this
    machine, so that no other site reaches it by DNS rebinding; requests that a browser sends for another page are
    refused; headers of proxies are ignored, since there is none.

    Args:
        app: the guarded application.
        folder: of uploads and results.
        hosts: names of this machine, without port.
        limits: of messages and uploads.
        arguments: number of values that each function of the page takes, by its index.
    """

    def __init__(
        self,
        app: App,
        folder: Path,
        hosts: tuple[str, ...] = ("127.0.0.1", "localhost"),
        limits: Limits | None = None,
        arguments: Mapping[int, int] | None = None,
    ) -> None:
        self.app, self.folder, self.hosts = app, folder.resolve(), hosts
        self.quota, self.arguments = Quota(self.folder, limits or Limits()), dict(arguments or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or answer it with 400, 403, 404, 411, 413, 429 or 507."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        reserved = 0
        if refusal is None and scope["method"] == "POST":
            refusal = self.quota.count_post()
            if refusal is None and scope["path"].rstrip("/") in MESSAGES:
                refusal, receive = await self._read_message(receive)
            elif refusal is None and scope["path"].rstrip("/") == UPLOAD:
                room = self.quota.reserve(_headers(scope).get("content-length", ""))
                refusal, reserved = (None, room) if isinstance(room, int) else (room, 0)
        if refusal is not None:
            await _answer(send, *refusal)
            return

        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY.encode())]
            await send(message)

        headers = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(PROXY)]
        app = self._upload if scope["path"].rstrip("/") == UPLOAD else self.app
        try:
            await app({**scope, "headers": headers}, receive, with_policy)
        finally:
            self.quota.release(reserved)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an upload once its files lie where the answer says, which Gradio can say before; empty ones with 400.

        Files arrive under other names and are renamed; where that cannot be done, they are copied after the answer.
        """
        messages: list[MutableMapping[str, Any]] = []

        async def keep(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        empty = [path for path in _named_in(messages) if not _has_bytes(path)]
        for path in empty:
            if path.resolve().is_relative_to(self.folder):
                path.unlink(missing_ok=True)
        if empty:
            await _answer(send, 400, EMPTY)
            return
        for message in messages:
            await send(message)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = _headers(scope)
        if scope["type"] != "http" or headers.get("host", "").rsplit(":", 1)[0] not in self.hosts:
            return 403, "not for this host"
        path, method = scope["path"], scope["method"]
        if method == "POST" and not _is_same_origin(headers):
            return 403, "not from another page"
        if method == "POST":
            known = path.rstrip("/") in WRITE
        elif path.startswith(FILE):
            name = unquote(path.removeprefix(FILE))
            known = self._is_ours(name)
            if known and not _has_bytes(Path(name)):
                return 404, EMPTY
        else:
            known = method in ("GET", "HEAD") and (path == "/" or path.startswith(READ))
        return None if known else (404, "no such page")

    def _is_ours(self, name: str) -> bool:
        """Return whether a path leads to a file in the folder; URLs do not."""
        if "\0" in name:
            return False
        path = Path(name).resolve()
        return path.is_relative_to(self.folder) and path.is_file()

    async def _read_message(self, receive: Receive) -> tuple[Refusal | None, Receive]:
        """Read the whole body; return why it is refused, if so, and a function that replays it."""
        read, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return (400, "message cut off"), receive
            read += message.get("body", b"")
            more = message.get("more_body", False)
            if len(read) > MOST_JSON:
                return (413, "message too long"), receive
        try:
            content = json.loads(read)
            harmless = all(self._is_harmless(part) for part in _files_in(content))
        except (ValueError, RecursionError):
            harmless = False
        if harmless and not self._has_arguments(content):
            return (400, "not a message of the page"), receive

        body: bytes | None = read

        async def again() -> MutableMapping[str, Any]:
            nonlocal body
            taken, body = body, None
            return {"type": "http.request", "body": taken} if taken is not None else await receive()

        return (None, again) if harmless else ((400, "only uploaded files are opened"), receive)

    def _has_arguments(self, content: Any) -> bool:
        """Return whether a message calls a function of the page with the right number of values; batches never do."""
        if not isinstance(content, dict) or content.get("batched") or content.get("simple_format"):
            return False
        number, data = content.get("fn_index"), content.get("data")
        if not isinstance(number, int) or not isinstance(data, list):
            return not self.arguments
        return not self.arguments or self.arguments.get(number) == len(data)

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


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}


def _is_same_origin(headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from the page itself, by the first relevant header; programs send none."""
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    address = headers.get("origin") or headers.get("referer")
    own = f"http://{headers.get('host', '')}"
    return address is None or address == own or address.startswith(f"{own}/")


def _files_in(content: Any) -> Iterator[Mapping[str, Any]]:
    """Yield all parts of a message that name a file."""
    if isinstance(content, dict):
        if "path" in content or "url" in content:
            yield content
        content = list(content.values())
    if isinstance(content, list):
        for part in content:
            yield from _files_in(part)


def _named_in(messages: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Return the files that the answer to an upload names; none where it refuses the upload."""
    if not messages or messages[0].get("status") != 200:
        return []
    try:
        names = json.loads(b"".join(message.get("body", b"") for message in messages))
    except ValueError:
        return []
    return [Path(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
