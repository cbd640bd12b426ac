"""`p3m doctor`: what is installed, what is missing, and the command that mends it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from p3m_lightning.tables import print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.description = (
        "Look at the machine, versions, threads, GPUs, the network in the box, data sets, extras and licenses. Exit "
        "code 2 where the package cannot work; extras that are not installed are notes."
    )
    parser.epilog = "example: p3m doctor --data /data/P3M-10k"
    parser.add_argument(
        "--data", type=Path, action="append", default=[], metavar="DIR", help="a data set; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Look at everything and print it; 2 if there is a fault."""
    from p3m_lightning.cli.about import machine
    from p3m_lightning.experiments.packages import inventory

    checks = [
        *machine.check_machine(),
        *machine.check_packages(),
        *machine.check_torch(),
        machine.check_box(),
        *machine.check_data(options.data or [path for path in (Path("data/synthetic"),) if path.is_dir()]),
        *machine.check_extras(),
        *machine.check_licenses(),
    ]
    faults = [check for check in checks if check.state == machine.FAULT]
    if options.json:
        licenses = {part.name: {"version": part.version, "license": part.license} for part in inventory()}
        report = {"ok": not faults, "checks": [check._asdict() for check in checks], "packages": licenses}
        print(json.dumps(report, indent=2))
    else:
        rows = [[check.part, check.state, check.found, check.cure] for check in checks]
        print_table(["part", "state", "found", "cure"], rows, left=["state"], sentences=["found", "cure"])
        notes = sum(check.state == machine.NOTE for check in checks)
        print(f"{len(faults)} faults, {notes} notes; `p3m licenses` lists the license of each package")
    return 2 if faults else 0
