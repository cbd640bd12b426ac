"""TensorBoard and MLflow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import MLFlowLogger, TensorBoardLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment

from p3m_lightning.files import write_whole
from p3m_lightning.schema import InputError


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
        """Return MLflow's client; the run is created at first use."""
        client = super().experiment
        if not self._kept.is_file():
            write_whole(self._kept, f"{self._run_id}\n".encode())
        return client
