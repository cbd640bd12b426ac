"""`p3m bench photo`: a photograph from file to file against the published procedure."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from p3m_lightning.cli import AtLeast
from p3m_lightning.cli.shared.benchmark_results import add_folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench photo --height 1620 --width 1080"
    parser.add_argument("--height", action=AtLeast, least=64, default=1620, metavar="N", help="(default: 1620)")
    parser.add_argument("--width", action=AtLeast, least=64, default=1080, metavar="N", help="(default: 1080)")
    parser.add_argument("--repeats", action=AtLeast, default=3, metavar="N", help="turns (default: 3)")
    add_folder(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    from p3m_lightning.experiments.bench.photo import bench
    from p3m_lightning.experiments.bench.timing import save

    with tempfile.TemporaryDirectory(prefix="p3m-bench-") as folder:
        results = bench((options.height, options.width), options.repeats, Path(folder))
    path = save("photo", results, options.output)
    print(path)
    print(json.dumps(json.loads(path.read_text())))
