"""Division of the cores of a machine between threads that compute and processes that load."""

from __future__ import annotations

import logging
import os
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from p3m_lightning.parallel import available_cores

log = logging.getLogger(__name__)


class Share(NamedTuple):
    """Cores of one training process."""

    threads: int  # of the process itself
    workers: int  # processes that load for it


def divide(cores: int, on_cpu: bool, workers: int | None = None, threads: int | None = None) -> Share:
    """Divide cores between threads and loaders, except for given numbers.

    A network on the CPU gets nearly all cores; with a GPU, the loaders get nearly all.

    Args:
        cores: for this process and its loaders.
        on_cpu: whether the network runs on them.
        workers: requested number; None to choose it.
        threads: likewise.

    Example:
        >>> divide(16, on_cpu=True), divide(16, on_cpu=False)
        (Share(threads=12, workers=4), Share(threads=2, workers=14))
    """
    if threads is None and workers is None:
        workers = cores // 4 if on_cpu else cores - max(1, cores // 8)
    if workers is None:
        assert threads is not None, "one of them is known by now"
        free = max(0, cores - threads)
        workers = min(free, threads) if on_cpu else free
    return Share(max(1, cores - workers) if threads is None else threads, workers)


class ShareCores(Callback):
    """Set the threads of a training and the number of loaders if it is `auto`, and report both.

    Several processes of one machine share its cores evenly. OMP_NUM_THREADS and `data.num_workers` are respected.
    """

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Divide the cores."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # Lightning attaches it without declaring it
        cores, processes = available_cores(), max(1, trainer.num_devices)
        given = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(given) if given.isdecimal() and int(given) else None
        asked = getattr(data, "num_workers", 0)
        on_cpu = trainer.strategy.root_device.type == "cpu"
        share = divide(max(1, cores // processes), on_cpu, None if asked == "auto" else int(asked), threads)
        if threads is None:
            torch.set_num_threads(share.threads)
        if asked == "auto":
            data.num_workers = share.workers
        if stage == "fit" and trainer.is_global_zero:
            log.info(stated(cores, processes, share))


def stated(cores: int, processes: int, share: Share) -> str:
    """Return a line about threads and loaders.

    Example:
        >>> stated(16, 2, Share(6, 2))
        '16 cores: 2 processes, each with 6 threads that compute and 2 loaders'
        >>> stated(2, 1, Share(2, 4))
        '2 cores: 2 threads that compute and 4 loaders, more than there are cores; see data.num_workers'
    """
    computing = f"{_count(share.threads, 'thread')} that compute{'s' * (share.threads == 1)}"
    each = f"{computing} and {_count(share.workers, 'loader')}"
    begin = f"{processes} processes, each with " if processes > 1 else ""
    over = ", more than there are cores; see data.num_workers" if processes * sum(share) > cores else ""
    return f"{_count(cores, 'core')}: {begin}{each}{over}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
