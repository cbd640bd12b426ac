"""`p3m bench precision`: mattes in bfloat16 against those in float32."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from p3m_lightning.cli.shared.benchmark_results import add_folder
from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.description = (
        "Compare mattes in bfloat16 with those in float32, on two public-domain portraits that come with installed "
        "packages, and on yours."
    )
    parser.epilog = "example: p3m bench precision people=photos/ --ckpt last.ckpt"
    parser.add_argument("pictures", nargs="*", metavar="NAME=PATH", help="a photograph or a folder, and a name for it")
    parser.add_argument(
        "--ckpt", nargs="+", default=[], metavar="PATH", help="checkpoints to measure beside the network in the box"
    )
    add_folder(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    from p3m_lightning.experiments.bench.limits.precision import bench, free_pictures, listed
    from p3m_lightning.experiments.bench.timing import save

    pictures = free_pictures() | listed(options.pictures)
    if not pictures:
        raise InputError("NAME=PATH: there are no photographs; give some, or install scikit-image or matplotlib")
    networks = {"box": None} | {Path(path).stem: path for path in options.ckpt}
    path = save("precision", bench(networks, pictures), options.output)
    print(path)
    print(json.dumps(json.loads(path.read_text())))
