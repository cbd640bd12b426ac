"""Metrics as rows of a CSV file that a resumed run continues without duplicates."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from p3m_lightning.files import atomic_path, unwritable


class _AppendingWriter(ExperimentWriter):
    """A writer that appends to the metrics of a resumed run, which Lightning's deletes."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as file:
                self.metrics_keys = file.readline().strip().split(",")

    def save(self) -> None:
        """Write the metrics; the hyperparameters are in the run folder's config.yaml already.

        Raises:
            InputError: the file cannot be written.
        """
        try:
            super(ExperimentWriter, self).save()
        except OSError as error:
            raise unwritable(self.metrics_file_path, error) from error

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self.rewrite(fieldnames, lambda row: True)

    def rewrite(self, columns: list[str], keep: Callable[[dict[str, str]], bool]) -> None:
        """Rewrite the file atomically, with these columns and the rows to keep."""
        with open(self.metrics_file_path, newline="", encoding="utf-8", errors="replace") as file:
            whole = (line for line in file if "\0" not in line)  # a power cut can leave zeros at the end
            rows = [row for row in csv.DictReader(whole) if keep(row)]
        with atomic_path(self.metrics_file_path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")  # a damaged line of names has others
            writer.writeheader()
            writer.writerows(rows)


class RunCSVLogger(CSVLogger):
    """Write `metrics.csv` into the run folder, and append to it when the run is resumed."""

    def __init__(self, folder: str | Path, flush_logs_every_n_steps: int = 50) -> None:
        super().__init__(folder, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)

    @property
    def experiment(self) -> _AppendingWriter:
        """Return the writer, created at first use."""
        if not isinstance(self._experiment, _AppendingWriter):
            self._experiment = _AppendingWriter(log_dir=self.log_dir)
        return self._experiment

    def forget_from(self, step: int) -> None:
        """Drop the rows from `step` on, and an incomplete last one; a run resumed there repeats them."""

        def keep(row: dict[str, str]) -> bool:
            number = row.get("step", "")
            return None not in row and None not in row.values() and number.isdecimal() and int(number) < step

        if Path(self.experiment.metrics_file_path).is_file():
            self.experiment.rewrite(self.experiment.metrics_keys, keep)


class ForgetRepeatedRows(Callback):
    """Callback that drops the rows of `metrics.csv` after the checkpoint that a run resumes from."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Drop the rows."""
        self._forget(trainer)

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Drop the rows of an earlier test: a run killed there has nothing left to train, and is tested again."""
        self._forget(trainer)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the rows of the end of the last epoch, whose checkpoint is on the disk already."""
        for logger in trainer.loggers:
            if isinstance(logger, RunCSVLogger):
                logger.save()

    def _forget(self, trainer: Trainer) -> None:
        if trainer.lightning_module.automatic_optimization:
            step = trainer.global_step
        else:  # global_step counts the steps of each optimizer, rows count batches
            step = trainer.fit_loop.epoch_loop._batches_that_stepped
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, RunCSVLogger):
                logger.forget_from(step)
