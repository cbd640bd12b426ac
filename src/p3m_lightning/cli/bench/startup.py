"""`p3m bench startup`: the time commands take before they start to work."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from p3m_lightning.cli import AtLeast
from p3m_lightning.cli.shared.benchmark_results import add_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench startup --repeats 5"
    parser.add_argument("--repeats", action=AtLeast, default=3, metavar="N", help="turns (default: 3)")
    add_folder(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    from p3m_lightning.experiments.bench.startup import bench
    from p3m_lightning.experiments.bench.timing import save

    with tempfile.TemporaryDirectory(prefix="p3m-bench-") as folder:
        path = save("startup", bench(options.repeats, Path(folder)), options.output)
    print(path)
    print(json.dumps(json.loads(path.read_text())))
