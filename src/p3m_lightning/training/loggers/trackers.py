"""TensorBoard and MLflow."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment

from p3m_lightning.files import unwritable, write_whole
from p3m_lightning.records import read_note
from p3m_lightning.records.study import unwritable_database, without_password
from p3m_lightning.schema import InputError
from p3m_lightning.silence import hush


def require(package: str, logger: str) -> None:
    """Raise InputError if the package of a logger is not installed."""
    if find_spec(package) is None:
        raise InputError(f"logger={logger}: needs {package}; pip install 'p3m_lightning[{logger}]'")


class RunTensorBoardLogger(TensorBoardLogger):
    """Write events for TensorBoard into the run folder.

    Args:
        folder: the run folder; the events go to `tensorboard/` in it.
        settings: further arguments of Lightning's `TensorBoardLogger`.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path, **settings: Any) -> None:
        require("tensorboard", "tensorboard")
        super().__init__(folder, name="", version="tensorboard", **settings)


class RunMLFlowLogger(MLFlowLogger):
    """Log a run to MLflow: to a server if one is named, else to a database in the run folder.

    Args:
        folder: the run folder, whose name the run takes; its id is stored there, so that a resumed run continues it.
        experiment_name: of MLflow.
        tracking_uri: of a server or a database; None for that of the environment (MLFLOW_TRACKING_URI).
        tags: of the run.
        settings: further arguments of Lightning's `MLFlowLogger`.

    Raises:
        InputError: MLflow is not installed, or its database cannot be written; the methods raise the latter too.
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
        hush("mlflow")
        folder = Path(folder).absolute()
        self._kept = folder / "mlflow_id.txt"
        where = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        if not where:
            _open_once(folder / "mlflow.db")
            where = f"sqlite:///{folder / 'mlflow.db'}"
        self._database = without_password(where.removeprefix("sqlite:///"))
        with self._naming_database():
            super().__init__(
                experiment_name=experiment_name,
                run_name=folder.name,
                tracking_uri=where,
                tags=dict.fromkeys(tags, "true"),
                artifact_location=str(folder / "mlflow"),
                run_id=read_note(self._kept) or None,
                **settings,
            )
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints a traceback, then raises

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Return MLflow's client; the run is created at first use."""
        with self._naming_database():
            client = super().experiment
        if not self._kept.is_file():
            write_whole(self._kept, f"{self._run_id}\n".encode())
        return client

    def log_hyperparams(self, params: Any) -> None:
        """Log the configuration of the run."""
        with self._naming_database():
            super().log_hyperparams(params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log scalars of a step."""
        with self._naming_database():
            super().log_metrics(metrics, step)

    def finalize(self, status: str = "success") -> None:
        """Record how the run ended."""
        with self._naming_database():
            super().finalize(status)

    @contextmanager
    def _naming_database(self) -> Iterator[None]:
        """Turn what MLflow raises over a database that cannot be written into one line that names it."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            told = unwritable_database(self._database, error)
            if told is None:
                raise
            raise told from error


def _open_once(database: Path) -> None:
    """Open a file for writing; MLflow would try for a minute to open a database that it may not write."""
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        database.open("ab").close()
    except OSError as error:
        raise unwritable(database, error) from error
