"""Licenses of all installed dependencies, and a bill of materials: `make licenses`, `make wheel`.

The exit code is 2 if the project may not use a package, or if a package does not state its license.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from p3m_lightning.experiments.packages import NOT_SHIPPED, Part, extras, inventory


def bill_of_materials(parts: list[Part], root: str = "p3m-lightning") -> dict:
    """Return `parts` as CycloneDX 1.6: packages, their licenses and dependencies."""
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
        shipped = inventory(with_extras=[extra for extra in extras() if extra != NOT_SHIPPED])
        options.sbom.write_text(json.dumps(bill_of_materials(shipped), indent=2) + "\n", encoding="utf-8")
        print(options.sbom)
    print(f"{len(parts)} packages, {len(refused)} that the project may not use")
    return 2 if refused else 0


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
