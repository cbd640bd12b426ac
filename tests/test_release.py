"""The release check finds faults of a wheel, and selects the commands of a page that it can run."""

import configparser
import tarfile
import zipfile
from pathlib import Path

import pytest

import release

ROOT = Path(__file__).parents[1]
METADATA = (
    """Metadata-Version: 2.4
Name: p3m_lightning
Version: {version}
Summary: portrait matting
Requires-Python: >=3.11
Description-Content-Type: text/markdown
License: {license}

"""
    + 1001 * "x"
)


def wheel(folder, version="0.1.0", license_="MIT", leave_out="", more=()):
    info = "p3m_lightning-0.1.0.dist-info"
    with zipfile.ZipFile(folder / "p3m.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", METADATA.format(version=version, license=license_))
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\np3m = p3m_lightning.cli:main\n")
        archive.writestr(f"{info}/licenses/LICENSE", "MIT")
        names = [path.relative_to(ROOT / "src") for path in (ROOT / "src/p3m_lightning").rglob("*") if path.is_file()]
        names += [Path("p3m_lightning/conf") / p.relative_to(ROOT / "conf") for p in (ROOT / "conf").rglob("*.yaml")]
        for name in [str(name) for name in names if "__pycache__" not in name.parts] + list(more):
            if not leave_out or not name.endswith(leave_out):
                archive.writestr(name, "")
    return folder / "p3m.whl"


def sdist(folder, names=("LICENSE", "README.md", "pyproject.toml", "setup.cfg")):
    (folder / "empty").touch()
    with tarfile.open(folder / "p3m.tar.gz", "w:gz") as archive:
        for name in names:
            archive.add(folder / "empty", f"p3m_lightning-0.1.0/{name}")
    return folder / "p3m.tar.gz"


def test_a_whole_release_has_no_fault(tmp_path, capsys):
    report = release.Report()
    release.check_contents(wheel(tmp_path), sdist(tmp_path), report)
    assert report.failed == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "9.9"}, "metadata says 9.9"),
        ({"license_": "GPL-3.0"}, "FAIL  metadata: license GPL-3.0"),
        ({"leave_out": "portraits.safetensors"}, "p3m_lightning/models/box/portraits.safetensors"),
        ({"leave_out": "conf/train.yaml"}, "p3m_lightning/conf/train.yaml"),
        ({"leave_out": "box/README.md"}, "FAIL  notices: the card"),
        ({"leave_out": "LICENSE", "more": ["tests/secret.py"]}, "tests/secret.py"),
    ],
)
def test_what_is_missing_wrong_or_foreign_is_named(tmp_path, capsys, changes, told):
    report = release.Report()
    release.check_contents(wheel(tmp_path, **changes), sdist(tmp_path), report)
    assert report.failed > 0
    assert told in capsys.readouterr().out


def test_a_wheel_that_has_grown_too_large_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(release, "LARGEST", 10)
    report = release.Report()
    release.check_contents(wheel(tmp_path), sdist(tmp_path), report)
    assert report.failed == 1


def test_an_sdist_without_its_license_is_told(tmp_path, capsys):
    report = release.Report()
    release.check_contents(wheel(tmp_path), sdist(tmp_path, ["README.md"]), report)
    assert "LICENSE" in capsys.readouterr().out


def test_commands_of_a_page_are_told_apart_by_what_they_need():
    page = (
        "```sh\np3m predict photo.jpg -o mattes/ --cutout   # this\np3m train \\\n  paths.data=/data\nmake test\n```\n"
    )
    page += "```python\np3m predict no.jpg\n```\n```sh\np3m eval ckpt=RUN\np3m predict DIR -o b\n```\n"
    found = [(" ".join(command), free) for command, free in release.readme_commands(page)]
    assert found == [
        ("p3m predict photo.jpg -o mattes/ --cutout", True),
        ("p3m train paths.data=/data", False),
        ("p3m eval ckpt=RUN", False),
        ("p3m predict DIR -o b", False),
    ]


def test_the_readme_has_a_command_that_runs():
    assert any(free for _, free in release.readme_commands((ROOT / "README.md").read_text()))


def test_supported_versions_are_those_of_setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    versions = release.supported(parser["options"]["python_requires"])
    assert versions[0] == "3.11"
    assert {"3.12", "3.13"} <= set(versions)
    assert release.supported(">=3.11, <3.15")[-1] == "3.14"
    with pytest.raises(SystemExit):
        release.supported(">=3.11")


def test_an_interpreter_that_is_not_there_is_none():
    assert release.find_python("3.1") is None
