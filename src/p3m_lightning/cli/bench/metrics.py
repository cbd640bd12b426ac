"""`p3m bench metrics`: gradient and connectivity errors against the published procedure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from p3m_lightning.cli import AtLeast
from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench metrics --pred matte.png --gt mask.png"
    parser.add_argument("--pred", type=Path, metavar="FILE", help="predicted matte (default: a drawn pair)")
    parser.add_argument("--gt", type=Path, metavar="FILE", help="true matte of the same size")
    parser.add_argument(
        "--repeats", action=AtLeast, default=3, metavar="N", help="the fastest of N runs counts (default: 3)"
    )


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    from p3m_lightning.experiments.bench.metrics import bench, drawn_pair
    from p3m_lightning.images import read_matte, to_unit

    if (options.pred is None) != (options.gt is None):
        raise InputError("--pred and --gt: give both files or neither")
    given = (options.pred, options.gt)
    pred, target = (to_unit(read_matte(path), float) for path in given) if options.pred else drawn_pair()
    results = bench(pred, target, options.repeats)
    for name in ("gradient", "connectivity"):
        ours, published = (results[side][name] for side in ("seconds", "published_seconds"))
        print(f"{name}: {1000 * ours:.1f} ms, published procedure {1000 * published:.1f} ms")
    print(f"together {results['ratio']:.1f} times faster on one thread")
    print(json.dumps(results))
