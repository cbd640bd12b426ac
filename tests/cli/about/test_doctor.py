import json
import sys

import pytest

from p3m_lightning.cli import main
from p3m_lightning.cli.about import machine
from p3m_lightning.experiments import packages
from p3m_lightning.experiments.packages import Need, extras, install_command, needs


@pytest.fixture(scope="module")
def report(portraits):
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["doctor", "--json", "--data", str(portraits)])
    return code, json.loads(out.getvalue()), portraits


def test_a_working_installation_has_no_fault(report):
    code, told, _ = report
    assert (code, told["ok"]) == (0, True)
    assert not [check for check in told["checks"] if check["state"] == "fault"]


def test_everything_is_looked_at(report):
    _, told, portraits = report
    parts = {check["part"] for check in told["checks"]}
    wanted = {"machine", "memory", "disk", "python", "torch", "threads", "network in the box", "licenses"}
    assert wanted | {f"extra {extra}" for extra in extras()} | {f"data {portraits}"} <= parts
    assert any(part.startswith("gpu") for part in parts)
    assert told["packages"]["torch"]["license"]


def test_a_data_set_is_recognized_and_counted(report):
    _, told, portraits = report
    (check,) = [check for check in told["checks"] if check["part"] == f"data {portraits}"]
    assert check["found"].startswith("synthetic: train 6 of ?, P3M-500-P 4 of ?, P3M-500-NP 4 of ?")


def test_what_is_missing_comes_with_the_command_that_installs_it(monkeypatch, capsys):
    there = packages.installed_version
    monkeypatch.setattr(packages, "installed_version", lambda name: None if name in ("av", "scipy") else there(name))
    assert main(["doctor"]) == 2
    rows = {row[0]: row[1:] for row in (line.split("\t") for line in capsys.readouterr().out.splitlines())}
    assert rows["scipy"] == ["fault", "not installed", install_command()]
    assert rows["extra video"] == ["note", "av: not installed", install_command("video")]
    assert "[video]" in install_command("video")


def test_a_version_outside_the_bounds_is_a_fault(monkeypatch):
    there = packages.installed_version
    monkeypatch.setattr(packages, "installed_version", lambda name: "9.9" if name == "hydra-core" else there(name))
    (check,) = [check for check in machine.check_packages() if check.part == "hydra-core"]
    assert check.state == machine.FAULT
    assert check.found.startswith("9.9, wanted ")


@pytest.mark.parametrize(
    ("wanted", "installed", "met"),
    [
        ("", "1", True),
        (">=2", "1.9", False),
        (">=2", "2.0+cpu", True),
        ("==1.0", None, False),
        (">=2.12", "2.12.0rc1", False),
    ],
)
def test_a_need_is_met_by_versions_within_its_bounds(wanted, installed, met):
    assert Need("any", wanted, installed).is_met == met


def test_an_extra_adds_its_own_packages_alone():
    assert {need.name for need in needs("video")} == {"av"}
    assert "av" not in {need.name for need in needs()}
    assert "torch" in {need.name for need in needs()}


def test_a_folder_that_is_no_data_set_is_a_fault(tmp_path, capsys):
    assert main(["doctor", "--data", str(tmp_path)]) == 2
    assert f"data {tmp_path}\tfault\t" in capsys.readouterr().out


def test_a_torch_that_cannot_be_imported_is_told_not_raised(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (check,) = machine.check_torch()
    assert check.state == machine.FAULT
    assert "torch cannot be imported" in check.found
