"""W&B runs: online, offline, started by agents, resumed."""

from __future__ import annotations

import netrc
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from p3m_lightning.files import naming, write_whole
from p3m_lightning.metrics.report import keys_of
from p3m_lightning.records import read_note
from p3m_lightning.schema import InputError
from p3m_lightning.silence import hush
from p3m_lightning.training.loggers.trackers import require


class RunWandbLogger(WandbLogger):
    """Log a run to W&B: online if it finds credentials, otherwise offline in the run folder; it never prompts.

    The run's `config.yaml` becomes its configuration. A job of a sweep goes into the sweep's group, any other run into
    that of its experiment, which is the name of the folder around its own. Offline runs are uploaded later by
    `wandb sync FOLDER/wandb/offline-run-*`.

    Args:
        folder: the run folder; the run's id is stored there, see `run_id`, so that a resumed run continues it.
        project: name of the W&B project.
        group: another group.
        sweep: name of the sweep that the run is a job of; None for any other run.
        tags: of the run; a job of a sweep also gets `sweep`.
        checkpoints: store the best and the last checkpoint as artifacts when the run is done.
        settings: further arguments of `wandb.init`, such as `entity`, `name`, `notes`.

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
        hush("wandb")
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
        """Return W&B's run, created at first use; one left open by another job of this process is closed first."""
        import wandb

        if self._experiment is None:
            if wandb.run is not None and wandb.run.id != self._id:
                wandb.finish()
            config = self.folder / "config.yaml"
            if config.is_file():
                self._wandb_init["config"] = yaml.safe_load(config.read_text())
            # metrics have the trainer's own step: that of W&B counts every call
            with naming(self.folder / "wandb"):
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
        """End the run if training failed or was interrupted; after a success, results follow."""
        if status != "success" and self._experiment is not None:
            self._end(exit_code=1)

    def _end(self, exit_code: int = 0) -> None:
        """End the run, and wait until its file is complete: `finish` leaves its last records to another process."""
        import wandb

        with naming(self.folder / "wandb"):
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
    """Return `online` if W&B could log in without a prompt, else `offline`; `disabled` if the environment says so."""
    if os.environ.get("WANDB_MODE") == "disabled":
        return "disabled"
    return "online" if has_wandb_credentials() else "offline"


def has_wandb_credentials() -> bool:
    """Return whether W&B could log in without a prompt: an API key in the environment or in netrc."""
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
    """Return the id of the run in a folder, and store it there in `wandb_id.txt`.

    WANDB_RUN_ID takes precedence, since W&B requires it under an agent (InputError if invalid); else the stored or a
    random one.
    """
    given = os.environ.get("WANDB_RUN_ID")
    if given is not None and (not given.strip() or set(given) & set(":;,#?/'")):
        raise InputError(f"WANDB_RUN_ID={given!r}: not a valid run ID; unset it, or use letters and digits")
    file = folder / "wandb_id.txt"
    kept = read_note(file)
    chosen = given or kept or secrets.token_hex(4)
    if chosen != kept and getattr(rank_zero_only, "rank", 0) == 0:
        write_whole(file, f"{chosen}\n".encode())
    return chosen
