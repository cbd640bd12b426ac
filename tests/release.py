"""Build the package as it is published, look at what is in it, install it into empty environments and use it there.

`make release-check`. A check that fails, or an interpreter that is not there, ends this with exit code 2.
"""

from __future__ import annotations

import argparse
import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 15e6  # bytes of the wheel: the network in the box takes most of it
PLACEHOLDERS = r"\b(DST|DIR|RUN|PATH|FILE|NAME|P3M-10k)\b|\.\.\.|/data/|truth/|photos/|trimaps/"
NEEDS_NO_DATA = ("predict", "models", "weights", "doctor", "licenses", "completion", "--version", "--help")
PREPARE = """
import sys
from p3m_lightning.images import write_image
from p3m_lightning.synthetic import render_portrait
for name in sys.argv[1:]:
    write_image(name, render_portrait(0, 256).image)
"""
IMAGES = "import torch\nimages = torch.rand(1, 3, 64, 96)\n"
USES = [
    ["p3m", "--version"],
    ["p3m", "--help"],
    ["p3m", "doctor"],
    ["p3m", "models", "modnet"],
    ["p3m", "weights", "list"],
]


class Report:
    """The checks so far, each printed as it comes."""

    def __init__(self) -> None:
        self.failed = 0

    def check(self, good: bool, what: str, why: str = "") -> bool:
        """Print a check, and below one that failed the reason."""
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {what}", flush=True)
        if not good and why:
            print("      " + why.strip().replace("\n", "\n      "), flush=True)
        return good

    def note(self, what: str) -> None:
        """Print what was left out."""
        print(f"note  {what}", flush=True)


def supported(requires: str) -> list[str]:
    """Return the Python versions that `python_requires` names, oldest first.

    >>> supported(">=3.11,<3.14")
    ['3.11', '3.12', '3.13']
    """
    bounds = [re.search(rf"{sign}\s*3\.(\d+)", requires) for sign in (">=", "<(?!=)")]
    if None in bounds:
        raise SystemExit(f"release: python_requires = {requires}: has no least or no upper version")
    return [f"3.{minor}" for minor in range(*(int(bound[1]) for bound in bounds))]


def find_python(version: str) -> str | None:
    """Return the path of an installed interpreter of that version; nothing is fetched."""
    command = [sys.executable, "-m", "uv", "python", "find", "--no-project", version]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"UV_PYTHON_DOWNLOADS": "never"})
    return done.stdout.strip() if done.returncode == 0 else None


