import csv
import json

import pytest

from p3m_lightning.configuration import compose_run
from p3m_lightning.schema import InputError
from p3m_lightning.training import train
from p3m_lightning.training.loggers import RunWandbLogger
from p3m_lightning.training.loggers.wandb_runs import (
    has_wandb_credentials,
    run_id,
    wandb_mode,
)
from wandb_file import logged


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


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


def test_disabled_stays_disabled(no_credentials, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode() == "disabled"


@pytest.mark.parametrize(
    ("folder", "sweep", "group", "name"),
    [
        ("modnet/noon", None, "modnet", "noon"),
        ("anywhere/noon/7", "grid/noon", "grid/noon", "noon/7"),
        ("sweeps/modnet", None, "sweeps", "modnet"),
    ],
)
def test_jobs_of_a_sweep_share_its_group_and_runs_that_of_their_experiment(tmp_path, folder, sweep, group, name):
    logger = RunWandbLogger(tmp_path / folder, sweep=sweep)
    assert (logger._wandb_init["group"], logger._wandb_init["name"]) == (group, name)
    assert logger._wandb_init["tags"] == ["sweep"] * bool(sweep)


def test_the_run_that_an_agent_opened_is_ours(tmp_path, monkeypatch, no_credentials):
    own = run_id(tmp_path)
    monkeypatch.setenv("WANDB_RUN_ID", "agents")
    logger = RunWandbLogger(tmp_path)
    opened = logger.experiment.id
    logger.finalize("failed")
    monkeypatch.delenv("WANDB_RUN_ID")
    assert own != opened == logger.version == (tmp_path / "wandb_id.txt").read_text().strip() == "agents"
    assert RunWandbLogger(tmp_path).version == "agents"  # a resume without the agent goes on with the agent's run


@pytest.mark.parametrize("given", ["", " ", "a/b", "a:b"])
def test_an_id_that_wandb_does_not_take_is_one_line_and_is_not_kept(tmp_path, monkeypatch, no_credentials, given):
    monkeypatch.setenv("WANDB_RUN_ID", given)
    with pytest.raises(InputError, match="WANDB_RUN_ID="):
        RunWandbLogger(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_keeps_its_id_and_the_next_job_of_a_process_gets_its_own(no_credentials, tmp_path):
    jobs = [tmp_path / "sweeps" / "grid" / "now" / str(number) for number in range(2)]
    open_one = RunWandbLogger(jobs[0], tags=["mine"], sweep="grid/now")
    open_one.log_metrics({"val/sad": 1.5}, step=0)
    other = RunWandbLogger(jobs[1], sweep="grid/now")
    other.log_metrics({"val/sad": 2.5}, step=0)
    other.finalize("failed")
    assert RunWandbLogger(jobs[0]).version == open_one.version != other.version
    runs = [logged(next(job.glob("wandb/offline-run-*/*.wandb"))) for job in jobs]
    assert [run["history"][0]["val/sad"] for run in runs] == [1.5, 2.5]
    assert [run["run"].run_group for run in runs] == ["grid/now"] * 2
    assert [list(run["run"].tags) for run in runs] == [["mine", "sweep"], ["sweep"]]
    assert [run["exit"] for run in runs] == [0, 1]


def test_an_offline_run_is_whole_on_disk_as_soon_as_it_has_ended(no_credentials, tmp_path):
    for number in range(3):
        folder = tmp_path / str(number)
        logger = RunWandbLogger(folder, checkpoints=False)
        report = {"mean": {"sad": 1.0}, "median": {"sad": 2.0}, "tail": {"mean": {"sad": 3.0}, "sad_share": 0.5}}
        logger.log_results({"set": {"images": [{"name": "a", "sad": 1.0}], **report}})
        run = logged(next(folder.glob("wandb/offline-run-*/*.wandb")))
        assert run["summary"]["test/set/median/sad"] == 2.0
        assert run["exit"] == 0  # the last record


def test_an_offline_run_holds_config_losses_metrics_pictures_tables_and_checkpoints(portraits, tmp_path):
    options = ["experiment=p3m_synthetic", "data=synthetic", "trainer=cpu", "logger=wandb", "model.width=0.125"]
    options += ["data.train.transform.crop.size=64", "data.train.transform.crop.sides=[96,128]", "data.holdout=2"]
    options += ["data.num_workers=0", "data.batch_size=2", "trainer.log_every_n_steps=1", "trainer.max_epochs=1"]
    options += ["data.prepare=null", "trainer.check_val_every_n_epoch=1", f"paths.data={portraits}"]
    results = train(compose_run("train", options, tmp_path / "run"))
    (file,) = tmp_path.glob("run/wandb/offline-run-*/*.wandb")
    run = logged(file)
    keys = {key for row in run["history"] for key in row}
    assert run["config"]["model"]["width"] == 0.125
    assert {f"train/loss/{term}" for term in results["trainer"].lightning_module.weights} <= keys
    for name, report in results["sets"].items():
        rows = [row for row in run["history"] if f"test/{name}/sad" in row]
        assert rows[0][f"test/{name}/sad"] == pytest.approx(report["mean"]["sad"])
        assert run["summary"][f"test/{name}/median/sad"] == report["median"]["sad"]
        assert run["summary"][f"pictures/{name}/count"] == 4
        table = json.loads((file.parent / "files" / run["summary"][f"images/{name}/path"]).read_text())
        with (tmp_path / "run" / f"metrics_{name}.csv").open() as csv_file:
            assert [row[0] for row in table["data"]] == [row["name"] for row in csv.DictReader(csv_file)]
    models = {alias for a in run["artifacts"] if a.type == "model" for alias in a.aliases}
    assert models == {"latest", "last", "best"}
