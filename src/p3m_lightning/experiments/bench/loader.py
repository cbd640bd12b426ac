"""Benchmark of training crops of full-size portraits: from published files, from packs, and by a plain loader.

Every loader works in processes of its own, in turns. Rates per core are samples per processor time of one process that
does all the work of a loader's worker and the conversion to floats, which a GPU would do otherwise. The files are in
the page cache: the cost of a disk or a network comes on top, for all three.
"""

from __future__ import annotations

import itertools
import multiprocessing
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, default_collate

from p3m_lightning.data.datamodule import MattingDataModule, start_worker
from p3m_lightning.data.datasets import MattingDataset, SeededIndex
from p3m_lightning.data.loading.batches import as_floats, collate
from p3m_lightning.data.mixtures import MixedDataset
from p3m_lightning.data.prepare.foreground_cache import cache_foregrounds
from p3m_lightning.data.prepare.pack_folder import pack_dataset
from p3m_lightning.data.storage.layout import PACK, find_samples
from p3m_lightning.data.transforms import TrainTransform
from p3m_lightning.experiments.bench.published.loader import ROLES, ReferenceDataset
from p3m_lightning.images import write_image
from p3m_lightning.parallel import run_parallel
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic import render_portrait

HEIGHT, WIDTH = 1620, 1080
BATCH = 8
LOADERS = ("reference", "published", "packed")


class Setting(NamedTuple):
    """Data and extent of a measurement."""

    root: Path  # P3M-10k's layout, with foregrounds, backgrounds and packs
    samples: int  # per turn
    repeats: int  # turns, of which the median counts
    workers: Sequence[int]  # loader processes


def render_pairs(root: Path, count: int) -> None:
    """Render portraits of 1080 x 1620 into P3M-10k's layout, estimate their foregrounds as users do, pack them.

    The images have noise and are stored as JPEG of quality 80 to 95, like photographs.
    """
    for _ in track(run_parallel(partial(_render, root), range(count), None), "rendering portraits", count):
        pass
    cache_foregrounds(root, announce=_silent)
    pack_dataset(root, announce=_silent)


