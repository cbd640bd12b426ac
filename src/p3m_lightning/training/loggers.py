"""Loggers: one CSV file in the run folder, and W&B that never asks."""

from __future__ import annotations

import csv
import netrc
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from p3m_lightning.files import atomic_path
from p3m_lightning.metrics.report import keys_of
from p3m_lightning.schema import InputError


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

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self.rewrite(fieldnames, lambda row: True)

    def rewrite(self, columns: list[str], keep: Callable[[dict[str, str]], bool]) -> None:
        """Write the file again, the whole of it or nothing, with these columns and the rows that are to be kept."""
        with open(self.metrics_file_path, newline="") as file:
            rows = [row for row in csv.DictReader(file) if keep(row)]
        with atomic_path(self.metrics_file_path) as aside, aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)


class RunCSVLogger(CSVLogger):
    """Write `metrics.csv` into the run folder, and append to it when the run is resumed."""

    def __init__(self, folder: str | Path, flush_logs_every_n_steps: int = 50) -> None:
        super().__init__(folder, name="", version="", flush_logs_every_n_steps=flush_logs_every_n_steps)

    @property
    def experiment(self) -> _AppendingWriter:
        """Return the writer, made at first use."""
        if not isinstance(self._experiment, _AppendingWriter):
            self._experiment = _AppendingWriter(log_dir=self.log_dir)
        return self._experiment

    def forget_from(self, step: int) -> None:
        """Drop the rows from `step` on, and a last one that a kill cut: a run that goes on from there repeats them."""

        def keep(row: dict[str, str]) -> bool:
            return None not in row.values() and row["step"].isdecimal() and int(row["step"]) < step

        if Path(self.experiment.metrics_file_path).is_file():
            self.experiment.rewrite(self.experiment.metrics_keys, keep)


class ForgetRepeatedRows(Callback):
    """Callback that drops the rows of `metrics.csv` behind the checkpoint a run resumes from, which it logs again."""

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Drop the rows."""
        for logger in trainer.loggers if trainer.is_global_zero else ():
            if isinstance(logger, RunCSVLogger):
                logger.forget_from(trainer.global_step)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Write what the end of the last epoch logged: its checkpoint is on the disk already."""
        for logger in trainer.loggers:
            if isinstance(logger, RunCSVLogger):
                logger.save()


def require(package: str, logger: str) -> None:
    """Raise InputError where the package of a logger is not installed."""
    if find_spec(package) is None:
        raise InputError(f"logger={logger}: needs {package}; pip install 'p3m_lightning[{logger}]'")


class RunTensorBoardLogger(TensorBoardLogger):
    """Write events for TensorBoard into the run folder.

    Args:
        folder: the run folder; the events go to `tensorboard/` in it.
        settings: more for Lightning's `TensorBoardLogger`.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path, **settings: Any) -> None:
        require("tensorboard", "tensorboard")
        super().__init__(folder, name="", version="tensorboard", **settings)


class RunMLFlowLogger(MLFlowLogger):
    """Log a run to MLflow: to a server where one is named, else to a database in the run folder.

    Args:
        folder: the run folder, whose name the run takes; its id is kept there, so that a resumed run goes on under it.
        experiment_name: of MLflow.
        tracking_uri: of a server or a database; None for that of the environment (MLFLOW_TRACKING_URI).
        tags: of the run.
        settings: more for Lightning's `MLFlowLogger`.

    Raises:
        InputError: MLflow is not installed.
    """

    def __init__(
        self,
        folder: str | Path,
        experiment_name: str = "p3m_lightning",
        tracking_uri: str | None = None,
        tags: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        require("mlflow", "mlflow")
        folder = Path(folder).absolute()
        where = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        self._kept = folder / "mlflow_id.txt"
        super().__init__(
            experiment_name=experiment_name,
            run_name=folder.name,
            tracking_uri=where,
            tags=dict.fromkeys(tags, "true"),
            artifact_location=str(folder / "mlflow"),
            run_id=self._kept.read_text().strip() if self._kept.is_file() else None,
            **settings,
        )

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Return MLflow's client; the run is made at first use."""
        client = super().experiment
        if not self._kept.is_file():
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            self._kept.write_text(f"{self._run_id}\n")
        return client


