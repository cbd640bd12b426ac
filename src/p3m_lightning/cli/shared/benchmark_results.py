"""Folder in which benchmarks leave their results."""

from __future__ import annotations

import argparse
from pathlib import Path

RESULTS = Path("benchmarks/results")


def add_folder(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the JSON file goes."""
    parser.add_argument(
        "-o", "--output", type=Path, default=RESULTS, metavar="DIR", help=f"where NAME.json goes (default: {RESULTS})"
    )
