"""Growth of cost with the workers of a loader and with the processes that predict together.

Processor seconds and memory are those of all processes together: what two take beyond one is what sharing costs. Rates
grow as far as there are cores; how many this process may use is told with them.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.loading.batches import as_floats
from p3m_lightning.data.mixtures import MixedDataset
from p3m_lightning.data.transforms import TrainTransform
from p3m_lightning.experiments.bench.loader import BATCH, render_pairs
from p3m_lightning.images import write_image
from p3m_lightning.parallel import available_cores
from p3m_lightning.progress import track
from p3m_lightning.synthetic import render_portrait

PAIRS = 4
CROPS = 160
PHOTOGRAPHS = 16
SIDE = 1024
"""Pixels a side of the photographs that processes share."""

PAUSE = 0.1
"""Seconds between two looks at the memory of processes."""


def loader_workers(counts: Sequence[int], folder: Path) -> list[dict[str, Any]]:
    """Load training crops from packs with each number of workers, 0 for none, their start included.

    Returns:
        `workers`, `images`, `cpu_seconds` and `wall_seconds` of all, `memory_bytes`, the most of loader and workers
        together, `cores`.
    """
    if not counts:
        return []
    render_pairs(folder / "pairs", PAIRS)
    rows = []
    for count in track(counts, "workers", len(counts)):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            rows.append({"workers": count, **pool.submit(_load, folder / "pairs", count).result()})
    return rows


def _load(root: Path, workers: int, crops: int = CROPS) -> dict[str, Any]:
    torch.set_num_threads(1)
    dataset = MattingDataset(root, transform=TrainTransform(), foreground="cached", packed=True)
    mixed = MixedDataset({"packs": dataset}, length=crops)
    module = MattingDataModule(mixed, batch_size=BATCH, num_workers=workers, holdout=0)
    module.setup("fit")
    images, memory = 0, 0
    begin, spent = time.perf_counter(), _cpu_seconds()
    for batch in map(as_floats, module.train_dataloader()):
        images += len(batch["image"])
        memory = max(memory, _memory(os.getpid()))
    return {
        "images": images,
        "cpu_seconds": _cpu_seconds() - spent,  # the workers ended with the last batch: theirs is in it
        "wall_seconds": time.perf_counter() - begin,
        "memory_bytes": memory or None,
        "cores": available_cores(),
    }


def predicting_processes(counts: Sequence[int], folder: Path) -> list[dict[str, Any]]:
    """Predict the same photographs by `p3m predict --devices N`, start included.

    Returns:
        `processes`, `images`, `cpu_seconds` and `wall_seconds` of all, `memory_bytes`, their common peak, `cores`.
    """
    if not counts:
        return []
    photograph = render_portrait(3, SIDE).image
    for number in range(PHOTOGRAPHS):
        write_image(folder / f"shared/{number}.jpg", photograph, quality=90)
    return [
        {"processes": count, "images": PHOTOGRAPHS, **_predict(folder / "shared", folder / f"mattes_{count}", count)}
        for count in track(counts, "processes", len(counts))
    ]


def _predict(photographs: Path, mattes: Path, processes: int) -> dict[str, Any]:
    keys = ("--device", "cpu", "--engine", "torch", "--devices", str(processes))
    command = [sys.executable, "-m", "p3m_lightning", "predict", str(photographs), "-o", str(mattes), *keys]
    begin, spent, peak = time.perf_counter(), _cpu_seconds(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None:
            peak = max(peak, _memory(running.pid))
            time.sleep(PAUSE)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    return {
        "cpu_seconds": _cpu_seconds() - spent,
        "wall_seconds": time.perf_counter() - begin,
        "memory_bytes": peak or None,
        "cores": available_cores(),
    }


def _cpu_seconds() -> float:
    """Return the processor time of this process and of those children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _memory(process: int) -> int:
    """Return the bytes of a process and its descendants, shared pages divided among them; 0 off Linux."""
    try:
        own = Path(f"/proc/{process}/smaps_rollup").read_text().split("Pss:")[1].split()[0]
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (OSError, IndexError):  # another system, or it has just ended
        return 0
    return 1024 * int(own) + sum(_memory(int(child)) for child in children)
