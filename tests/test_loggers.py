import csv

import pytest

from p3m_lightning.training.loggers import RunCSVLogger, has_wandb_credentials, wandb_logger


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_csv_of_a_resumed_run_goes_on_after_the_first_rows(tmp_path):
    first = RunCSVLogger(tmp_path)
    first.log_metrics({"train/loss/total": 3.0}, step=1)
    first.save()
    second = RunCSVLogger(tmp_path)
    second.log_metrics({"train/loss/total": 2.0, "val/sad": 9.0}, step=2)
    second.save()
    rows = read(tmp_path / "metrics.csv")
    assert [row["train/loss/total"] for row in rows] == ["3.0", "2.0"]
    assert [row["val/sad"] for row in rows] == ["", "9.0"]


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path / "netrc"


def test_without_credentials_wandb_is_offline(no_credentials):
    assert not has_wandb_credentials()


def test_a_key_in_the_environment_or_netrc_means_online(no_credentials, monkeypatch):
    no_credentials.write_text("machine api.wandb.ai login user password secret\n")
    assert has_wandb_credentials()
    no_credentials.write_text("machine example.org login user password secret\n")
    assert not has_wandb_credentials()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert has_wandb_credentials()


def test_wandb_mode_offline_beats_credentials(no_credentials, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not has_wandb_credentials()


def test_offline_run_is_written_and_keeps_its_id_when_resumed(no_credentials, tmp_path):
    import wandb

    first = wandb_logger(tmp_path / "run")
    first.log_metrics({"val/sad": 1.5}, step=0)
    run_id = first.experiment.id
    wandb.finish()
    assert list((tmp_path / "run" / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))
    assert wandb_logger(tmp_path / "run").version == run_id
