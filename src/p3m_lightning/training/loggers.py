"""Loggers: one CSV file in the run folder, and W&B that never asks."""

from __future__ import annotations

import netrc
import os
import secrets
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter


class _AppendingWriter(ExperimentWriter):
    """Lightning's writer deletes the metrics of the run that is being resumed; this one goes on."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open() as file:
                self.metrics_keys = file.readline().strip().split(",")

    def save(self) -> None:
        """Write the metrics; the hyperparameters are in the run folder's config.yaml already."""
        super(ExperimentWriter, self).save()


class RunCSVLogger(CSVLogger):
    """Write `metrics.csv` into the run folder, and append to it when the run is resumed."""

    def __init__(self, folder: str | Path, flush_logs_every_n_steps: int = 50) -> None:
        super().__init__(folder, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)

    @property
    def experiment(self) -> ExperimentWriter:
        """Return the writer, made at first use."""
        if self._experiment is None:
            self._experiment = _AppendingWriter(log_dir=self.log_dir)
        return self._experiment


def wandb_logger(folder: str | Path, project: str = "p3m_lightning", **settings: Any) -> WandbLogger:
    """Make a W&B logger that goes online only where credentials are at hand, and otherwise writes offline.

    Args:
        folder: the run folder; the run's id is kept there, so that a resumed run goes on under the same id.
        project: name of the W&B project.
        settings: for `wandb.init`, as `group`, `tags`, `name`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    id_file = folder / "wandb_id.txt"
    run_id = id_file.read_text().strip() if id_file.is_file() else secrets.token_hex(4)
    id_file.write_text(run_id + "\n")
    return WandbLogger(
        save_dir=folder, id=run_id, resume="allow", project=project, offline=not has_wandb_credentials(), **settings
    )


def has_wandb_credentials() -> bool:
    """Return whether W&B could log in without asking: an API key in the environment or in netrc."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False
