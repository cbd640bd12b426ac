"""The served page: uploads, files, memory, and cleanup at the end."""

import logging
import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from p3m_lightning.cli import main
from p3m_lightning.images import write_image
from p3m_lightning.web.guard import FILE, MESSAGES, UPLOAD
from p3m_lightning.web.session import Limits
from page_visits import encoded, predictors, scene

torch.set_num_threads(2)
JOIN = MESSAGES[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    pytest.importorskip("gradio")
    from p3m_lightning.web import serve

    with serve(predictors(), limits=Limits(megabytes=1, megapixels=4)) as address:
        yield address.rstrip("/")


@pytest.fixture(scope="module")
def client(served):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(base_url=served, trust_env=False) as client:
        yield client


def test_the_server_takes_uploads_and_opens_nothing_else(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    uploaded = client.post("/gradio_api/upload", files={"files": ("a.png", encoded(scene()))}).json()
    assert client.get(f"{FILE}{uploaded[0]}").content == encoded(scene())
    assert client.post("/gradio_api/upload", files={"files": ("b.png", bytes(1_100_000))}).status_code == 413
    for path in ("/etc/hostname", "https://example.com/a.png"):
        wish = {"data": [{"path": path}, "color", "#ffffff", None, 0], "fn_index": 0, "session_hash": "x"}
        assert client.post(JOIN, json=wish).status_code == 400
        assert client.get(FILE + path).status_code == 404


def test_an_empty_upload_is_refused_in_a_line_and_not_kept(client):
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", b"")})
    assert (answer.status_code, answer.text) == (400, "the file arrived empty; send it again")
    both = {"files": ("a.png", b"")}, {"files": ("b.png", encoded(scene()))}
    answer = client.post("/gradio_api/upload", files=[item for one in both for item in one.items()])
    assert answer.status_code == 400
    whole = client.post("/gradio_api/upload", files=both[1]).json()
    assert client.get(f"{FILE}{whole[0]}").content == encoded(scene())


def test_uploads_are_gone_when_the_page_ends():
    pytest.importorskip("gradio")
    from p3m_lightning.web import serve
    from p3m_lightning.web.server import render_examples

    folders = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("p3m_lightning.web.server.render_examples", lambda f: folders.add(f.parent) or _one_example(f))
        with serve(predictors()):
            assert next(iter(folders)).is_dir()
    assert not next(iter(folders)).exists()
    assert callable(render_examples)


def _one_example(folder):
    write_image(folder / "a.png", scene())
    return [folder / "a.png"]


@pytest.mark.parametrize("direct", [None, "*", "example.org"])
def test_a_proxy_does_not_keep_the_page_from_itself(direct, monkeypatch):
    pytest.importorskip("gradio")
    from p3m_lightning.web import serve

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, direct) if direct else monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    with serve(predictors()) as address:
        assert address.startswith("http://127.0.0.1")
    assert dict(os.environ) == before


def test_a_forwarded_host_is_not_reflected(client):
    page = client.get("/", headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"})
    assert page.status_code == 200
    assert "evil.example" not in page.text


def test_wrong_arguments_are_answered_in_a_line_and_leave_no_traceback(client, capfd, caplog):
    caplog.set_level(logging.WARNING)
    for wish in ({"data": [1], "fn_index": 0}, {"data": [], "fn_index": 99}, {"fn_index": 0}, [1]):
        answer = client.post(JOIN, json=wish)
        assert answer.status_code == 400
        assert "\n" not in answer.text
    assert "Traceback" not in capfd.readouterr().err + caplog.text


def test_requests_leave_memory_flat(client):
    def growth():
        before = memory()
        for _ in range(40):
            assert client.get("/").status_code == 200
        return memory() - before

    def memory():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc")
    assert min(growth() for _ in range(4)) < 4e6  # what is lost is lost every time; other threads grow now and then


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ckpt", "gone.ckpt", "--model", "modnet"], "either --ckpt"),
        (["--ckpt", "gone.ckpt"], "gone.ckpt: no such file"),
        (["--ckpt", "gone.ckpt", "--port", "99999"], "--port 99999"),
        (["--ckpt", "gone.ckpt", "--megapixels", "0"], "--megapixels 0"),
    ],
)
def test_wrong_calls_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(Path().iterdir()) == []


def raw(served, lines, body=b"", wait=5.0):
    """Send a request as it stands; return the answer."""
    host, port = served.removeprefix("http://").split(":")
    head = "\r\n".join([lines[0], f"Host: {host}:{port}", *lines[1:], "Connection: close", "", ""])
    answer = b""
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        connection.sendall(head.encode() + body)
        with suppress(OSError):  # a connection that is reset has been answered
            while part := connection.recv(65536):
                answer += part
    return answer


def test_odd_requests_are_answered_in_a_line_and_leave_no_traceback(served, client, capfd, caplog):
    form = "Content-Type: multipart/form-data; boundary=x"
    text = b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nhello\r\n--x--\r\n'
    upload = [f"POST {UPLOAD} HTTP/1.1", form]
    requests = {
        "a text instead of a file": ([*upload, f"Content-Length: {len(text)}"], text),
        "no files": ([*upload, "Content-Length: 7"], b"--x--\r\n"),
        "chunks that claim a length": (
            [*upload, "Transfer-Encoding: chunked", "Content-Length: 5"],
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text),
        ),
        "a name too long for a file": ([f"GET /static/{'a' * 300} HTTP/1.1"], b""),
        "no visit": (["GET /gradio_api/queue/data?session_hash=nobody HTTP/1.1"], b""),
        "a part that ends early": ([*upload, "Content-Length: 30"], b"--x\r\nContent-Disposition\r\n\r\nabc"),
        "a socket": (
            ["GET / HTTP/1.1", "Upgrade: websocket", "Sec-WebSocket-Key: YQ==", "Origin: http://a.example"],
            b"",
        ),
        "two hosts": (["GET / HTTP/1.1", "Host: a.example"], b""),
        "http/1.0": (["GET / HTTP/1.0"], b""),
        "another host in its first line": (["GET http://a.example/ HTTP/1.1"], b""),
    }
    for name, (lines, body) in requests.items():
        answer = raw(served, lines, body)
        assert answer.startswith(b"HTTP/1.1 "), name
        assert not any(secret in answer for secret in (b"Traceback", b"site-packages", b"a.example")), name
    said = capfd.readouterr().err + caplog.text
    assert "Traceback" not in said
    assert client.get("/").status_code == 200


def test_arguments_of_other_kinds_are_answered_in_a_line_and_leave_no_traceback(client, capfd, caplog):
    uploaded = client.post(UPLOAD, files={"files": ("a.png", encoded(scene()))}).json()[0]
    file = {"path": uploaded, "meta": {"_type": "gradio.FileData"}}
    call = {"fn_index": 1, "data": [file, "color", "#ffffff", None, 0], "session_hash": "odd"}
    assert client.post(JOIN, json=call).status_code == 200
    changes = [
        {"data": ["/etc/hostname", "color", "#ffffff", None, 0]},
        {"data": [[file], "color", "#ffffff", None, 0]},
        {"data": [{**file, "size": "x"}, "color", "#ffffff", None, 0]},
        {"data": [file, {"a": 1}, "#ffffff", None, 0]},
        {"session_hash": ["odd"]},
        {"trigger_id": "a"},
    ]
    for change in changes:
        assert client.post(JOIN, json={**call, **change}).status_code == 400
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "odd"}, timeout=60) as stream:
        assert any("process_completed" in line for line in stream.iter_lines())
    assert "Traceback" not in capfd.readouterr().err + caplog.text
