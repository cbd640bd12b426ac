"""`p3m bench upsamplers`: the upsamplers of StyleMatte, from quarter to full size."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.cli import AtLeast
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # imported where used, so that --help is quick
    from p3m_lightning.experiments.bench.upsamplers import Result

FIRST_SEED, TRAINING_SEED = 1000, 2000  # of the synthetic portraits measured, and of those trained on
TRAINING_PORTRAITS = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench upsamplers --data P3M-10k --dataset p3m-10k --split P3M-500-NP --pairs 20"
    parser.add_argument("--data", type=Path, metavar="DIR", help="images and mattes (default: synthetic portraits)")
    parser.add_argument("--dataset", default="folder", metavar="NAME", help="layout of DIR (default: folder)")
    parser.add_argument("--split", default="test", metavar="NAME", help="part of the data set (default: test)")
    parser.add_argument(
        "--pairs", "--limit", action=AtLeast, default=4, metavar="N", help="pairs to measure (default: 4)"
    )
    parser.add_argument(
        "--size", action=AtLeast, least=64, default=512, metavar="N", help="side of synthetic portraits (default: 512)"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="upsamplers to measure (default: all)")
    parser.add_argument(
        "--train-steps",
        action=AtLeast,
        least=0,
        default=1000,
        metavar="N",
        help="training steps of those that learn; 0: none (default: 1000)",
    )
    parser.add_argument("--repeats", action=AtLeast, default=5, metavar="N", help="the median of N times (default: 5)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("upsamplers.png"),
        metavar="FILE",
        help="picture (default: upsamplers.png)",
    )


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    if options.output.suffix.lower() not in (".png", ".jpg"):
        raise InputError(f"-o {options.output}: must end in .png or .jpg")
    from p3m_lightning.experiments.bench.upsamplers import bench, read_pairs, save_comparison, synthetic_pairs
    from p3m_lightning.inference.engines.torch_engine import choose_device
    from p3m_lightning.models.upsamplers import LEARNABLE, UPSAMPLERS

    names = options.only or list(UPSAMPLERS)
    unknown = sorted(set(names) - set(UPSAMPLERS))
    if unknown:
        raise InputError(f"--only {' '.join(unknown)}: no such upsampler; choose from {', '.join(UPSAMPLERS)}")
    device = choose_device(options.device)
    if options.data:
        pairs = read_pairs(options.data, options.dataset, options.split, options.pairs)
    else:
        pairs = synthetic_pairs(options.pairs, options.size, FIRST_SEED)
    learns = options.train_steps and not set(LEARNABLE).isdisjoint(names)
    training = synthetic_pairs(TRAINING_PORTRAITS, options.size, TRAINING_SEED) if learns else []
    pairs, training = ([pair.to(device) for pair in group] for group in (pairs, training))
    results = bench(pairs, training, names, options.train_steps, options.repeats)
    save_comparison(options.output, pairs, results)
    _print(results)
    print(f"picture: {options.output}")
    summary = {name: result.summary for name, result in results.items()}
    print(json.dumps({"benchmark": "upsamplers", "pairs": [pair.name for pair in pairs], "upsamplers": summary}))


def _print(results: Mapping[str, Result]) -> None:
    from p3m_lightning.tables import print_table

    rows = {name: result.summary for name, result in results.items()}
    cells = [
        (
            name,
            f"{row['sad']:.4f}",
            f"{row['mse']:.6f}",
            f"{row['gradient']:.4f}",
            f"{1000 * row['seconds']:.1f}",
            f"{row['peak_bytes'] / 2**20:.1f}",
            _training(row),
        )
        for name, row in rows.items()
    ]
    print_table(("upsampler", "SAD", "MSE", "gradient", "ms", "MiB", "trained"), cells, left=["trained"])


def _training(row: Mapping[str, int]) -> str:
    if not row["parameters"]:
        return "nothing to train"
    return f"{row['train_steps']} steps" if row["train_steps"] else "untrained"
