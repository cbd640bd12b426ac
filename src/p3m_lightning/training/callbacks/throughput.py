"""Images per second and peak memory of every epoch."""

from __future__ import annotations

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from p3m_lightning.schema import Sample


class Throughput(Callback):
    """Log training images per second, including data loading but not validation; on CUDA also the peak memory."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock of an epoch that is resumed in the middle, and so has no start."""
        self.on_train_epoch_start(trainer, module)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock."""
        self.images, self.seconds, self.last = 0, 0.0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Sample, index: int
    ) -> None:
        """Count the images of all processes."""
        now = time.perf_counter()
        self.images += len(batch["name"]) * trainer.world_size
        self.seconds += now - self.last
        self.last = now

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Restart the clock after a validation inside the epoch."""
        self.last = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the epoch's rate."""
        if self.seconds:
            module.log("train/images_per_second", self.images / self.seconds, sync_dist=True)
        if module.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(module.device) / 2**20
            module.log("train/peak_memory_mib", peak, sync_dist=True)
