"""Moving averages of the weights, validated, saved and exported instead of the weights of the last step."""

from __future__ import annotations

import warnings
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from p3m_lightning.schema import InputError
from p3m_lightning.training.sharding import FullySharded


class MovingAverage(WeightAveraging):
    """Average weights and running statistics exponentially over the steps (Polyak and Juditsky, 1992).

    Validation, the weights in checkpoints and the test use the average; the trained weights are stored beside it as
    `current_model_state`, from which a run resumes. The first steps count for little: the decay grows as
    (1 + n) / (10 + n) with the number n of updates until it reaches `decay`.

    Args:
        decay: part of the average that one step keeps; 0.999 averages over about a thousand steps.

    Raises:
        InputError: a decay outside (0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 < decay < 1:
            raise InputError(f"callbacks.moving_average.decay={decay}: give a number between 0 and 1, such as 0.999")

        def average(averaged: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
            if self._average_model is not None:
                updates = self._average_model.n_averaged  # the same number on the host, to avoid waiting for the device
            count = int(updates)
            kept = min(decay, (1 + count) / (10 + count))
            return averaged.lerp(current, 1 - kept) if averaged.is_floating_point() else current

        super().__init__(avg_fn=average)

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Copy the initial weights of the average; a test has no average, and takes the checkpoint's weights.

        Raises:
            InputError: the network is sharded, and no process holds all of its weights.
        """
        if isinstance(trainer.strategy, FullySharded):
            raise InputError("callbacks=averaged: does not go with trainer=fsdp; use trainer=ddp or callbacks=default")
        self._device = trainer.strategy.root_device  # by default Lightning keeps the average on the CPU
        with warnings.catch_warnings():  # Lightning warns of sharding, which is refused above
            warnings.filterwarnings("ignore", message="You're using the WeightAveraging callback with a model")
            super().setup(trainer, module, stage)
        if stage != "fit":  # a test after the training would get the trained weights back from the checkpoint
            self._average_model = None
        if self._average_model is not None:
            self._average_model.n_averaged = self._average_model.n_averaged.cpu()

    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Continue a training with its trained weights and their average."""
        if self._average_model is not None:
            super().on_load_checkpoint(trainer, module, checkpoint)
