"""Benchmark of growth: photographs of a quarter of a megapixel to forty, batches of one image to many, the floor.

Seconds and memory of both; then loader workers and processes, see `limits.workers`.
"""

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
from p3m_lightning.experiments.bench.limits.workers import loader_workers, predicting_processes
from p3m_lightning.experiments.bench.peak_memory import PeakMemory
from p3m_lightning.experiments.bench.photo import Way, ours, peak_of
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
    workers: Sequence[int] = (),
    processes: Sequence[int] = (),
) -> dict[str, Any]:
    """Measure on one thread, in torch.

    Args:
        megapixels: of photographs, for the network in the box, from file to file.
        batches: numbers of crops in a forward pass and in a training step.
        size: side of a crop.
        repeats: turns.
        folder: for files.
        networks: for the batches.
        workers: numbers of loader workers; 0 loads in the process itself.
        processes: numbers of processes that predict together.

    Returns:
        `photographs`: `mode`, `megapixels`, `cpu_seconds`, `wall_seconds`, and `peak_bytes` beyond a process with its
        network. `batches`: `network`, `work`, `images`, seconds, `peak_bytes` of tensors, `floor` and `times_floor`.
        `ceilings`, `workers` and `processes`: see there.
    """
    torch.set_num_threads(1)
    found = ceilings(torch.device("cpu"))
    return {
        "size": size,
        "threads": 1,
        "ceilings": found,
        "photographs": photographs(megapixels, repeats, folder),
        "batches": batch_rows(networks, batches, size, repeats, found),
        "workers": loader_workers(workers, folder),
        "processes": predicting_processes(processes, folder),
    }


def photographs(megapixels: Sequence[float], repeats: int, folder: Path) -> list[dict[str, Any]]:
    """Measure photographs of many sizes, from file to file."""
    portrait = render_portrait(3, RENDERED).image
    predicting = {mode: make_predicting(mode) for mode in MODES}
    rows = []
    for count in track(sorted(megapixels), "photographs", len(megapixels)):
        height = round((1e6 * count * ASPECT) ** 0.5)
        photograph = folder / f"{count}.jpg"
        write_image(photograph, cv2.resize(portrait, (round(height / ASPECT), height)), quality=90)
        for mode, predict in predicting.items():
            files = photograph, folder / "matte.png"
            row = measured(partial(predict, *files), repeats)
            row["peak_bytes"] = peak_of(partial(make_predicting, mode), *files)
            rows.append({"mode": mode, "megapixels": count, **row})
    return rows


def make_predicting(mode: str) -> Way:
    """Load the network in the box, for photographs in their own size."""
    return partial(ours, Predictor(device="cpu", mode=mode, engine="torch", max_short_side=None))


def batch_rows(
    networks: Sequence[str], batches: Sequence[int], size: int, repeats: int, found: dict[str, Any]
) -> list[dict[str, Any]]:
    """Measure forward passes and training steps of many sizes, with their lower bounds."""
    rows = []
    steps = [(network, count) for network in networks for count in batches]
    for network, count in track(steps, "batches", len(steps)):
        for work, run in works(build(network), count, size).items():
            row, floor = measured(run, repeats), floor_of(run, found)
            row["peak_bytes"] = peak_of_tensors(run)
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


def peak_of_tensors(work: Callable[[], Any]) -> int:
    """Return the most bytes of tensors that `work` holds at once."""
    with PeakMemory() as memory:
        work()
    return memory.peak


def measured(work: Callable[[], Any], repeats: int) -> dict[str, Any]:
    """Do the same work several times, after once without the clock.

    Returns:
        `cpu_seconds`, the smallest, and `wall_seconds`, the median.
    """
    row = alternate({"": work}, repeats)[0][""]
    return {key: row[key] for key in ("cpu_seconds", "wall_seconds")}
