"""Signals during training: stop between two batches, with a checkpoint to resume from."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

SIGNALS = ("SIGINT", "SIGHUP", "SIGUSR1")
"""Ctrl-C, a closed terminal, and the warning of many clusters; Lightning itself handles SIGTERM."""


class Stopped(KeyboardInterrupt):
    """An interrupt by a signal, with its number."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


class StopBetweenBatches(Callback):
    """Turn the first signal into a KeyboardInterrupt at the start of the next batch; a second one takes effect at once.

    Python raises KeyboardInterrupt at an arbitrary point. In a finalizer or a callback from C++ it is swallowed, and in
    the middle of a step it leads to a checkpoint between two states. Several processes all stop at the same batch, so
    that none waits for another.
    """

    def __init__(self) -> None:
        self.asked = False
        self.number = int(signal.SIGINT)  # of the received signal
        self.previous: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Install the signal handlers, if this is the main thread, where alone that is possible.

        Signals that the process ignores, as under nohup, stay ignored; SIGUSR1 under SLURM is left to Lightning, which
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
        """Return the exception to raise for the signal that stopped the training."""
        return Stopped(self.number)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        """Stop if any process received a signal."""
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            raise self.reason()

    def on_validation_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, index: int, which: int = 0
    ) -> None:
        """Stop here too with a single process; several may differ in their number of batches."""
        if self.asked and trainer.world_size == 1:
            raise self.reason()

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Restore the signal handlers; raise a signal that came after the last batch."""
        self._give_back()
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            raise self.reason()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Restore the signal handlers."""
        self._give_back()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise self.reason()
        self.asked, self.number = True, number
        if sys.__stderr__ is not None:  # None in a process without a terminal on Windows
            sys.__stderr__.write("p3m: stopping after this batch; Ctrl-C again stops at once\n")

    def _give_back(self) -> None:
        while self.previous:
            signal.signal(*self.previous.popitem())
