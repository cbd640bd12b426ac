"""Answers of the page in one line: to what it refuses, to what is too slow, and to what fails on the way."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from p3m_lightning.files import NO_ROOM
from p3m_lightning.messages import LOG, printable

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATIENCE = 30.0
"""Seconds without a byte, after which the rest of a message or an upload is not waited for."""

LONGEST_LOG = 200  # characters


async def answer(send: Send, status: int, text: str) -> None:
    """Answer a request with a line."""
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def patient(receive: Receive, seconds: float | None = None) -> Receive:
    """Return `receive` with an end to its patience: what stalls keeps its share of the quota until then.

    Args:
        receive: gives the parts of a body, and after the last one waits until the visitor is gone.
        seconds: for each part; `PATIENCE` by default.
    """
    whole = False

    async def within_time() -> Message:
        nonlocal whole
        message = await asyncio.wait_for(receive(), None if whole else PATIENCE if seconds is None else seconds)
        whole = whole or not message.get("more_body", False)
        return message

    return within_time


async def answering(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Run `app`; what it raises becomes an answer and a line of the log instead of the server's traceback there."""
    started = False

    async def noting(message: Message) -> None:
        nonlocal started
        started = started or message["type"] == "http.response.start"
        await send(message)

    try:
        await app(scope, receive, noting)
    except Exception as error:
        status, text = _failure(error)
        if status == 500:
            where = f"{scope['method']} {scope['path']}"[:LONGEST_LOG]
            LOG.warning("p3m: page: %s", printable(f"{where}: {type(error).__name__}: {error}"[: 2 * LONGEST_LOG]))
        if started:
            await send({"type": "http.response.body", "body": b""})
        else:
            await answer(send, status, text)


def _failure(error: Exception) -> tuple[int, str]:
    """Return the status and the text for what was raised; neither says anything of this machine."""
    if isinstance(error, TimeoutError):
        return 408, "the rest did not come; send it again"
    if type(error).__name__ == "ClientDisconnect":  # of Starlette; nobody reads the answer
        return 400, "cut off"
    number = error.errno if isinstance(error, OSError) else None
    if number in NO_ROOM:
        return 507, "no space is left for it"
    if number == errno.ENAMETOOLONG:
        return 404, "no such page"
    return 500, "this could not be done"
