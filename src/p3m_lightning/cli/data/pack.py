"""`p3m data pack`: store the decoded pixels of every training image in tiles that the loader reads crops from."""

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
        "Decode image, matte, foreground, background and face mask of every sample once and store the pixels beside "
        "them, in losslessly compressed tiles, where the loader finds them. Training crops are the same, only faster. "
        "A run that was killed is resumed by the next; a sample whose files have changed is packed again."
    )
    parser.epilog = "example: p3m data pack P3M-10k --split train"
    parser.add_argument("root", type=Path, metavar="DIR", help="folder of the data set")
    parser.add_argument("--name", default="p3m-10k", help="layout: p3m-10k (default), am-2k, folder, ...")
    parser.add_argument("--split", default="train", help="part of the data set (default: train)")
    parser.add_argument("--images", metavar="FOLDER", help="such as original_image (default: the first that exists)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder to write to instead; train with data.train.cache=DIR"
    )
    parser.add_argument("--workers", action=AtLeast, metavar="N", help="processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Pack and print where the files are; return 2 if any sample failed."""
    from p3m_lightning.data.prepare.pack_folder import pack_dataset
    from p3m_lightning.files import readable_bytes

    report = pack_dataset(
        options.root,
        options.name,
        options.split,
        images=options.images,
        out=options.output,
        workers=options.workers,
        announce=lambda line: print(line, file=sys.stderr),
    )
    print(f"{report.made} packed, {report.kept} already there, {len(report.failed)} failed")
    print(f"{report.folder}  {readable_bytes(report.size)}")
    for reason in shortened(report.failed.values(), SHOWN):
        print(f"p3m: {reason}", file=sys.stderr)
    return 2 if report.failed else 0
