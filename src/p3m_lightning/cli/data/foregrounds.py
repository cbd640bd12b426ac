"""`p3m data foregrounds`: estimate and cache the foreground and background of every training image."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from p3m_lightning.cli import AtLeast
from p3m_lightning.messages import shortened

SHOWN = 20  # broken files listed one by one


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.description = (
        "Estimate the foreground and background of every image that has none yet and store them beside the images, "
        "where the loader finds them (data.train.foreground=cached). A run that was killed is resumed by the next."
    )
    parser.epilog = "example: p3m data foregrounds P3M-10k --split train"
    parser.add_argument("root", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument("--name", default="p3m-10k", help="layout: p3m-10k (default), am-2k, folder, ...")
    parser.add_argument("--split", default="train", help="part of the data set (default: train)")
    parser.add_argument("--images", metavar="FOLDER", help="such as original_image (default: the first that exists)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder to write to instead; train with data.train.cache=DIR"
    )
    parser.add_argument("--method", default="multilevel", help="multilevel (default) or closed_form (slow)")
    parser.add_argument("--format", default="png", help="of the foregrounds: png (default) or jpg (smaller)")
    parser.add_argument("--workers", action=AtLeast, metavar="N", help="processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Estimate and print where the files are; return 2 if any image failed."""
    from p3m_lightning.data.prepare.foreground_cache import cache_foregrounds

    report = cache_foregrounds(
        options.root,
        options.name,
        options.split,
        images=options.images,
        out=options.output,
        method=options.method,
        suffix=options.format,
        workers=options.workers,
        announce=lambda line: print(line, file=sys.stderr),
    )
    print(f"{report.made} made, {report.kept} already there, {len(report.failed)} failed")
    for folder in report.folders:
        print(folder)
    for reason in shortened(report.failed.values(), SHOWN):
        print(f"p3m: {reason}", file=sys.stderr)
    return 2 if report.failed else 0
