"""Ctrl-C during training: stop between two batches, with a checkpoint that a run can go on from."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class StopBetweenBatches(Callback):
    """Turn the first SIGINT into a KeyboardInterrupt at the start of the next batch; a second one strikes at once.

    Python raises KeyboardInterrupt wherever it happens to be. In a finalizer or in a call back from C++ that is
    swallowed, and in the middle of a step it leaves a checkpoint between two states. Of several processes all stop at
    the same batch, so that none waits for another.
    """

    def __init__(self) -> None:
        self.asked = False
        self.previous: Any = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Take the signal over, in the main thread, where alone that is possible."""
        if threading.current_thread() is threading.main_thread() and self.previous is None:
            self.asked, self.previous = False, signal.signal(signal.SIGINT, self._ask)

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        """Stop if any process was asked to."""
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            raise KeyboardInterrupt

    def on_validation_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, index: int, which: int = 0
    ) -> None:
        """Stop here too where there is one process; several may differ in their number of batches."""
        if self.asked and trainer.world_size == 1:
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Give the signal back; what came after the last batch strikes now."""
        self._give_back()
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            raise KeyboardInterrupt

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Give the signal back."""
        self._give_back()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        sys.__stderr__.write("p3m: stopping after this batch; Ctrl-C again stops at once\n")

    def _give_back(self) -> None:
        if self.previous is not None:
            signal.signal(signal.SIGINT, self.previous)
            self.previous = None
