"""What the guard lets through to the page."""

import asyncio
import json
import os

import pytest

from p3m_lightning.web.guard import API, FILE, MESSAGES, MOST_JSON, UPLOAD, Guard
from p3m_lightning.web.quota import FULL, Quota
from p3m_lightning.web.session import Limits

JOIN = MESSAGES[0]
LENGTH = (b"content-length", b"1000")
OWN = "http://127.0.0.1:7860"


def ask(folder, method, path, body=b"", host=b"127.0.0.1:7860", headers=(), seen=None, **keys):
    """Send one request through a guard; return the status and the body that arrived behind it."""
    arrived, sent = [], []

    async def app(scope, receive, send):
        arrived.append((await receive()).get("body"))
        if seen is not None:
            seen.update(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    own = {name.lower() for name, _ in headers}
    length = () if own & {b"content-length", b"transfer-encoding"} else (LENGTH,)
    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", host), *length, *headers]}
    asyncio.run(Guard(app, folder, **keys)(scope, receive, send))
    return sent[0]["status"], arrived


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/assets/index.js", 200),
        ("POST", "/gradio_api/upload", 200),
        ("GET", f"{FILE}https://example.com/a.png", 404),
        ("GET", f"{FILE}/etc/hostname", 404),
        ("GET", f"{FILE}a%00b", 404),
        ("GET", "/gradio_api/proxy=https://example.com", 404),
        ("GET", "/gradio_api/info", 404),
        ("POST", "/gradio_api/run/make", 404),
        ("POST", "/gradio_api/call/make", 404),
        ("DELETE", "/", 404),
    ],
)
def test_only_what_the_page_asks_for_exists(tmp_path, method, path, status):
    assert ask(tmp_path, method, path)[0] == status


def test_files_are_served_from_the_folder_only(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder/a b.png", "outside.png"):
        (tmp_path / name).write_bytes(b"x")
    folder = tmp_path / "folder"
    assert ask(folder, "GET", f"{FILE}{folder}/a b.png")[0] == 200
    assert ask(folder, "GET", f"{FILE}{folder}/a%20b.png")[0] == 200
    for path in (f"{folder}/../outside.png", f"{folder}/%2e%2e/outside.png", f"{folder}", f"{folder}/none.png"):
        assert ask(folder, "GET", FILE + path)[0] == 404


def test_another_name_for_this_machine_is_refused(tmp_path):
    assert ask(tmp_path, "GET", "/", host=b"evil.example:7860")[0] == 403
    assert ask(tmp_path, "GET", "/", host=b"localhost:7860")[0] == 200


@pytest.mark.parametrize("address", [*MESSAGES, f"{JOIN}/"])
def test_a_message_names_uploaded_files_only(tmp_path, address):
    (tmp_path / "a.png").touch()
    good = {"data": [{"path": f"{tmp_path}/a.png", "url": f"http://127.0.0.1:7860{FILE}{tmp_path}/a.png"}, "color", 0]}
    body = json.dumps(good).encode()
    assert ask(tmp_path, "POST", address, body) == (200, [body])
    bad = [
        {"path": "/etc/hostname"},
        {"path": "https://example.com/a.png"},
        {"path": f"{tmp_path}/a.png", "url": "https://example.com/a.png"},
        {"path": f"{tmp_path}/a.png", "url": "http://127.0.0.1:7860@example.com/gradio_api/file=a.png"},
        {"url": "data:image/png;base64,AAAA"},
        {"path": ["a"]},
        {"nested": [{"deep": {"path": "/etc/hostname"}}]},
    ]
    for part in bad:
        assert ask(tmp_path, "POST", address, json.dumps({"data": [part]}).encode()) == (400, [])
    assert ask(tmp_path, "POST", address, b"no json") == (400, [])
    assert ask(tmp_path, "POST", address, b"[" * 100_000)[0] == 400
    assert ask(tmp_path, "POST", address, b" " * (MOST_JSON + 1)) == (413, [])


@pytest.mark.parametrize("address", [UPLOAD, JOIN])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": OWN}, 200),
        ({"referer": f"{OWN}/"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": OWN}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": f"{OWN}.evil.example"}, 403),
        ({"referer": "https://evil.example/a"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": OWN}, 403),
    ],
)
def test_another_page_cannot_post(tmp_path, address, headers, status):
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert ask(tmp_path, "POST", address, b'{"data": []}', headers=pairs)[0] == status


def test_what_a_proxy_would_add_does_not_reach_the_page(tmp_path):
    seen = {}
    names = (b"x-forwarded-host", b"X-Forwarded-Proto", b"forwarded", b"x-gradio-server")
    assert ask(tmp_path, "GET", "/", headers=[(name, b"evil.example") for name in names], seen=seen)[0] == 200
    assert set(seen) == {b"host", b"content-length"}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"fn_index": 0, "data": [1, 2]}, 200),
        ({"fn_index": 0, "data": [1]}, 400),
        ({"fn_index": 7, "data": [1, 2]}, 400),
        ({"fn_index": "0", "data": [1, 2]}, 400),
        ({"fn_index": None, "data": [1, 2]}, 400),
        ({"fn_index": 0, "data": {"a": 1}}, 400),
        ({"fn_index": 0}, 400),
        ({"fn_index": 0, "data": [1, 2], "batched": True}, 400),
        ([], 400),
        (None, 400),
    ],
)
def test_a_message_has_the_arguments_of_a_function_of_the_page(tmp_path, content, status):
    assert ask(tmp_path, "POST", JOIN, json.dumps(content).encode(), arguments={0: [False, False]})[0] == status


