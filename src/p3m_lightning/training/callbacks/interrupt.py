"""Signals during training: stop between two batches, with a checkpoint that a run can go on from."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

SIGNALS = ("SIGINT", "SIGHUP", "SIGUSR1")
"""Ctrl-C, a terminal that was closed, and the warning of many clusters; Lightning itself answers SIGTERM."""


class Stopped(KeyboardInterrupt):
    """An interrupt by a signal, whose number it carries."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


class StopBetweenBatches(Callback):
    """Turn the first signal into a KeyboardInterrupt at the start of the next batch; a second one strikes at once.

    Python raises KeyboardInterrupt wherever it happens to be. In a finalizer or in a call back from C++ that is
    swallowed, and in the middle of a step it leaves a checkpoint between two states. Of several processes all stop at
    the same batch, so that none waits for another.
    """

    def __init__(self) -> None:
        self.asked = False
        self.number = int(signal.SIGINT)  # of the signal that asked
        self.previous: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the signals over, in the main thread, where alone that is possible.

        One that the process was told to ignore, as by nohup, stays ignored; SIGUSR1 under SLURM is Lightning's, which
        saves and requeues.
        """
        if threading.current_thread() is not threading.main_thread() or self.previous:
            return
        self.asked = False
        for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
            left = number == getattr(signal, "SIGUSR1", None) and "SLURM_JOB_ID" in os.environ
            if not left and signal.getsignal(number) is not signal.SIG_IGN:
                self.previous[number] = signal.signal(number, self._ask)

    def reason(self) -> Stopped:
        """Return what stopped the training, to be raised."""
        return Stopped(self.number)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        """Stop if any process was asked to."""
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            raise self.reason()

    def on_validation_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, index: int, which: int = 0
    ) -> None:
        """Stop here too where there is one process; several may differ in their number of batches."""
        if self.asked and trainer.world_size == 1:
            raise self.reason()

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Give the signal back; what came after the last batch strikes now."""
        self._give_back()
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            raise self.reason()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Give the signal back."""
        self._give_back()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise self.reason()
        self.asked, self.number = True, number
        if sys.__stderr__ is not None:  # as in a process without a terminal on Windows
            sys.__stderr__.write("p3m: stopping after this batch; Ctrl-C again stops at once\n")

    def _give_back(self) -> None:
        while self.previous:
            signal.signal(*self.previous.popitem())
