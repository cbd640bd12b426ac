"""A run as a trial of an Optuna study: its reports after every validation, and its pruning."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from p3m_lightning.records.study import TRIAL, open_study, open_trial


class PrunedError(Exception):
    """The study has stopped this run, since others did better at the same point."""


class TrialReport(Callback):
    """Report the score of the best checkpoint to the study named by the environment, after every validation.

    If the study's pruner decides to stop the run, the trial is closed as pruned and the run ends with `PrunedError`.
    A run whose sweep has been killed interrupts itself.
    """

    def __init__(self) -> None:
        self.address: dict[str, Any] = json.loads(os.environ[TRIAL])
        self.parent: int | None = os.getppid()

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        """Stop as on Ctrl-C if the process that started this one has ended."""
        if self.parent and os.getppid() != self.parent:
            self.parent = None
            os.kill(os.getpid(), signal.SIGINT)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Report once per epoch; all processes stop if the first one is told to."""
        monitor = _monitor(trainer)
        value = trainer.callback_metrics.get(monitor) if monitor else None
        if trainer.sanity_checking or value is None:
            return
        stopped = self._report(float(value), trainer.current_epoch + 1) if trainer.is_global_zero else None
        stopped = trainer.strategy.broadcast(stopped)
        if stopped:
            raise PrunedError(stopped)

    def _report(self, value: float, epoch: int) -> str | None:
        from optuna.trial import TrialState

        study = open_study(**self.address["study"])
        trial = open_trial(study, self.address["number"])
        if epoch in study.trials[trial.number].intermediate_values:  # a resumed run can repeat an epoch
            return None
        trial.report(value, epoch)
        if not trial.should_prune():
            return None
        study.tell(trial, state=TrialState.PRUNED)
        return f"{value:.4g} after epoch {epoch}"


def _monitor(trainer: Trainer) -> str | None:
    watched = (getattr(callback, "monitor", None) for callback in trainer.checkpoint_callbacks)
    return next((name for name in watched if name), None)
