"""`p3m bench growth`: photographs and batches of many sizes, the floor under them, workers and processes."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from p3m_lightning.cli import AtLeast
from p3m_lightning.cli.shared.benchmark_results import add_folder
from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench growth --megapixels 0.25 1 4 --batches 1 2"
    parser.add_argument(
        "--megapixels",
        type=float,
        nargs="+",
        default=[0.25, 1, 4, 12, 40],
        metavar="N",
        help="of photographs (default: 0.25 1 4 12 40)",
    )
    parser.add_argument(
        "--batches",
        action=AtLeast,
        nargs="+",
        default=[1, 2, 4, 8, 16, 32],
        metavar="N",
        help="(default: 1 2 4 8 16 32)",
    )
    parser.add_argument(
        "--workers",
        action=AtLeast,
        least=0,
        nargs="*",
        default=[0, 1, 2],
        metavar="N",
        help="of a loader (default: 0 1 2; none: leave them out)",
    )
    parser.add_argument(
        "--processes", action=AtLeast, nargs="*", default=[1, 2], metavar="N", help="that predict (default: 1 2)"
    )
    parser.add_argument("--size", action=AtLeast, least=64, default=256, metavar="N", help="of crops (default: 256)")
    parser.add_argument("--repeats", action=AtLeast, default=3, metavar="N", help="turns (default: 3)")
    add_folder(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    if min(options.megapixels) < 0.01:
        raise InputError(f"--megapixels {min(options.megapixels)}: give 0.01 or more")
    from p3m_lightning.experiments.bench.limits.growth import bench
    from p3m_lightning.experiments.bench.timing import save

    with tempfile.TemporaryDirectory(prefix="p3m-bench-") as folder:
        results = bench(
            options.megapixels,
            options.batches,
            options.size,
            options.repeats,
            Path(folder),
            workers=options.workers,
            processes=options.processes,
        )
    path = save("growth", results, options.output)
    print(path)
    print(json.dumps(json.loads(path.read_text())))
