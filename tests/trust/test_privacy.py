"""Files meant for others reveal nothing about the machine, and no verb uses the network unasked."""

from __future__ import annotations

import json
import platform
import socketserver
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from processes import HERE
from verbs import command, environment, run_apart

from brief_training import BRIEF
from p3m_lightning.images import write_image
from p3m_lightning.synthetic import render_portrait

pytestmark = pytest.mark.slow  # commands in processes of their own take minutes

USER = "zzalice"
OURS = ("WANDB_MODE", "NO_ALBUMENTATIONS_UPDATE", "HF_HUB_OFFLINE", "PYTEST_CURRENT_TEST", "CI")
"""Variables that users do not have; packages that report their use are silent where tests run."""

SOCKETS = '''
"""Loaded by Python at its start: writes down who wants to reach a network, and refuses."""
import os, socket
def _refuse(self, address, *rest):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        host = address[0] if isinstance(address, tuple) else address
        if str(host) not in ("127.0.0.1", "localhost", "::1"):
            with open(os.environ["P3M_TOLD"], "a") as file:
                file.write(f"connect {address}\\n")
            raise OSError(101, "Network is unreachable")
    return _connect(self, address, *rest)
def _lookup(host, *rest, **more):
    if host not in (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0"):
        with open(os.environ["P3M_TOLD"], "a") as file:
            file.write(f"look up {host}\\n")
        raise socket.gaierror(-3, "Temporary failure in name resolution")
    return _getaddrinfo(host, *rest, **more)
_connect, _getaddrinfo = socket.socket.connect, socket.getaddrinfo
socket.socket.connect = socket.socket.connect_ex = _refuse
socket.getaddrinfo = _lookup
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Return a home folder whose name identifies its user."""
    return tmp_path_factory.mktemp("home") / USER


@pytest.fixture(scope="module")
def told(home) -> Path:
    """Return the file that lists refused connections."""
    (home / "site").mkdir(parents=True)
    (home / "site" / "sitecustomize.py").write_text(SOCKETS)
    return home / "told.txt"


def run(home: Path, told: Path, *arguments: object, **variables: str):
    more = {"HOME": str(home), "USER": USER, "LOGNAME": USER, "USERNAME": USER, "PYTHONPATH": str(home / "site")}
    env = {**environment(), **more, "P3M_TOLD": str(told), "XDG_CACHE_HOME": str(home / ".cache")}
    for name in OURS:
        env.pop(name, None)
    env |= variables
    return subprocess.run(command(arguments), capture_output=True, text=True, cwd=home, env=env, check=False)


@pytest.fixture(scope="module")
def trained(home, told, portraits):
    """Return the run folder of a short training with absolute paths."""
    (home / "data").symlink_to(portraits)
    options = [f"paths.data={home}/data", f"hydra.run.dir={home}/runs/one", "trainer.max_epochs=1"]
    done = run(home, told, "train", *BRIEF, *options)
    assert done.returncode == 0, done.stderr
    return home / "runs" / "one"


def secrets_in(path: Path, home: Path) -> list[str]:
    """Return what a file, or a file packed in it, reveals about the machine."""
    parts = [path.read_bytes()]
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts += [archive.read(name) for name in archive.namelist() if "/data/" not in name]
    secrets = (USER, str(home), str(home.parent), platform.node(), str(HERE.parents[1]), sys.prefix)
    return [secret for secret in secrets if len(secret) > 3 and any(secret.encode() in part for part in parts)]


def test_what_travels_says_nothing_of_the_machine(trained, home, told, tmp_path, tally):
    out = tmp_path / "out"
    last = trained / "checkpoints" / "last.ckpt"
    for arguments in (
        ["compare", f"one={trained}", f"two={trained}", "-o", out / "compare", "--samples", 10],
        ["export", "--ckpt", last, "--hub", out / "hub"],
        ["export", "--ckpt", last, "-o", out / "net.onnx"],
    ):
        done = run(home, told, *arguments)
        assert done.returncode == 0, done.stderr
    files = [*trained.glob("checkpoints/*.ckpt"), *(p for p in out.rglob("*") if p.is_file())]
    files += [*trained.glob("*.csv"), *trained.glob("metrics_*.json"), trained / "results.json"]
    lost = [f"{path.name}: {found}" for path in files if (found := secrets_in(path, home))]
    tally("files searched for paths, user and host names", len(files), lost)


def test_a_checkpoint_alone_still_resumes_and_its_run_folder_still_knows_its_images(trained, home, told, tally):
    from p3m_lightning.training.history import recorded_history, seen_in_training

    last = trained / "checkpoints" / "last.ckpt"
    options = [f"paths.data={home}/data", f"hydra.run.dir={trained}", "trainer.max_epochs=2", f"ckpt={last}"]
    done = run(home, told, "train", *BRIEF, *options)
    lost = [] if done.returncode == 0 else [done.stderr[-300:]]
    history = recorded_history(str(last), None, None)
    tests = {"own": {"name": "synthetic", "root": str(home / "data"), "split": "train"}}
    lost += [] if seen_in_training(history, {"tests": tests}) == ["own"] else ["the training images are not known"]
    tally("resuming without absolute paths", 2, lost)


def test_no_verb_reaches_for_the_network_unasked(trained, home, told, checkpoint, tmp_path, tally):
    photo = tmp_path / "photos" / "a.png"
    write_image(photo, render_portrait(1, 64).image)
    brief = [
        "data=synthetic",
        f"paths.data={home}/data",
        "trainer=cpu",
        "data.num_workers=0",
        "callbacks.progress=null",
    ]
    verbs = [
        ["predict", photo, "-o", tmp_path / "m", "--ckpt", checkpoint],
        ["predict", photo, "-o", tmp_path / "box"],
        ["score", tmp_path / "m", tmp_path / "m"],
        [
            "eval",
            *brief,
            f"ckpt={trained}/checkpoints/last.ckpt",
            f"hydra.run.dir={tmp_path}/e",
            "data.tests.P3M-500-P.limit=1",
        ],
        ["data", "check", home / "data"],
        ["models"],
        ["weights", "list"],
    ]
    lost = []
    for arguments in verbs:
        done = run(home, told, *arguments)
        lost += [f"{arguments[0]}: {done.stderr[-300:]}"] if done.returncode not in (0, 2) else []
    lost += told.read_text().splitlines() if told.is_file() else []
    tally("verbs without network access", len(verbs) + 1, lost)


class Proxy(socketserver.BaseRequestHandler):
    """Record of what programs other than Python ask for; nobody gets through."""

    asked: ClassVar[list[str]] = []

    def handle(self):
        self.asked.append(self.request.recv(300).decode(errors="replace").split("\r\n")[0])
        self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")


@pytest.fixture
def proxy(monkeypatch) -> dict[str, str]:
    """Variables of the environment that send every request to `Proxy`."""
    monkeypatch.setattr(Proxy, "asked", [])
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        yield dict.fromkeys(names, f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()


def asked_for(told: Path) -> list[str]:
    asked = [*Proxy.asked, *(told.read_text().splitlines() if told.is_file() else [])]
    told.unlink(missing_ok=True)
    return asked


@pytest.mark.parametrize("logger", ["wandb", "tensorboard", "mlflow"])
def test_a_logger_tells_nobody_unasked(logger, home, told, portraits, proxy, tmp_path, tally):
    pytest.importorskip(logger)
    options = [f"paths.data={portraits}", f"hydra.run.dir={tmp_path}/run", "trainer.max_epochs=1", f"logger={logger}"]
    done = run(home, told, "train", *BRIEF, *options, **proxy)
    lost = [] if done.returncode == 0 else [done.stderr[-300:]]
    tally("verbs without network access", 1, [*lost, *asked_for(told)])


def test_calibration_in_8_bits_tells_nobody(home, told, checkpoint, proxy, tmp_path, tally):
    done = run(home, told, "export", "--ckpt", checkpoint, "--precision", "int8", "-o", tmp_path / "a.onnx", **proxy)
    lost = [] if done.returncode == 0 else [done.stderr[-300:]]
    tally("verbs without network access", 1, [*lost, *asked_for(told)])


def test_the_page_tells_nobody(home, told, checkpoint, proxy, tally):
    pytest.importorskip("gradio")
    env = {key: value for key, value in environment().items() if key not in OURS}
    env |= {"HOME": str(home), "PYTHONPATH": str(home / "site"), "P3M_TOLD": str(told), **proxy}
    arguments = command(["demo", "--ckpt", checkpoint, "--device", "cpu"])
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as page:
        address = page.stdout.readline()
        assert address.startswith("http"), page.stderr.read()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        lost = [] if b"Portrait matting" in opener.open(address.split()[0], timeout=60).read() else ["no page"]
        time.sleep(3)  # for requests that other threads send
        page.terminate()
        page.communicate(timeout=60)
    tally("verbs without network access", 1, [*lost, *asked_for(told)])


def test_what_wants_the_network_says_what_it_wanted(home, told, portraits, tmp_path, tally):
    options = ["model=p3mnet", "model.encoder=resnet18", "model.pretrained=hub", "~loss.weights"]
    done = run(home, told, "train", *BRIEF[:-1], f"paths.data={portraits}", f"hydra.run.dir={tmp_path}/r", *options[:3])
    said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
    told.unlink(missing_ok=True)
    fault = (
        ""
        if done.returncode == 2 and "Traceback" not in done.stderr and said.startswith("p3m: ")
        else done.stderr[-400:]
    )
    tally("verbs without network access", 1, [fault] if fault else [])


def test_the_refusal_of_sockets_is_seen(home, told):
    code = "import urllib.request as u; u.urlopen('http://example.org')"
    env = {**environment(), "PYTHONPATH": str(home / "site"), "P3M_TOLD": str(told)}
    assert subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False).returncode
    assert "example.org" in told.read_text()
    told.unlink()


def test_results_keep_what_repeats_a_run(trained):
    results = json.loads((trained / "results.json").read_text())
    assert {"seed", "git_revision", "versions"} <= results.keys()
    assert run_apart(["--version"]).code == 0