def copy_pairs(source: Path, name: str, root: Path, count: int) -> None:
    """Copy the first portraits of a data set with foregrounds into P3M-10k's layout, and pack them.

    Raises:
        InputError: wrong layout, or no foregrounds.
    """
    samples = find_samples(source, name, "train", needed=("foreground", "background"))
    folders = dict(zip(ROLES, ("blurred_image", "mask", "fg_blurred", "bg"), strict=True))
    for stem in sorted(samples)[:count]:
        for role, folder in folders.items():
            (root / "train" / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy2(samples[stem][role], root / "train" / folder / f"{stem}{samples[stem][role].suffix}")
    pack_dataset(root, announce=_silent)


def bench(setting: Setting) -> dict[str, Any]:
    """Measure all loaders.

    Returns:
        `loaders` by name: `samples_per_core_second` and `cpu_ms` of one process to a ready batch of floats, of which
        `float_ms` for the conversion to floats, `memory_bytes` beyond the program itself, `disk_bytes` per
        sample, `rates` in samples per second by number of workers; `ratios` of the first to the reference's.
    """
    steps = [(turn, loader) for turn in range(setting.repeats) for loader in LOADERS]
    turns: dict[str, list[dict[str, float]]] = {loader: [] for loader in LOADERS}
    with _processes() as pools:
        for _, loader in track(steps, "one process, in turns"):
            turns[loader].append(pools[loader].submit(_one_process, loader, setting).result())
    steps = [(workers, loader) for workers in setting.workers for loader in LOADERS]
    rates: dict[str, dict[str, float]] = {loader: {} for loader in LOADERS}
    with _processes() as pools:
        for workers, loader in track(steps, "with workers, in turns"):
            rates[loader][str(workers)] = pools[loader].submit(_with_workers, loader, setting, workers).result()
    loaders = {loader: _summary(turns[loader], rates[loader]) for loader in LOADERS}
    for loader, row in loaders.items():
        row["disk_bytes"] = _bytes_per_sample(setting.root, packed=loader == "packed")
    plain = loaders["reference"]["samples_per_core_second"]
    ratios = {loader: loaders[loader]["samples_per_core_second"] / plain for loader in LOADERS[1:]}
    return {"loaders": loaders, "ratios": ratios}


def _summary(turns: Sequence[dict[str, float]], rates: dict[str, float]) -> dict[str, Any]:
    cpu, floats = (float(np.median([turn[key] for turn in turns])) for key in ("cpu_ms", "float_ms"))
    return {
        "samples_per_core_second": 1000 / cpu,
        "cpu_ms": cpu,
        "cpu_ms_of_turns": [turn["cpu_ms"] for turn in turns],
        "float_ms": floats,
        "memory_bytes": max(turn["memory_bytes"] for turn in turns),
        "rates": rates,
    }


@contextmanager
def _processes() -> Iterator[dict[str, ProcessPoolExecutor]]:
    """Yield one process for each loader, so that none warms another's memory."""
    context = multiprocessing.get_context("spawn")
    pools = {loader: ProcessPoolExecutor(1, mp_context=context) for loader in LOADERS}
    try:
        yield pools
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def _one_process(loader: str, setting: Setting) -> dict[str, float]:
    """Make batches in this process alone and count its processor time."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    before = _peak_bytes()
    make = _reference_batches(setting) if loader == "reference" else _our_batches(setting, loader == "packed")
    next(make)  # one-time work
    times = np.array([next(make) for _ in range(-(-setting.samples // BATCH))])
    whole, floats = 1000 * times.mean(axis=0) / BATCH
    return {"cpu_ms": float(whole), "float_ms": float(floats), "memory_bytes": _peak_bytes() - before}


def _reference_batches(setting: Setting) -> Iterator[tuple[float, float]]:
    """Make a batch at a time; yield its processor time, and that of the conversion to floats (0)."""
    dataset = _reference(setting, setting.samples + BATCH)
    for first in range(0, len(dataset), BATCH):
        start = time.process_time()
        default_collate([dataset[index] for index in range(first, first + BATCH)])
        yield time.process_time() - start, 0.0


def _our_batches(setting: Setting, packed: bool) -> Iterator[tuple[float, float]]:
    """Make a batch at a time; yield its processor time, and that of the conversion to floats."""
    start_worker()
    dataset = _ours(setting, packed)
    for first in itertools.count(0, BATCH):
        start = time.process_time()
        batch = collate([dataset.maps(SeededIndex(at % len(dataset), at)) for at in range(first, first + BATCH)])
        made = time.process_time()
        assert not isinstance(batch, InputError)  # only `Guarded` returns errors
        as_floats(batch)
        end = time.process_time()
        yield end - start, end - made


def _with_workers(loader: str, setting: Setting, workers: int) -> float:
    """Return samples per second of torch's loader; batches prefetched before the clock started do not count."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores are measured on purpose
    ahead = 2 * workers
    length = (ahead + -(-setting.samples // BATCH)) * BATCH
    batches: Iterator[Any]
    if loader == "reference":
        batches = iter(DataLoader(_reference(setting, length), BATCH, shuffle=True, num_workers=workers))
    else:
        data = {"bench": _ours(setting, loader == "packed")}
        module = MattingDataModule(MixedDataset(data, length=length), batch_size=BATCH, num_workers=workers)
        module.setup("fit")
        batches = map(as_floats, module.train_dataloader())
    for _ in range(ahead):
        next(batches)
    start = time.perf_counter()
    count = sum(len(batch["image"]) for batch in batches)
    return count / (time.perf_counter() - start)


def _reference(setting: Setting, length: int) -> ReferenceDataset:
    return ReferenceDataset(find_samples(setting.root, "p3m-10k", "train", needed=ROLES[2:]), length)


def _ours(setting: Setting, packed: bool) -> MattingDataset:
    return MattingDataset(setting.root, transform=TrainTransform(), foreground="cached", packed=packed)


def _render(root: Path, index: int) -> None:
    portrait = render_portrait(index, HEIGHT)
    left = (HEIGHT - WIDTH) // 2
    columns = slice(left, left + WIDTH)  # portraits are square; a third of the width is background
    name = f"portrait_{index:03d}"
    photograph = root / "train/blurred_image" / f"{name}.jpg"
    write_image(photograph, np.ascontiguousarray(portrait.image[:, columns]), quality=portrait.quality)
    write_image(root / "train/mask" / f"{name}.png", np.ascontiguousarray(portrait.alpha[:, columns]))


def _bytes_per_sample(root: Path, packed: bool) -> float:
    samples = find_samples(root, "p3m-10k", "train", needed=ROLES[2:], wanted=[PACK])
    roles = (PACK,) if packed else ROLES
    return sum(files[role].stat().st_size for files in samples.values() for role in roles) / len(samples)


def _peak_bytes() -> int:
    if sys.platform.startswith("linux"):  # ru_maxrss starts at that of the parent, which has rendered the pairs
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _silent(line: str) -> None:
    """Announce nothing: the benchmark prints its own progress."""
