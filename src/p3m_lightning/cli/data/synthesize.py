"""`p3m data synthesize`: render portraits with exact mattes in the layout of P3M-10k."""

from __future__ import annotations

import argparse
from pathlib import Path

from p3m_lightning.cli import AtLeast


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.epilog = "example: p3m data synthesize data/synthetic --train 300 --test 40 --size 512 --seed 0"
    parser.add_argument("destination", type=Path, metavar="DST", help="folder to fill")
    parser.add_argument(
        "--train", action=AtLeast, least=0, default=300, metavar="N", help="training portraits (default: 300)"
    )
    parser.add_argument(
        "--test",
        action=AtLeast,
        least=0,
        default=40,
        metavar="N",
        help="portraits in each validation set (default: 40)",
    )
    parser.add_argument("--size", type=int, default=512, metavar="PIXELS", help="side of the images (default: 512)")
    parser.add_argument("--seed", action=AtLeast, least=0, default=0, help="other seeds give other people (default: 0)")
    parser.add_argument(
        "--framing", metavar="NAME", help="close, shoulders, half, knees, full, or aligned like FFHQ (default: mixed)"
    )
    parser.add_argument(
        "--workers", action=AtLeast, default=None, metavar="N", help="processes (default: one per core)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a set made with other parameters")


def run(options: argparse.Namespace) -> None:
    """Render the set and print its folder."""
    from p3m_lightning.synthetic import synthesize

    root = synthesize(
        options.destination,
        train=options.train,
        test=options.test,
        size=options.size,
        seed=options.seed,
        framing=options.framing,
        workers=options.workers,
        overwrite=options.overwrite,
    )
    print(root)
