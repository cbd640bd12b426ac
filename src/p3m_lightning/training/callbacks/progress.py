"""Progress of a training: Lightning's bar in a terminal, periodic lines in a log."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar

from p3m_lightning.progress import EVERY, Occasionally, spent

FETCHED_EVERY = 0.5
"""Seconds between two reads of the numbers, each of which waits for the device."""


class TrainingProgress(RichProgressBar):
    """Lightning's bar on stderr; if that is not a terminal, lines with epoch, step, loss, validation and time left.

    Args:
        every_seconds: between two lines in a log.
        bar: arguments of `RichProgressBar`.
    """

    def __init__(self, every_seconds: float = EVERY, **bar: Any) -> None:
        super().__init__(**({"console_kwargs": {"stderr": True}} | bar))
        self.lines = None if sys.stderr.isatty() else Occasionally(every_seconds)
        self._begun: tuple[float, int] | None = None
        self._fetched: tuple[float, dict[str, Any]] = (-math.inf, {})

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start the clock; a resumed training begins with steps already done."""
        super().on_train_start(trainer, module)
        self._begun = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line if one is due."""
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)
        if self.lines is not None and trainer.is_global_zero and self.lines.due():
            print(self.line(trainer, outputs, batch_idx), file=sys.stderr, flush=True)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the numbers of the bar; fetched from the device at intervals, not at every step."""
        if time.monotonic() - self._fetched[0] > FETCHED_EVERY:
            self._fetched = time.monotonic(), dict(super().get_metrics(trainer, pl_module))
        return self._fetched[1]

    def line(self, trainer: Trainer, outputs: Any, batch_idx: int) -> str:
        """Return a line about the state of the training.

        Args:
            trainer: in training.
            outputs: of the training step, whose `loss` is shown.
            batch_idx: of the last batch, within its epoch.
        """
        epochs = "" if trainer.max_epochs in (None, -1) else f"/{trainer.max_epochs}"
        parts = [f"epoch {trainer.current_epoch + 1}{epochs}", f"step {batch_idx + 1}/{trainer.num_training_batches}"]
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None:
            parts.append(f"loss {float(loss):.4g}")
        parts += [f"{key} {float(trainer.callback_metrics[key]):.4g}" for key in self._shown(trainer)]
        left = self._seconds_left(trainer)
        return ", ".join([*parts, *([f"{spent(left)} left"] if left is not None else [])])

    def _shown(self, trainer: Trainer) -> list[str]:
        """Return the scores of the last validation that fit in a line."""
        return [key for key in ("val/sad", "val/iou") if key in trainer.callback_metrics]

    def _seconds_left(self, trainer: Trainer) -> float | None:
        """Extrapolate from the steps done so far, validations included; None if there is no known end."""
        steps = trainer.estimated_stepping_batches
        if self._begun is None or steps == float("inf") or trainer.global_step <= self._begun[1]:
            return None
        seconds, before = time.monotonic() - self._begun[0], self._begun[1]
        return seconds / (trainer.global_step - before) * max(0.0, steps - trainer.global_step)
