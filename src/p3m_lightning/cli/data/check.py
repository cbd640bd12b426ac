"""`p3m data check`: find the faults of a data set before the training does."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.cli.shared.options import AtLeast
from p3m_lightning.messages import shortened

if TYPE_CHECKING:
    from p3m_lightning.data.prepare.check import CheckReport

SHOWN = 5  # files of a fault listed one by one


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.description = (
        "Decode every file of a data set and name what is wrong: missing pairs, broken files, sizes that differ, "
        "mattes of 0 and 1, inverted or premultiplied, trimaps that contradict their mattes, pictures that are in two "
        "sets. Exit code 2 where there are errors; warnings alone are none."
    )
    parser.epilog = "example: p3m data check P3M-10k --json faults.json"
    parser.add_argument("root", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument("--name", help="layout, as p3m-10k (default: recognized by its folders)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every finding")
    parser.add_argument("--all", action="store_true", help=f"list every file, not only {SHOWN} of each fault")
    parser.add_argument("--workers", action=AtLeast, metavar="N", help="processes (one per core)")


def run(options: argparse.Namespace) -> int:
    """Check, print the tables; 2 if there are errors."""
    from p3m_lightning.data.prepare.check import check_dataset, write_report
    from p3m_lightning.data.prepare.faults import ERROR

    report = check_dataset(options.root, options.name, options.workers)
    print_report(report, None if options.all else SHOWN)
    if options.json:
        write_report(report, options.json)
    return 2 if report.count(ERROR) else 0


def print_report(report: CheckReport, shown: int | None) -> None:
    """Print the data set's card, its counts, and the files of every fault."""
    from rich.console import Console
    from rich.table import Table

    from p3m_lightning.data.cards import DATASETS
    from p3m_lightning.data.prepare.faults import ERROR, FAULTS, WARNING

    console = Console()
    card = DATASETS[report.name]
    counts = ", ".join(
        f"{split} {count}" + (f" of {card.splits[split].count}" if card.splits[split].count else "")
        for split, count in report.images.items()
    )
    console.print(f"{card.title}\nlicence: {card.licence}\nimages: {counts}", highlight=False, markup=False)
    if report.findings:
        table = Table("fault", "", "files", title="Faults", title_justify="left")
        table.add_column("where", overflow="fold")  # a name cut short is no help
        for fault, (level, meaning) in FAULTS.items():
            found = [finding for finding in report.findings if finding.fault == fault]
            if not found:
                continue
            lines = shortened((f"{_short(one.file, report.root)}  {one.detail}".rstrip() for one in found), shown)
            style = "red" if level == ERROR else "yellow"
            table.add_row(fault, f"[{style}]{level}[/]", str(len(found)), "\n".join([meaning + ":", *lines]))
        console.print(table)
    pairs = sum(report.images.values())
    console.print(
        f"{report.count(ERROR)} errors, {report.count(WARNING)} warnings in {pairs} images, "
        f"{pairs / report.seconds:.1f} a second",
        highlight=False,
    )


def _short(file: str, root: Path) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else file
