"""`p3m bench video`: flicker before and after smoothing, on synthetic clips whose mattes are known."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from p3m_lightning.cli import AtLeast

MEASURES = {"dtssd": "dtSSD", "messddt": "MESSDdt", "sad": "SAD"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench video --clips 3"
    parser.add_argument("--ckpt", type=Path, metavar="PATH", help="network to matte with (default: simulated flicker)")
    parser.add_argument("--mode", help="see p3m predict (default: the mode recorded in the checkpoint, else resize)")
    parser.add_argument("--clips", action=AtLeast, default=3, metavar="N", help="how many (default: 3)")
    parser.add_argument(
        "--frames", action=AtLeast, least=2, default=24, metavar="N", help="length of each (default: 24)"
    )
    parser.add_argument("--width", action=AtLeast, least=32, default=512, metavar="PIXELS", help="(default: 512)")
    parser.add_argument("--height", action=AtLeast, least=32, default=288, metavar="PIXELS", help="(default: 288)")
    parser.add_argument(
        "--seed", action=AtLeast, least=0, default=0, metavar="N", help="of the first clip (default: 0)"
    )
    parser.add_argument("--still", action="store_true", help="the background does not move")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    from p3m_lightning.experiments.bench.video import bench, by_network, by_simulation, summary
    from p3m_lightning.inference import Predictor

    if options.ckpt:
        matting = by_network(Predictor.from_checkpoint(options.ckpt, options.device, options.mode))
        mattes = f"network: {options.ckpt}"
    else:
        matting, mattes = by_simulation(options.seed), "simulated: true mattes with flicker added, no network"
    seeds = range(options.seed, options.seed + options.clips)
    size = (options.height, options.width)
    means = bench(matting, seeds, options.frames, size, not options.still)
    print(f"mattes {mattes}")
    for name, row in means.items():
        left = ", ".join(f"{row[f'{key}_ratio']:.0%} of {label}" for key, label in MEASURES.items())
        print(f"{name:15} dtSSD {row['dtssd']:7.3f}  SAD {row['sad']:8.4f}  {left}, {1000 * row['seconds']:.1f} ms")
    setting = {
        "frames": options.frames,
        "size": list(size),
        "seeds": list(seeds),
        "moving_background": not options.still,
    }
    print(json.dumps(summary(means, mattes, **setting)))
