"""Adaptation of MODNet to images without mattes (Ke et al., AAAI 2022: sub-objectives consistency, SOC)."""

from __future__ import annotations

import copy

import torch
from pytorch_lightning import LightningModule, Trainer

from p3m_lightning.schema import InputError, Sample
from p3m_lightning.training.callbacks.base import RunCallback
from p3m_lightning.training.finetuning.frozen_statistics import freeze_statistics
from p3m_lightning.training.module import MattingModule


class KeepBefore(RunCallback):
    """Add the output of the network before the adaptation to every training batch, as `before`.

    The copy is made before a resumed run restores its weights, so it is the same in every part of a run.
    Normalization layers keep their statistics, as in the authors' code.

    Raises:
        InputError: at the start, if the run does not start from a trained network.
    """

    replaces_mattes = True

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Copy the network."""
        adapted = MattingModule.of(module)
        if not adapted.config.get("init_from"):
            raise InputError("init_from: there is nothing to adapt without a trained network; give a checkpoint of one")
        if stage == "fit":
            self.net = copy.deepcopy(adapted.net).eval().requires_grad_(False)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Sample, index: int) -> None:
        """Run the copy on the batch."""
        freeze_statistics(MattingModule.of(module).net)
        with torch.no_grad():
            batch["before"] = self.net.to(batch["image"].device)(batch["image"])