def test_uploads_end_at_the_quota_of_bytes_and_of_files(tmp_path):
    assert ask(tmp_path, "POST", UPLOAD)[0] == 200
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.png").write_bytes(bytes(5000))
    assert ask(tmp_path, "POST", UPLOAD, limits=Limits(total_megabytes=0.006))[0] == 200
    assert ask(tmp_path, "POST", UPLOAD, limits=Limits(total_megabytes=0.0059))[0] == 507
    assert ask(tmp_path, "POST", UPLOAD, limits=Limits(files=1))[0] == 507
    assert ask(tmp_path, "POST", UPLOAD, headers=[(b"content-length", b"1e3")])[0] == 411


def test_uploads_under_way_count_too(tmp_path):
    statuses = []

    async def visit():
        guard = Guard(app, tmp_path, limits=Limits(total_megabytes=0.0025))
        scope = {"type": "http", "method": "POST", "path": UPLOAD, "headers": [(b"host", b"localhost"), LENGTH]}
        await asyncio.gather(*(guard(scope, receive, send) for _ in range(3)))
        await guard(scope, receive, send)

    async def app(scope, receive, send):
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        if "status" in message:
            statuses.append(message["status"])

    asyncio.run(visit())
    assert sorted(statuses[:3]) == [200, 200, 507]
    assert statuses[3] == 200


def test_too_many_posts_a_minute_are_refused(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("p3m_lightning.web.quota.time.monotonic", lambda: now[0])
    quota = Quota(tmp_path, Limits(posts=3))
    assert [quota.count_post() for _ in range(3)] == [None] * 3
    assert quota.count_post()[0] == 429
    now[0] = 61.0
    assert quota.count_post() is None


def test_an_upload_that_is_renamed_while_files_are_counted_does_not_end_another(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    for name in ("deep/arriving", "deep/arrived"):
        (tmp_path / name).write_bytes(bytes(5000))
    found = os.stat

    def renamed_meanwhile(path, *more, **keys):
        if str(path).endswith("arriving"):
            (tmp_path / "deep/arriving").unlink(missing_ok=True)
        return found(path, *more, **keys)

    monkeypatch.setattr(os, "stat", renamed_meanwhile)
    assert Quota(tmp_path, Limits(total_megabytes=0.0059)).reserve({"content-length": "1000"}) == (507, FULL)
    assert Quota(tmp_path, Limits(total_megabytes=0.006)).reserve({"content-length": "1000"}) == 1000


def upload(folder, paths, late=None, **keys):
    """Send an upload that is answered with `paths`, and calls `late` after the answer.

    Return its status, its body, and whether the files were there when it was answered.
    """
    sent, there = [], []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps([str(path) for path in paths]).encode()})
        if late:
            late()

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        there.append(all(path.exists() for path in paths))
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": UPLOAD, "headers": [(b"host", b"localhost"), LENGTH]}
    asyncio.run(Guard(app, folder, **keys)(scope, receive, send))
    return sent[0]["status"], sent[1]["body"], all(there)


def test_an_upload_is_answered_when_its_file_is_there(tmp_path):
    path = tmp_path / "a.png"
    status, body, was_there = upload(tmp_path, [path], late=lambda: path.write_bytes(b"x"))
    assert (status, json.loads(body)) == (200, [str(path)])
    assert was_there


