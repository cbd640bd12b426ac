"""Runs in MLflow: one for a run folder, and a line where its database cannot be written."""

import logging

import pytest

from p3m_lightning.schema import InputError
from p3m_lightning.training.loggers import RunMLFlowLogger, RunTensorBoardLogger
from p3m_lightning.training.loggers import trackers as module


@pytest.mark.parametrize(("build", "name"), [(RunMLFlowLogger, "mlflow"), (RunTensorBoardLogger, "tensorboard")])
def test_a_package_that_is_missing_is_named_with_its_extra(build, name, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"^logger={name}: needs {name}; pip install 'p3m_lightning\[{name}\]'$"):
        build(tmp_path)


@pytest.fixture
def mlflow(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # where it is set, MLflow refuses writes of its own
    yield pytest.importorskip("mlflow")
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.NOTSET)


def test_a_run_folder_is_one_run_of_mlflow(mlflow, tmp_path):
    for step in (0, 1):
        logger = RunMLFlowLogger(tmp_path / "run")
        logger.log_metrics({"loss": 3.0 - step}, step)
        logger.finalize()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/run/mlflow.db")
    [run] = client.search_runs([logger.experiment_id])
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(0, 3.0), (1, 2.0)]


def test_a_database_that_cannot_be_written_is_named_at_once(tmp_path, mlflow):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/run/mlflow\.db: cannot be written \(.*\); "):
        RunMLFlowLogger(tmp_path / "file" / "run")


def test_a_database_without_room_is_named(mlflow, tmp_path):
    logger = RunMLFlowLogger(tmp_path / "run", tracking_uri=f"sqlite:///{tmp_path}/shared.db")
    logger.log_metrics({"loss": 3.0}, 0)
    full = OSError("(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT]")
    logger.experiment.log_batch = lambda **_: (_ for _ in ()).throw(full)
    with pytest.raises(InputError, match=r"shared\.db cannot be written \(.*database or disk is full\); free some"):
        logger.log_metrics({"loss": 2.0}, 1)
