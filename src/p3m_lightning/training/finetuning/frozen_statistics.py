"""Running statistics that a fine-tuning does not change."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from p3m_lightning.training.module import MattingModule

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d)


class FrozenStatistics(Callback):
    """Keep the running means and variances of normalization layers: a few images would replace those of thousands.

    Scale and shift of the layers are still trained. Their outputs no longer depend on the rest of the batch, so batches
    may be small.
    """

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        """Put the layers into evaluation mode, which Lightning undoes after every validation."""
        freeze_statistics(MattingModule.of(module).net)


def freeze_statistics(net: nn.Module) -> None:
    """Put the normalization layers of a network into evaluation mode."""
    for part in net.modules():
        if isinstance(part, NORMS):
            part.eval()
