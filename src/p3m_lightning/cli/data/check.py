"""`p3m data check`: find the faults of a data set before training does."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.cli import AtLeast
from p3m_lightning.messages import printable

if TYPE_CHECKING:
    from p3m_lightning.data.prepare.check import CheckReport

SHOWN = 5  # files of a fault listed one by one


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.description = (
        "Decode every file of a data set and name what is wrong: missing pairs, broken files, sizes that differ, "
        "mattes of 0 and 1, inverted or premultiplied, trimaps that contradict their mattes, images that are in two "
        "sets. Exit code 2 if there are errors; warnings alone give 0."
    )
    parser.epilog = "example: p3m data check P3M-10k --json faults.json"
    parser.add_argument("root", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument("--name", help="layout, such as p3m-10k (default: recognized by its folders)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every finding")
    parser.add_argument(
        "--all", action="store_true", help=f"list every file on a terminal too, not only {SHOWN} of each fault"
    )
    parser.add_argument("--workers", action=AtLeast, metavar="N", help="processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Check the data set and print the tables; return 2 if there are errors."""
    from p3m_lightning.data.prepare.check import check_dataset, write_report
    from p3m_lightning.data.prepare.faults import ERROR

    report = check_dataset(options.root, options.name, options.workers)
    print_report(report, None if options.all else SHOWN)
    if options.json:
        write_report(report, options.json)
    if report.count(ERROR):
        print(f"p3m: {options.root}: {report.count(ERROR)} errors, listed on stdout", file=sys.stderr)
    return 2 if report.count(ERROR) else 0


def print_report(report: CheckReport, shown: int | None) -> None:
    """Print the data set's card, its counts, and the files of every fault.

    On a terminal `shown` files of each; elsewhere one line per finding: level, fault, file, detail, tab-separated.
    """
    from p3m_lightning.data.cards import DATASETS
    from p3m_lightning.data.prepare.faults import ERROR, WARNING

    card = DATASETS[report.name]
    counts = ", ".join(
        f"{split} {count}" + (f" of {card.splits[split].count}" if card.splits[split].count else "")
        for split, count in report.images.items()
    )
    print(f"{card.title}\nlicense: {card.license}\nimages: {counts}")
    if sys.stdout.isatty():
        _print_faults(report, shown)
    else:
        for one in report.findings:
            print("\t".join(map(printable, (report.level(one.fault), one.fault, one.file, one.detail))))
    for line in report.copy.lines():
        print(line)
    pairs = sum(report.images.values())
    print(
        f"{report.count(ERROR)} errors, {report.count(WARNING)} warnings in {pairs} images, "
        f"{pairs / report.seconds:.1f} a second"
    )


def _print_faults(report: CheckReport, shown: int | None) -> None:
    """Print a heading for every fault and one line per file, however narrow the terminal."""
    from rich.console import Console
    from rich.text import Text

    from p3m_lightning.data.prepare.faults import ERROR, FAULTS

    console = Console()
    for fault, (level, meaning) in FAULTS.items():
        found = [finding for finding in report.findings if finding.fault == fault]
        if not found:
            continue
        head = Text.assemble((level, "red" if level == ERROR else "yellow"), f" {fault}, {len(found)} files: {meaning}")
        lines = [f"  {printable(one.file)}  {printable(one.detail)}".rstrip() for one in found[:shown]]
        lines += [f"  and {len(found) - len(lines)} more (--all)"] if len(found) > len(lines) else []
        for line in (head, *map(Text, lines)):
            console.print(line, soft_wrap=True)