class RunWandbLogger(WandbLogger):
    """Log a run to W&B: online where it finds credentials, otherwise offline in the run folder; it never asks.

    The run's `config.yaml` becomes its configuration. A job of a sweep goes into the sweep's group, any other run into
    that of its experiment, which is the name of the folder around its own. Offline runs are sent later by
    `wandb sync FOLDER/wandb/offline-run-*`.

    Args:
        folder: the run folder; the run's id is kept there, see `run_id`, so that a resumed run goes on under it.
        project: name of the W&B project.
        group: another group.
        sweep: name of the sweep that the run is a job of; None for any other run.
        tags: of the run; a job of a sweep also gets `sweep`.
        checkpoints: store the best and the last checkpoint as artifacts when the run is done.
        settings: more for `wandb.init`, as `entity`, `name`, `notes`.

    Raises:
        InputError: wandb is not installed.
    """

    def __init__(
        self,
        folder: str | Path,
        project: str = "p3m_lightning",
        group: str | None = None,
        sweep: str | None = None,
        tags: Sequence[str] = (),
        checkpoints: bool = True,
        **settings: Any,
    ) -> None:
        require("wandb", "wandb")
        folder = Path(folder).absolute()
        parent, job = folder.parent.name, folder.name
        super().__init__(
            save_dir=folder,
            id=run_id(folder),
            project=project,
            mode=wandb_mode(),
            group=group or sweep or parent,
            tags=[*tags, *(["sweep"] if sweep else [])],
            **{"name": f"{parent}/{job}" if sweep else job, **settings},
        )
        self.folder, self.checkpoints = folder, checkpoints

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Return W&B's run, made at first use; one that another job of this process left open is closed before."""
        import wandb

        if self._experiment is None:
            if wandb.run is not None and wandb.run.id != self._id:
                wandb.finish()
            config = self.folder / "config.yaml"
            if config.is_file():
                self._wandb_init["config"] = yaml.safe_load(config.read_text())
            # metrics carry the trainer's own step: that of W&B counts every call
            run = self._experiment = wandb.init(**self._wandb_init)
            run.define_metric("trainer/global_step")
            run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return self._experiment

    @rank_zero_only
    def log_results(self, reports: Mapping[str, Mapping[str, Any]]) -> None:
        """Add a table of the images of every test set, its median and tail, and the checkpoints; then end the run.

        Args:
            reports: test set -> `metrics.report.metric_report` of it.
        """
        for name, report in reports.items():
            columns = ["name", *keys_of(report["images"])]
            rows = [[row.get(column) for column in columns] for row in report["images"]]
            self.log_table(f"images/{name}", columns, rows)
            parts = {"mean": report["mean"], "median": report["median"], "tail": report["tail"]["mean"]}
            summary = {f"test/{name}/{part}/{key}": v for part, values in parts.items() for key, v in values.items()}
            self.experiment.summary.update(summary | {f"test/{name}/tail/sad_share": report["tail"]["sad_share"]})
        if self.checkpoints:
            self._store_checkpoints()
        self._end()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run if training failed or was interrupted; after a success there are results to come."""
        if status != "success" and self._experiment is not None:
            self._end(exit_code=1)

    def _end(self, exit_code: int = 0) -> None:
        """End the run, and wait until its file is whole: `finish` alone leaves its last records to another process."""
        import wandb

        self.experiment.finish(exit_code=exit_code)
        self._experiment = None
        if self._wandb_init["mode"] == "offline" and wandb.run is None:
            wandb.teardown()

    def _store_checkpoints(self) -> None:
        import wandb

        for name in ("last", "best"):  # the newest version is what `latest` means
            path = self.folder / "checkpoints" / f"{name}.ckpt"
            if path.is_file():
                artifact = wandb.Artifact(f"model-{self._id}", type="model", metadata={"run_folder": str(self.folder)})
                artifact.add_file(str(path), name=path.name)
                self.experiment.log_artifact(artifact, aliases=["latest", name])


def wandb_mode() -> str:
    """Return `online` where W&B could log in without asking, else `offline`; `disabled` where the environment says."""
    if os.environ.get("WANDB_MODE") == "disabled":
        return "disabled"
    return "online" if has_wandb_credentials() else "offline"


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


def run_id(folder: Path) -> str:
    """Return the id of the run in a folder, and keep it there in `wandb_id.txt`.

    WANDB_RUN_ID comes first, the only one W&B takes under an agent (InputError if bad); else the kept or a drawn one.
    """
    given = os.environ.get("WANDB_RUN_ID")
    if given is not None and (not given.strip() or set(given) & set(":;,#?/'")):
        raise InputError(f"WANDB_RUN_ID={given!r}: no id of a run; unset it, or take letters and digits")
    file = folder / "wandb_id.txt"
    kept = file.read_text().strip() if file.is_file() else None
    chosen = given or kept or secrets.token_hex(4)
    if chosen != kept and getattr(rank_zero_only, "rank", 0) == 0:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(chosen + "\n")
    return chosen
