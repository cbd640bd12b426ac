"""`p3m licenses`: the terms of everything installed, or of all that a run is made from."""

from __future__ import annotations

import argparse
import json

from p3m_lightning.tables import print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.description = (
        "Without an argument: the license of every installed package that this one and its extras need. With a run: "
        "the licenses of its code, its weights and its data, as far as they are recorded, with a flag on what is for "
        "research only and on terms that need reading. This is no legal advice."
    )
    parser.epilog = "example: p3m licenses outputs/p3m_released/RUN"
    parser.add_argument(
        "place", nargs="?", metavar="RUN", help="a run folder, a checkpoint, or `portraits` for the network in the box"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--strict", action="store_true", help="exit code 2 if anything is flagged")


def run(options: argparse.Namespace) -> int:
    """List the licenses; return 2 with --strict if anything is flagged."""
    header, rows = _run_rows(options.place) if options.place else _package_rows()
    flagged = sum(bool(row[-1]) for row in rows)
    if options.json:
        print(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=2))
    else:
        print_table(header, rows, left=header, sentences=["license", "what", "source"])
        print(f"{len(rows)} parts, {flagged} flagged")
    return 2 if options.strict and flagged else 0


def _run_rows(place: str) -> tuple[list[str], list[list[str]]]:
    from p3m_lightning.experiments.licenses import licenses_of_run

    rows = [[link.kind, link.what, link.license, link.source, link.flag] for link in licenses_of_run(place)]
    return ["kind", "what", "license", "source", "flag"], rows


def _package_rows() -> tuple[list[str], list[list[str]]]:
    from p3m_lightning.experiments.packages import inventory

    rows = [[part.name, part.version, part.license, part.fault] for part in inventory()]
    return ["name", "version", "license", "flag"], rows