@pytest.mark.parametrize("written", [b"", None])
def test_an_upload_that_is_empty_or_missing_is_to_be_sent_again(tmp_path, written):
    if written is not None:
        (tmp_path / "a.png").write_bytes(written)
    assert upload(tmp_path, [tmp_path / "a.png"])[:2] == (400, b"the file arrived empty; send it again")
    assert not (tmp_path / "a.png").exists()


def test_an_empty_file_is_not_served(tmp_path):
    (tmp_path / "a.png").touch()
    assert ask(tmp_path, "GET", f"{FILE}{tmp_path}/a.png")[0] == 404
    (tmp_path / "a.png").write_bytes(b"x")
    assert ask(tmp_path, "GET", f"{FILE}{tmp_path}/a.png")[0] == 200


def test_an_answer_to_an_upload_never_makes_a_file_outside_go(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.touch()
    folder.mkdir()
    assert upload(folder, [outside])[0] == 400
    assert outside.exists()


@pytest.mark.parametrize(
    "host", [b"localhost:evil.example", b"127.0.0.1:7860/evil.example", b'localhost:"><script>', b"localhost:", b""]
)
def test_a_port_is_a_number(tmp_path, host):
    assert ask(tmp_path, "GET", "/", host=host)[0] == 403


@pytest.mark.parametrize("name", [b"Origin", b"host", b"sec-fetch-site", b"Referer", b"content-length"])
def test_a_deciding_header_given_twice_is_refused(tmp_path, name):
    twice = [(name, OWN.encode()), (name.lower(), b"https://evil.example")]
    assert ask(tmp_path, "POST", UPLOAD, headers=twice)[0] == 400


@pytest.mark.parametrize("site", ["same-origin", "none"])
@pytest.mark.parametrize("name", ["origin", "referer"])
def test_all_headers_that_say_where_a_request_comes_from_have_to_agree(tmp_path, site, name):
    pairs = [(b"sec-fetch-site", site.encode()), (name.encode(), b"https://evil.example/")]
    assert ask(tmp_path, "POST", UPLOAD, headers=pairs)[0] == 403


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {"sec-fetch-site": "cross-site"}, 200),  # a link to the page
        ("/", {"referer": "https://evil.example/"}, 200),
        ("/", {"origin": "http://localhost:9999"}, 403),  # its scripts may read it: Gradio allows local ones to
        ("/theme.css", {"origin": OWN}, 200),
        ("/theme.css", {"origin": "http://localhost:9999"}, 403),
        ("/theme.css", {"sec-fetch-site": "cross-site"}, 403),
        ("/theme.css", {"sec-fetch-site": "same-origin", "referer": "https://evil.example"}, 200),
    ],
)
def test_another_page_may_link_to_this_one_and_reads_nothing(tmp_path, path, headers, status):
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert ask(tmp_path, "GET", path, headers=pairs)[0] == status


def test_an_upload_in_chunks_has_no_length_whatever_it_says(tmp_path):
    for headers in ([(b"transfer-encoding", b"chunked")], [(b"Transfer-Encoding", b"chunked"), LENGTH]):
        assert ask(tmp_path, "POST", UPLOAD, headers=headers)[0] == 411


def test_an_upload_of_more_files_than_are_allowed_is_not_kept(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]

    def arrive():
        for path in paths:
            path.write_bytes(b"x")

    assert upload(tmp_path, paths, late=arrive, limits=Limits(files=2))[:2] == (507, FULL.encode())
    assert not list(tmp_path.iterdir())
    assert upload(tmp_path, paths, late=arrive, limits=Limits(files=3))[0] == 200


def test_a_cancellation_is_short_and_names_a_visit_a_function_and_an_event(tmp_path):
    cancel = f"{API}/cancel"
    good = {"session_hash": "a", "fn_index": 1, "event_id": "b"}
    assert ask(tmp_path, "POST", cancel, json.dumps(good).encode())[0] == 200
    for bad in ({}, [], {**good, "fn_index": "1"}, {**good, "event_id": None}, {**good, "session_hash": "\ud800"}):
        assert ask(tmp_path, "POST", cancel, json.dumps(bad).encode())[0] == 400
    assert ask(tmp_path, "POST", cancel, b" " * (MOST_JSON + 1))[0] == 413


def test_a_socket_is_closed_and_not_opened(tmp_path):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": JOIN, "headers": [(b"host", b"localhost"), (b"origin", OWN.encode())]}
    asyncio.run(Guard(None, tmp_path)(scope, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]
