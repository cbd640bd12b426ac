"""The folder for the results of benchmarks."""

from __future__ import annotations

import argparse
from pathlib import Path

RESULTS = Path("benchmarks/results")


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the option for the folder of the JSON file."""
    parser.add_argument(
        "-o", "--output", type=Path, default=RESULTS, metavar="DIR", help=f"where NAME.json goes (default: {RESULTS})"
    )
