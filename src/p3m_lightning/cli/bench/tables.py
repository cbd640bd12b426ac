"""`p3m bench tables`: the speed tables of a page from the JSON files of the benchmarks."""

from __future__ import annotations

import argparse
from pathlib import Path

from p3m_lightning.cli.shared.benchmark_results import RESULTS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench tables --page docs/results.md"
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help=f"JSON files (default: {RESULTS})")
    parser.add_argument(
        "--page", type=Path, default=Path("docs/results.md"), metavar="FILE", help="(default: docs/results.md)"
    )


def run(options: argparse.Namespace) -> None:
    """Write the tables and print the page."""
    from p3m_lightning.experiments.bench.tables import write_tables

    write_tables(options.results, options.page)
    print(options.page)
