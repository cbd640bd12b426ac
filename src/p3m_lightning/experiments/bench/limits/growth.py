"""Benchmark of scaling: photographs from a quarter of a megapixel to forty, batches of one image to many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from p3m_lightning.experiments.bench.limits.ceilings import ceilings
from p3m_lightning.experiments.bench.limits.floor import floor_of
from p3m_lightning.experiments.bench.photo import ours
from p3m_lightning.experiments.bench.step import build, make_step, random_batch
from p3m_lightning.experiments.bench.timing import alternate
from p3m_lightning.images import write_image
from p3m_lightning.inference import Predictor
from p3m_lightning.inference.engines.optimize import optimize_for_inference
from p3m_lightning.inference.engines.torch_engine import TorchEngine
from p3m_lightning.losses import P3MLoss
from p3m_lightning.progress import track
from p3m_lightning.synthetic import render_portrait

MODES = ("resize", "tiled")
NETWORKS = ("box", "p3mnet_r34")
ASPECT = 1.5
RENDERED = 1080
"""Side of the portrait that photographs of all sizes are enlarged from; the time does not depend on it."""


def bench(
    megapixels: Sequence[float],
    batches: Sequence[int],
    size: int,
    repeats: int,
    folder: Path,
    networks: Sequence[str] = NETWORKS,
) -> dict[str, Any]:
    """Measure on one thread, in torch.

    Args:
        megapixels: of photographs, for the network in the box, from file to file.
        batches: numbers of crops in a forward pass and in a training step.
        size: side of a crop.
        repeats: turns.
        folder: for files.
        networks: for the batches.

    Returns:
        `photographs`: `mode`, `megapixels`, `cpu_seconds` and `wall_seconds`. `batches`: `network`, `work`, `images`,
        the same, `floor` and `times_floor`. `ceilings`: see there.
    """
    torch.set_num_threads(1)
    found = ceilings(torch.device("cpu"))
    return {
        "size": size,
        "threads": 1,
        "ceilings": found,
        "photographs": photographs(megapixels, repeats, folder),
        "batches": batch_rows(networks, batches, size, repeats, found),
    }


def photographs(megapixels: Sequence[float], repeats: int, folder: Path) -> list[dict[str, Any]]:
    """Measure photographs of many sizes, from file to file."""
    portrait = render_portrait(3, RENDERED).image
    predictors = {mode: Predictor(device="cpu", mode=mode, engine="torch", max_short_side=None) for mode in MODES}
    rows = []
    for count in track(sorted(megapixels), "photographs", len(megapixels)):
        height = round((1e6 * count * ASPECT) ** 0.5)
        photograph = folder / f"{count}.jpg"
        write_image(photograph, cv2.resize(portrait, (round(height / ASPECT), height)), quality=90)
        for mode, predictor in predictors.items():
            work = partial(ours, predictor, photograph, folder / "matte.png")
            rows.append({"mode": mode, "megapixels": count, **measured(work, repeats)})
    return rows


def batch_rows(
    networks: Sequence[str], batches: Sequence[int], size: int, repeats: int, found: dict[str, Any]
) -> list[dict[str, Any]]:
    """Measure forward passes and training steps of many sizes, with their lower bounds."""
    rows = []
    steps = [(network, count) for network in networks for count in batches]
    for network, count in track(steps, "batches", len(steps)):
        for work, run in works(build(network), count, size).items():
            row, floor = measured(run, repeats), floor_of(run, found)
            times = {"floor": floor, "times_floor": row["cpu_seconds"] / floor["seconds"]}
            rows.append({"network": network, "work": work, "images": count, **row, **times})
    return rows


def works(net: nn.Module, count: int, size: int) -> dict[str, Callable[[], Any]]:
    """Return a forward pass and a training step on a random batch."""
    batch = random_batch(count, size)
    engine = TorchEngine(optimize_for_inference(net))

    def forward() -> Any:
        with torch.no_grad():
            return engine.run(batch["image"])

    net = net.to(memory_format=torch.channels_last)
    return {"forward": forward, "training step": make_step(net, P3MLoss(), batch, fused=True)}


def measured(work: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Repeat the same work, after one untimed run.

    Returns:
        `cpu_seconds`, the smallest, and `wall_seconds`, the median.
    """
    row = alternate({"": work}, repeats)[0][""]
    return {key: row[key] for key in ("cpu_seconds", "wall_seconds")}
