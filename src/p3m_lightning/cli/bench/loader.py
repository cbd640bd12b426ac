"""`p3m bench loader`: training crops of full-size portraits, against a plain loader."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.cli import AtLeast


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.description = (
        "Make training batches of 1080 x 1620 portraits with foregrounds and backgrounds: by a plain loader (four "
        "images decoded by Pillow, whole trimap, then crop), from published files, and from packs. Takes a few minutes."
    )
    parser.epilog = "example: p3m bench loader --data P3M-10k --pairs 50"
    parser.add_argument("--data", type=Path, metavar="DIR", help="pairs with foregrounds (default: rendered portraits)")
    parser.add_argument("--dataset", default="p3m-10k", metavar="NAME", help="layout of DIR (default: p3m-10k)")
    parser.add_argument("--pairs", action=AtLeast, default=12, metavar="N", help="full-size pairs (default: 12)")
    parser.add_argument(
        "--samples", action=AtLeast, least=8, default=160, metavar="N", help="crops measured per turn (default: 160)"
    )
    parser.add_argument(
        "--repeats", action=AtLeast, default=3, metavar="N", help="turns; the median counts (default: 3)"
    )
    parser.add_argument(
        "--workers", action=AtLeast, nargs="+", default=[1, 2, 4], metavar="N", help="loader processes (default: 1 2 4)"
    )


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    from p3m_lightning.experiments.bench.loader import Setting, bench, copy_pairs, render_pairs

    with tempfile.TemporaryDirectory(prefix="p3m-bench-") as folder:
        root = Path(folder)
        if options.data:
            copy_pairs(options.data, options.dataset, root, options.pairs)
        else:
            render_pairs(root, options.pairs)
        results = bench(Setting(root, options.samples, options.repeats, tuple(options.workers)))
    pairs = str(options.data) if options.data else "rendered, noisy, JPEG quality 80 to 95; foregrounds estimated"
    _print(results)
    print(json.dumps({"benchmark": "loader", "pairs": pairs, "samples": options.samples, **results}))


def _print(results: Mapping[str, Any]) -> None:
    from p3m_lightning.tables import print_table

    loaders = results["loaders"]
    workers = list(loaders["reference"]["rates"])
    cells = [
        (
            name,
            f"{row['samples_per_core_second']:.1f}",
            f"{results['ratios'].get(name, 1):.1f}",
            f"{row['cpu_ms']:.1f}",
            f"{row['disk_bytes'] / 1e6:.2f}",
            f"{row['memory_bytes'] / 1e6:.0f}",
            *(f"{rate:.0f}" for rate in row["rates"].values()),
        )
        for name, row in loaders.items()
    ]
    print_table(("loader", "per core", "times", "ms", "disk", "memory", *workers), cells)
    print(
        f"samples per second: per core, and with {', '.join(workers)} workers; MB on disk per sample, MB of memory per "
        "worker; files in the page cache"
    )
