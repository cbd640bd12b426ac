"""`p3m weights average`: the mean of several trainings of one network."""

from __future__ import annotations

import argparse
from pathlib import Path

from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = (
        "example: p3m weights average RUN/checkpoints/last.ckpt FURTHER/checkpoints/last.ckpt mean.safetensors"
    )
    parser.add_argument("sources", metavar="FILE", type=Path, nargs="+", help="two or more checkpoints of this package")
    parser.add_argument(
        "target", metavar="OUT.safetensors", type=Path, help="file to write, with the configuration of the first"
    )
    parser.add_argument("--half", action="store_true", help="half precision: half the size")


def run(options: argparse.Namespace) -> None:
    """Average trainings that share a start: the mean is often better than each (Wortsman et al., 2022)."""
    from p3m_lightning.training.optimization.averaging import average_checkpoints

    if options.target.suffix != ".safetensors":
        raise InputError(f"{options.target}: weights are written as .safetensors; give it that suffix")
    if len(options.sources) < 2:
        raise InputError("weights average: give two or more checkpoints before the file to write")
    average_checkpoints(options.sources, options.target, options.half)
    print(options.target)
