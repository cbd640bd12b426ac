"""`p3m gan sample`: RGBA portraits from a trained generator."""

from __future__ import annotations

import argparse
from pathlib import Path

from p3m_lightning.cli import AtLeast
from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = (
        "example: p3m gan sample --ckpt outputs/gan_synthetic/RUN/checkpoints/best.ckpt -o portraits --count 100"
        " --psi 0.5 1 0.25"
    )
    parser.add_argument("--ckpt", type=Path, required=True, metavar="PATH", help="checkpoint of p3m gan train")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="where seed<n>_psi<psi>.png go; run again to resume",
    )
    protocol = parser.add_argument_group("protocol (the defaults are the authors')")
    protocol.add_argument(
        "--count", action=AtLeast, default=10_000, metavar="N", help="portraits in total (default: 10000)"
    )
    protocol.add_argument(
        "--psi",
        type=float,
        nargs=3,
        default=(-0.9, 0.9, 0.1),
        metavar=("FROM", "TO", "STEP"),
        help="truncation, one value after another; 1: none (default: -0.9 0.9 0.1)",
    )
    protocol.add_argument(
        "--shift", type=float, default=0.05, metavar="PART", help="largest shift, as a part of the side (default: 0.05)"
    )
    protocol.add_argument(
        "--rotation", type=float, default=10.0, metavar="DEGREES", help="largest rotation (default: 10)"
    )
    protocol.add_argument(
        "--seed", action=AtLeast, least=0, default=0, metavar="N", help="of the first portrait (default: 0)"
    )
    parser.add_argument(
        "--batch-size", action=AtLeast, default=16, metavar="N", help="portraits at a time (default: 16)"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")


def run(options: argparse.Namespace) -> None:
    """Sample, and print the folder."""
    psis = truncations(*options.psi)
    from p3m_lightning.gan.generator import load_generator
    from p3m_lightning.gan.sampling import SamplingProtocol, sample_portraits

    sample_portraits(
        load_generator(options.ckpt),
        options.output,
        options.count,
        SamplingProtocol(psis, options.shift, options.rotation),
        options.seed,
        options.batch_size,
        options.device,
    )
    print(options.output)


def truncations(first: float, last: float, step: float) -> list[float]:
    """Return the values from `first` to `last`, both included.

    Raises:
        InputError: `step` does not lead from `first` to `last`.
    """
    if step <= 0 or last < first:
        raise InputError(f"--psi {first:g} {last:g} {step:g}: give FROM, a TO that is not below it, and a STEP above 0")
    return [round(first + k * step, 6) for k in range(int((last - first) / step + 1e-6) + 1)]
