"""Guard of the page: refuses requests that the page itself does not make."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from p3m_lightning.web.answers import App, Receive, Scope, Send, answer, answering, patient
from p3m_lightning.web.calls import Kinds, cancels, is_call
from p3m_lightning.web.origin import headers_of, is_contradictory, is_for, is_from_own_page, is_read_by_own_page
from p3m_lightning.web.quota import FULL, Quota, Refusal
from p3m_lightning.web.session import Limits

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
        arguments: whether each argument of the functions of the page is a file, by their index; None: not looked at.
    """

    def __init__(
        self,
        app: App,
        folder: Path,
        hosts: tuple[str, ...] = ("127.0.0.1", "localhost"),
        limits: Limits | None = None,
        arguments: Kinds | None = None,
    ) -> None:
        self.app, self.folder, self.hosts = app, folder.resolve(), hosts
        self.quota, self.arguments = Quota(self.folder, limits or Limits()), arguments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or answer it with 400, 403, 404, 408, 411, 413, 429, 500 or 507."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":  # the page opens none
            await send({"type": "websocket.close", "code": 1008})
        else:
            await answering(self._guarded, scope, patient(receive) if scope["method"] == "POST" else receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal, path, reserved = self._refusal(scope), scope["path"].rstrip("/"), 0
        if refusal is None and scope["method"] == "POST":
            refusal = self.quota.count_post()
            if refusal is None and path == UPLOAD:
                room = self.quota.reserve(headers_of(scope))
                refusal, reserved = (None, room) if isinstance(room, int) else (room, 0)
            elif refusal is None:
                refusal, receive = await self._read_message(path, receive)
        if refusal is not None:
            await answer(send, *refusal)
            return

        async def with_policy(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"content-security-policy", POLICY.encode())]
            await send(message)

        headers = [(name, value) for name, value in scope["headers"] if not name.lower().startswith(PROXY)]
        app = self._upload if path == UPLOAD else self.app
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
        arrived = _named_in(messages)
        empty = [path for path in arrived if not _has_bytes(path)]
        too_many = self.quota.has_too_many_files()
        for path in arrived if too_many else empty:
            if path.resolve().is_relative_to(self.folder):
                path.unlink(missing_ok=True)
        if empty or too_many:
            await answer(send, *((507, FULL) if too_many else (400, EMPTY)))
            return
        for message in messages:
            await send(message)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers, path, method = headers_of(scope), scope["path"], scope["method"]
        if is_contradictory(scope):
            return 400, "a header is given twice"
        if not is_for(headers, self.hosts):
            return 403, "not for this host"
        if not (is_from_own_page(headers) if method == "POST" else is_read_by_own_page(headers, path)):
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

    async def _read_message(self, path: str, receive: Receive) -> tuple[Refusal | None, Receive]:
        """Read a whole message to an address; return why it is refused, if so, and a function that replays it."""
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
        if not harmless:
            return (400, "only uploaded files are opened"), receive
        if not self._is_known(path, content):
            return (400, "not a message of the page"), receive

        body: bytes | None = read

        async def again() -> MutableMapping[str, Any]:
            nonlocal body
            taken, body = body, None
            return {"type": "http.request", "body": taken} if taken is not None else await receive()

        return None, again

    def _is_known(self, path: str, content: Any) -> bool:
        """Return whether the page itself sends such messages to an address."""
        if path not in MESSAGES:
            return cancels(content)
        return self.arguments is None or is_call(content, self.arguments)

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
