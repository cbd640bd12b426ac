"""Training from packs, and the share of the time in which the device computes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.loading.batches import as_floats
from p3m_lightning.data.mixtures import MixedDataset
from p3m_lightning.data.transforms import TrainTransform, UnknownBandCrop
from p3m_lightning.experiments.bench.gpu.setting import Setting
from p3m_lightning.experiments.bench.gpu.training import Learner, on_device, wait
from p3m_lightning.experiments.bench.loader import render_pairs
from p3m_lightning.losses import P3MLoss
from p3m_lightning.models import create_model


class _Span(NamedTuple):
    """Begin and end of a step on a GPU's own clock."""

    begin: torch.cuda.Event
    end: torch.cuda.Event


def loading(setting: Setting) -> dict[str, Any]:
    """Train from packs of rendered portraits of 1080 x 1620.

    Returns:
        `images_per_second`; `busy`: the share of the time in which the device computes steps, by its own clock on CUDA;
        `workers`.
    """
    with tempfile.TemporaryDirectory(prefix="p3m-bench-") as folder:
        root = Path(folder)
        render_pairs(root, setting.pairs)
        return from_packs(root, setting)


def from_packs(root: Path, setting: Setting) -> dict[str, Any]:
    """Train from a folder of packs; return the same as `loading`."""
    torch.manual_seed(0)
    net = create_model(**setting.network).to(setting.device).to(memory_format=torch.channels_last)
    learner = Learner(net, P3MLoss(), "bf16", fused=True)
    ahead = 2 * setting.workers  # batches that loaders make in advance, which do not count
    transform = TrainTransform(UnknownBandCrop(size=setting.size))
    dataset = MattingDataset(root, transform=transform, foreground="cached", packed=True)
    length = (ahead + setting.loaded) * setting.batch
    data = MattingDataModule(
        MixedDataset({"packs": dataset}, length=length),
        batch_size=setting.batch,
        num_workers=setting.workers,
        holdout=0,
    )
    data.setup("fit")
    clock, seconds, done = _Clock(setting.device), 0.0, 0
    begin = time.perf_counter()
    for number, batch in enumerate(data.train_dataloader()):
        if number == ahead:
            wait(setting.device)
            clock, begin = _Clock(setting.device), time.perf_counter()
        with clock:
            learner(as_floats(on_device(data.on_before_batch_transfer(batch, 0), setting.device)))
        done = number + 1 - ahead
    wait(setting.device)
    seconds = time.perf_counter() - begin
    return {
        "images_per_second": done * setting.batch / seconds,
        "busy": min(1.0, clock.seconds() / seconds),
        "workers": setting.workers,
    }


class _Clock:
    """Sum of the device's time for the work inside `with`."""

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self.spans: list[_Span] = []
        self.spent, self.began = 0.0, 0.0

    def __enter__(self) -> None:
        if self.on_gpu:
            self.spans.append(_Span(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
            self.spans[-1].begin.record()
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.spent += time.perf_counter() - self.began
        if self.on_gpu:
            self.spans[-1].end.record()

    def seconds(self) -> float:
        """Return the sum in seconds; wait for the GPU first."""
        if not self.on_gpu:
            return self.spent
        return sum(span.begin.elapsed_time(span.end) for span in self.spans) / 1000
