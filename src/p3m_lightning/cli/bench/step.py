"""`p3m bench step`: forward pass and training step against the published procedure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from p3m_lightning.cli import AtLeast
from p3m_lightning.cli.shared.benchmark_results import add_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench step --size 256 --batches 1 2"
    parser.add_argument("--size", action=AtLeast, least=64, default=512, metavar="N", help="side (default: 512)")
    parser.add_argument(
        "--batches", action=AtLeast, nargs="+", default=[1], metavar="N", help="images in a batch (default: 1)"
    )
    parser.add_argument("--repeats", action=AtLeast, default=5, metavar="N", help="turns (default: 5)")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=("32", "bf16"),
        metavar="P",
        help="32 and bf16 (default: those that the processor supports)",
    )
    add_folder(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    from p3m_lightning.experiments.bench.step import bench
    from p3m_lightning.experiments.bench.timing import save

    path = save(
        "step", bench(options.size, options.batches, options.repeats, precisions=options.precisions), options.output
    )
    print(path)
    print(json.dumps(json.loads(Path(path).read_text())))