def run(command: list[str], **keys: object) -> tuple[bool, str]:
    """Run a command; return whether it succeeded, and the end of what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **keys)
    return done.returncode == 0, done.stdout[-2000:]


def build(out: Path, report: Report) -> tuple[Path, Path] | None:
    """Build the sdist, and the wheel from it."""
    good, told = run([sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", str(out), str(ROOT)])
    wheels, sdists = list(out.glob("*.whl")), list(out.glob("*.tar.gz"))
    if not report.check(good and len(wheels) == len(sdists) == 1, "wheel and sdist are built", told):
        return None
    return wheels[0], sdists[0]


def check_contents(wheel: Path, sdist: Path, report: Report) -> None:
    """Look at metadata, notices, data files and size."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name for name in names if name.endswith(".dist-info/METADATA")).rpartition("/")[0]
        metadata = message_from_string(archive.read(f"{info}/METADATA").decode())
        entries = archive.read(f"{info}/entry_points.txt").decode()
    said = (ROOT / "src/p3m_lightning/__init__.py").read_text()
    version = re.search(r'__version__ = "(.+)"', said)[1]
    fits = metadata["Version"] == version
    report.check(fits, f"version {version} in metadata and in __init__.py", f"metadata says {metadata['Version']}")
    changes = (ROOT / "CHANGELOG.md").read_text()
    report.check(version in changes, f"CHANGELOG.md names {version}")
    for field in ("Name", "Summary", "Requires-Python", "Description-Content-Type"):
        report.check(bool(metadata[field]), f"metadata: {field}: {metadata[field]}")
    license_ = metadata["License-Expression"] or metadata["License"]
    report.check(license_ == "MIT", f"metadata: license {license_}")
    report.check(len(metadata.get_payload()) > 1000, "metadata: the README is the description")
    local = re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", metadata.get_payload())
    if local:
        report.note(f"description: {len(local)} links work in the repository alone, as {local[0]}")
    report.check("p3m = p3m_lightning.cli:main" in entries, "the console script p3m")
    notices = [name for name in names if name.startswith(info) and "LICENSE" in name]
    report.check(bool(notices), "notices: LICENSE is in the wheel")
    card = "p3m_lightning/models/box/README.md"
    report.check(card in names, "notices: the card of the network in the box, with the licenses of its data")
    expected = {f"p3m_lightning/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    package = ROOT / "src/p3m_lightning"
    kinds = (".py", ".typed", ".safetensors", ".onnx")
    expected |= {str(path.relative_to(ROOT / "src")) for path in package.rglob("*") if path.suffix in kinds}
    missing = sorted(expected - set(names))
    report.check(
        not missing, f"{len(expected)} modules, configurations and weights are in the wheel", "\n".join(missing)
    )
    foreign = [name for name in names if not name.startswith(("p3m_lightning/", info))]
    report.check(not foreign, "nothing else is in the wheel", "\n".join(foreign))
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    lacking = {"LICENSE", "README.md", "pyproject.toml", "setup.cfg"} - inside
    report.check(not lacking, "license, README and build files are in the sdist", ", ".join(lacking))
    size = wheel.stat().st_size
    report.check(size <= LARGEST, f"the wheel has {size / 1e6:.1f} MB, {LARGEST / 1e6:.0f} at most")


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a Markdown page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def readme_commands(page: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the `p3m` commands of a page, and whether they need no data but a photograph."""
    for line in "\n".join(blocks(page, "(?:sh|bash|console)")).replace("\\\n", " ").splitlines():
        line = line.removeprefix("$ ")
        if line.startswith("p3m "):
            command = shlex.split(line, comments=True)
            yield command, command[1] in NEEDS_NO_DATA and not re.search(PLACEHOLDERS, " ".join(command))


def use(python: str, wheel: Path, report: Report, folder: Path) -> None:
    """Install the wheel into an empty environment of `python` and use it there."""
    environment = folder / "environment"
    good, told = run([sys.executable, "-m", "uv", "venv", "--quiet", "--python", python, str(environment)])
    if not report.check(good, "an empty environment", told):
        return
    own = environment / ("Scripts" if os.name == "nt" else "bin")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(own / "python")]
    good, told = run([*install, f"{wheel}"])
    if not report.check(good, "the wheel installs, without extras", told):
        return
    fit = [*install[:4], "check", "--quiet", *install[6:]]
    report.check(*run_pair(fit, "the installed packages fit together"))
    work = folder / "work"
    work.mkdir()
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    keys = {"cwd": work, "env": variables | {"PATH": f"{own}{os.pathsep}{os.environ['PATH']}"}}
    page = (ROOT / "README.md").read_text()
    commands = list(readme_commands(page))
    pictures = {word for command, _ in commands for word in command if word.endswith((".jpg", ".png"))}
    pictures |= set(re.findall(r'"([\w-]+\.(?:jpg|png))"', "\n".join(blocks(page, "python"))))
    report.check(*run_pair([str(own / "python"), "-c", PREPARE, *sorted(pictures)], "a rendered photograph", **keys))
    for command in [*USES, *(command for command, free in commands if free)]:
        report.check(*run_pair([str(own / command[0]), *command[1:]], shlex.join(command), **keys))
    for number, block in enumerate(blocks(page, "python")):
        report.check(*run_pair([str(own / "python"), "-c", IMAGES + block], f"README, Python {number + 1}", **keys))
    for command, free in commands:
        if not free:
            report.note(f"needs data, not run: {shlex.join(command)}")


def run_pair(
    command: list[str], title: str = "the installed packages fit together", **keys: object
) -> tuple[bool, str, str]:
    """Run a command; return what `Report.check` takes."""
    good, told = run(command, **keys)
    return good, title, told


def main() -> int:
    """Check the release; 2 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", metavar="VERSION", help="versions to install on (default: two)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave wheel and sdist there")
    options = parser.parse_args()
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    versions = supported(settings["options"]["python_requires"])
    report = Report()
    with tempfile.TemporaryDirectory(prefix="p3m-release-") as name:
        built = build(Path(name) / "dist", report)
        if built is None:
            return 2
        check_contents(*built, report)
        wanted = options.python or [versions[0], versions[-1]]
        for version in wanted:
            python = find_python(version)
            found = report.check(
                python is not None, f"Python {version}: {python}", f"install Python {version}, or give --python"
            )
            if not found and not options.python and version == versions[-1]:
                older = [(v, find_python(v)) for v in reversed(versions[1:-1])]
                version, python = next(((v, p) for v, p in older if p), (version, None))
                if python:
                    report.note(f"in its place Python {version}, the newest that is here: {python}")
            if python:
                with tempfile.TemporaryDirectory(prefix="p3m-release-") as folder:
                    use(python, built[0], report, Path(folder))
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for file in built:
                shutil.copy(file, options.keep)
    print(f"{report.failed} checks failed" if report.failed else "the release is fit to go")
    return 2 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
