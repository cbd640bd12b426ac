"""Failures on the way are a line for the visitor and a line in the log."""

import asyncio
import errno
import logging

import pytest

from p3m_lightning.web.answers import answering, patient

SCOPE = {"type": "http", "method": "POST", "path": "/a\x1b[31m", "headers": []}


def run(app, receive=None):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(answering(app, SCOPE, receive, send))
    return sent


ClientDisconnect = type("ClientDisconnect", (Exception,), {})  # Starlette's, by name


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TypeError("/home/me/secret"), 500),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/home/me/secret"), 404),
        (OSError(errno.ENOSPC, "No space left on device", "/home/me/secret"), 507),
        (TimeoutError(), 408),
        (ClientDisconnect(), 400),
    ],
)
def test_what_fails_is_answered_in_a_line_without_a_path_or_a_traceback(error, status, caplog):
    async def app(scope, receive, send):
        raise error

    with caplog.at_level(logging.WARNING):
        start, body = run(app)
    assert start["status"] == status
    assert b"secret" not in body["body"]
    assert b"\n" not in body["body"]
    assert len(caplog.records) == (status == 500)
    assert "Traceback" not in caplog.text
    assert "\x1b" not in caplog.text


def test_an_answer_that_has_begun_is_only_ended():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("late")

    assert run(app) == [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b""},
    ]


def test_what_stalls_is_not_waited_for_and_what_is_whole_is():
    parts = [{"type": "http.request", "body": b"a", "more_body": True}]

    async def receive():
        if not parts:
            await asyncio.sleep(0.2)
            return {"type": "http.disconnect"}
        return parts.pop()

    async def app(scope, receive, send):
        while True:
            if (await receive())["type"] == "http.disconnect":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                return

    assert run(app, patient(receive, 0.05))[0]["status"] == 408
    parts.append({"type": "http.request", "body": b"a", "more_body": False})
    assert run(app, patient(receive, 0.05))[0]["status"] == 200
