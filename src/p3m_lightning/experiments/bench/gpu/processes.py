"""DDP in a single process: whether the collectives of this device work, and what they cost."""

from __future__ import annotations

import tempfile
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from p3m_lightning.experiments.bench.gpu.setting import Setting
from p3m_lightning.experiments.bench.gpu.training import Learner, on_device, wait
from p3m_lightning.experiments.bench.step import random_batch
from p3m_lightning.losses import P3MLoss
from p3m_lightning.models import create_model


def processes(setting: Setting) -> dict[str, Any]:
    """Train with and without DDP, from the same weights.

    Returns:
        `backend` (nccl on CUDA, else gloo), `sum_is_right`, `difference` of the losses (the largest, relative), and
        `seconds_ratio` of a step.
    """
    backend = "nccl" if setting.device.type == "cuda" else "gloo"
    with tempfile.TemporaryDirectory(prefix="p3m-bench-") as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        dist.init_process_group(backend, init_method=meeting, rank=0, world_size=1)
        try:
            return {"backend": backend, **_compared(setting)}
        finally:
            dist.destroy_process_group()


def _compared(setting: Setting) -> dict[str, Any]:
    summed = torch.arange(4.0, device=setting.device)
    dist.all_reduce(summed)
    torch.manual_seed(0)
    net = create_model(**setting.network).to(setting.device)
    batch = on_device(random_batch(setting.batch, setting.size), setting.device)
    losses, seconds = {}, {}
    for name in ("plain", "ddp"):
        copy = deepcopy(net)
        learner = Learner(DistributedDataParallel(copy) if name == "ddp" else copy, P3MLoss())
        found = [learner(batch)]
        wait(setting.device)
        begin = time.perf_counter()
        found += [learner(batch) for _ in range(max(2, setting.warm))]
        wait(setting.device)
        seconds[name] = time.perf_counter() - begin
        losses[name] = torch.stack(found)
    apart = ((losses["ddp"] - losses["plain"]) / losses["plain"]).abs().max()
    return {
        "sum_is_right": summed.tolist() == [0, 1, 2, 3],
        "difference": float(apart),
        "seconds_ratio": seconds["ddp"] / seconds["plain"],
    }
