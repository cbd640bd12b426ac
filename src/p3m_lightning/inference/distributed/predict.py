"""Prediction of many photographs in several processes: Lightning's predict loop with a prediction writer."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from pytorch_lightning.plugins.environments import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.distributed import DistError

from p3m_lightning.inference import Predictor
from p3m_lightning.inference.distributed.ledger import Ledger
from p3m_lightning.inference.finder import Finder
from p3m_lightning.inference.folder import Item, Outcome, Result, Writing, predict_group, read_groups
from p3m_lightning.inference.matte import Products
from p3m_lightning.parallel import PixelsInUse
from p3m_lightning.progress import progress_bar
from p3m_lightning.schema import InputError

PATIENCE = timedelta(days=1)
"""Longest wait of processes for each other before the first photograph: one may have a million files to count."""

GRACE = 10
"""Seconds after Ctrl-C in which the other processes can finish photographs in progress."""


def make_trainer(devices: int | str, nodes: int = 1, device: str = "auto") -> Trainer:
    """Make a Trainer for several processes, which knows the rank and the device of this one.

    Args:
        devices: processes on this machine, each on a GPU of its own; any number on the CPU; "auto" is one per GPU.
        nodes: machines, each with this many.
        device: "auto" (GPUs if there are any), "cpu" or "cuda".

    Raises:
        InputError: more devices than there are, or other numbers than torchrun or srun has started.
    """
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric.strategies.launchers").setLevel(
        logging.INFO
    )  # it reports the death of a process
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\.utilities\._pytree")  # its own deprecation, not ours
    warnings.filterwarnings("ignore", message="Couldn't infer the batch indices")  # photographs have names instead
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        trainer = Trainer(
            accelerator=device,
            devices=devices,
            num_nodes=nodes,
            strategy=DDPStrategy(process_group_backend="gloo", timeout=PATIENCE),  # no tensors are exchanged
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        _environment(trainer).validate_settings(trainer.num_devices, nodes)
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise InputError(f"--devices {devices}: {error}") from error
    return trainer


def _environment(trainer: Trainer) -> ClusterEnvironment:
    """Return the environment that started the processes of a Trainer of `make_trainer`."""
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.strategy.cluster_environment is not None
    return trainer.strategy.cluster_environment


class PredictionModule(LightningModule):
    """A Predictor for Lightning's predict loop, already on the right device."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor

    def predict_step(self, group: list[Item]) -> list[Result]:
        """Predict one group of photographs."""
        return predict_group(self.predictor, group)

    def transfer_batch_to_device(self, batch: list[Item], device: torch.device, dataloader_idx: int) -> list[Item]:
        """Leave photographs on the CPU: the Predictor moves them to the device."""
        return batch


class MatteWriter(BasePredictionWriter):
    """Writes the products of the photographs of one process; the first process shows the progress of all.

    Args:
        tasks: of this process.
        products: what to write.
        workers: threads that write.
    """

    def __init__(self, tasks: Finder, products: Products, workers: int) -> None:
        super().__init__("batch")
        self.tasks = tasks
        self.workers = workers
        self.opened: Ledger | None = None
        self._writing = Writing(products, workers)
        self._bar = progress_bar()

    @property
    def pixels(self) -> PixelsInUse:
        """The pixels of the photographs being written."""
        return self._writing.pixels

    @property
    def ledger(self) -> Ledger:
        """Ledger of all processes; available from `setup` on."""
        assert self.opened is not None
        return self.opened

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Count the photographs; Lightning waits here until all processes have done so."""
        super().setup(trainer, module, stage)
        self.opened = Ledger.open()
        self.opened.expect(sum(1 for _ in self.tasks))

    def on_predict_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Show the progress bar, and let signals end the run again."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Lightning only records it, and a predict loop would continue
        if trainer.is_global_zero and self.ledger.expected:
            self._bar.add_task("predicting", total=self.ledger.expected)
            self._bar.start()
        if trainer.local_rank == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: list[Result], *_: Any, **__: Any
    ) -> None:
        """Pass the mattes of one group to the writing threads."""
        self._note(self._writing.add(prediction))

    def on_predict_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Wait for this process's threads, and in the first process for all other processes."""
        self._note(self._writing.rest())
        self._writing.close()
        while trainer.is_global_zero and self.ledger.done < self.ledger.expected:
            time.sleep(0.1)
            self._show()
        self._bar.stop()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Stop all processes: photographs in progress are finished, the others dropped."""
        self._writing.close()
        self._bar.stop()
        with suppress(DistError):
            if self.opened:
                self.opened.stop()
        until = time.monotonic() + GRACE
        launcher: Any = trainer.strategy.launcher  # the one that starts processes
        for process in launcher.procs:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, until - time.monotonic()))

    def _note(self, outcomes: Iterator[Outcome]) -> None:
        for outcome in outcomes:
            self.ledger.note(outcome)
        self._show()

    def _show(self) -> None:
        for row in self._bar.task_ids:
            self._bar.update(row, completed=self.ledger.done)


def predict_files_ddp(
    trainer: Trainer, predictor: Predictor, writer: MatteWriter, trimaps: Path | None = None, batch_size: int = 1
) -> Iterator[Outcome]:
    """Predict photographs in all processes of a Trainer; at the end, yield all failures in the first one.

    Every process calls this, including those that Lightning starts with the same command line.

    Args:
        trainer: from `make_trainer`.
        predictor: on the device of this process, `trainer.strategy.root_device`.
        writer: of this process.
        trimaps: as for `predict_files`.
        batch_size: as for `predict_files`.

    Raises:
        KeyboardInterrupt: after Ctrl-C, and after the failures so far.
    """
    lightning: Any = trainer  # its callbacks are not declared
    lightning.callbacks.append(writer)
    groups = read_groups(writer.tasks, trimaps, batch_size, writer.workers, writer.pixels)
    if not _environment(trainer).creates_processes_externally:
        # until all have started; the others inherit it: only the first handles Ctrl-C, which reaches all
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        trainer.predict(
            PredictionModule(predictor),
            takewhile(lambda _: not writer.ledger.stopped, groups),
            return_predictions=False,
        )
    except SystemExit:
        if trainer.interrupted:  # Lightning would exit with 1
            raise KeyboardInterrupt from None
        raise
    except DistError:
        if trainer.is_global_zero:
            raise
        raise InputError("the first process has died; --resume continues where it stopped") from None
    finally:
        if trainer.is_global_zero and writer.opened:
            yield from writer.opened.failures()
