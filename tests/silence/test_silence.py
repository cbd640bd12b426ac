"""Packages that would tell their makers that they are used are kept from it."""

import importlib
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from p3m_lightning.silence import SWITCHES, hush, import_openvino

ASKED = {
    "wandb": "from wandb.env import error_reporting_enabled; print(not error_reporting_enabled())",
    "mlflow": "from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY as off; print(off.get())",
    "huggingface_hub": "from huggingface_hub.constants import HF_HUB_DISABLE_TELEMETRY as off; print(off)",
    "gradio": "from gradio.analytics import analytics_enabled; print(not analytics_enabled())",
    "albumentations": "import socket; asked = []; socket.getaddrinfo = lambda *a, **k: asked.append(a) or 1 / 0;"
    " import albumentations; print(not asked)",
    "nncf": "from nncf.telemetry.wrapper import NNCFTelemetry as t, NNCFTelemetryStub as stub; print(type(t) is stub)",
}
"""What prints whether a package is silent, in its own words."""


def without_switches(**more: str) -> dict[str, str]:
    names = {name for switches in SWITCHES.values() for name in switches}
    return {key: value for key, value in os.environ.items() if key not in names} | more


def test_a_switch_that_somebody_has_set_stays(monkeypatch):
    monkeypatch.setenv("NNCF_CI", "")
    monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED", raising=False)
    hush("nncf", "wandb")
    assert (os.environ["NNCF_CI"], os.environ["WANDB_ERROR_REPORTING"]) == ("", "false")
    assert "GRADIO_ANALYTICS_ENABLED" not in os.environ


@pytest.mark.parametrize("package", SWITCHES)
def test_a_package_still_reads_its_switches(package):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    root = Path(find_spec(package).submodule_search_locations[0])
    unread = set(SWITCHES[package])
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8", errors="replace")
        unread = {name for name in unread if not re.search(rf"['\"]{name}['\"]", text) and f'"{name[6:]}"' not in text}
        if not unread:
            break
    assert not unread


@pytest.mark.parametrize("package", SWITCHES)
def test_the_command_line_keeps_every_package_silent(package):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    asked = f"from p3m_lightning.cli import main; main(['--version']); {ASKED[package]}"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env=without_switches())
    assert done.stdout.splitlines()[-1:] == ["True"], done.stderr


@pytest.fixture
def reporter(tmp_path, monkeypatch):
    """Toy packages that go about it as OpenVINO and its reporter do; what is told lands in the file returned."""
    told = tmp_path / "told.txt"
    (tmp_path / "openvino_telemetry.py").write_text(f"open({str(told)!r}, 'a').write('import')\n")
    (tmp_path / "openvino.py").write_text(
        "try:\n    import openvino_telemetry\nexcept ImportError:\n    openvino_telemetry = 'a stub'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("openvino", "openvino_telemetry"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield told
    for name in ("openvino", "openvino_telemetry"):
        sys.modules.pop(name, None)


def test_openvino_is_imported_without_its_reporter_which_others_may_still_import(reporter):
    assert import_openvino().openvino_telemetry == "a stub"
    assert not reporter.exists()
    importlib.import_module("openvino_telemetry")
    assert reporter.read_text() == "import"


def test_a_reporter_that_somebody_imported_before_stays(reporter):
    known = importlib.import_module("openvino_telemetry")
    assert import_openvino().openvino_telemetry is known
    assert sys.modules["openvino_telemetry"] is known


SOCKETS = """
import socket, sys
def refuse(*_): print("reached out"); raise OSError
socket.getaddrinfo = socket.socket.connect = refuse
from p3m_lightning.silence import import_openvino
import_openvino()
import time; time.sleep(2)  # it reports in a process of its own
print("openvino_telemetry" in sys.modules)
"""


@pytest.mark.slow
def test_openvino_itself_reports_nothing(tmp_path):
    pytest.importorskip("openvino")
    env = without_switches(HOME=str(tmp_path), PYTHONUNBUFFERED="1")
    done = subprocess.run([sys.executable, "-c", SOCKETS], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.split() == ["False"]
    assert not list(tmp_path.iterdir())
