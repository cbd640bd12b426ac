"""`p3m train -m` as a user calls it; the training itself runs in this process, to save its start."""

import contextlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from p3m_lightning.cli import main
from p3m_lightning.experiments.sweep import jobs as sweep_jobs

TINY = [
    "experiment=p3m_synthetic",
    "data=synthetic",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
]
TINY += ["model.width=0.125", "data.num_workers=0", "data.batch_size=2", "data.holdout=2", "data.prepare=null"]
TINY += ["data.train.transform.crop.size=64", "data.train.transform.crop.sides=[96,128]"]


@pytest.fixture
def sweep(portraits, tmp_path, capsys):
    """Call `p3m train -m`; returns what it printed, its last line as a path where it succeeded."""

    def call(*overrides, code=0):
        where = [f"paths.data={portraits}", f"paths.output={tmp_path / 'outputs'}"]
        assert main(["train", "-m", *TINY, *where, *overrides]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return call


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    def start(job, environment):
        monkeypatch.setenv(sweep_jobs.TRIAL, job.trial)
        with (
            (job.folder / "log.txt").open("w") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            code = main(job.command()[3:])
        return SimpleNamespace(poll=lambda: code, returncode=code)

    monkeypatch.setattr(sweep_jobs, "start", start)


def test_a_sweep_trains_numbered_jobs_and_ranks_them(sweep):
    printed = sweep("optimizer.lr=0.001,-1", "hydra/launcher=local")
    folder = Path(printed.splitlines()[-1])
    assert folder.parts[-3:-1] == ("sweeps", "p3m_synthetic")
    jobs = json.loads((folder / "ranking.json").read_text())["jobs"]
    assert sorted(job["job"] for job in jobs) == [0, 1]
    assert [job["state"] for job in jobs] == ["done", "failed"]
    assert "Invalid learning rate: -1" in jobs[-1]["reason"]
    best = jobs[0]
    results = json.loads((folder / str(best["job"]) / "results.json").read_text())
    assert best["score"] == pytest.approx(results["validation"]["val/sad"])
    assert best["sets"]["P3M-500-P"]["sad"] == pytest.approx(results["sets"]["P3M-500-P"]["mean"]["sad"])
    assert sum(best["gradient_shares"].values()) == pytest.approx(1)
    assert all((folder / name).is_file() for name in ("ranking.md", "metrics.png", "gradient_shares.png"))


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["loss.weights.nonesuch=1,2"], "loss.weights.nonesuch"),
        ([], "nothing to sweep"),
        (["optimizer.lr=interval(0,1)"], "optimizer.lr"),
        (["hydra/sweeper=nonesuch", "seed=1,2"], "hydra/sweeper"),
        (["hydra/launcher=processes", "hydra.launcher.jobs=3", "seed=1,2"], "jobs"),
        (["hydra.sweep.subdir=x", "seed=1,2"], "hydra.sweep.subdir"),
        (["seed=1,"], "seed=1,"),
        (["hydra/sweeper=random", "hydra.sweeper.trials=0", "seed=1,2"], "hydra.sweeper.trials"),
        (["hydra/sweeper=random", "hydra.sweeper.seed=x", "seed=1,2"], "hydra.sweeper.seed"),
        (["hydra/sweeper=random", "+hydra.sweeper.sampler.nonesuch=1", "seed=1,2"], "nonesuch"),
        (["hydra/sweeper=random", "+hydra.sweeper.pruner.nonesuch=1", "seed=1,2"], "nonesuch"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "seed=1,2"], "hydra.launcher.n_jobs"),
        (["hydra/launcher=submitit", "hydra.launcher.workers=two", "seed=1,2"], "hydra.launcher.workers"),
        (["+stages.only.frozen=[]", "hydra/sweeper=random", "seed=1,2"], "hydra.sweeper.pruner"),
        (["ckpt=last", "seed=1,2"], "no sweep"),
    ],
)
def test_a_wrong_sweep_is_one_line_before_anything_runs(sweep, tmp_path, overrides, named):
    message = sweep(*overrides, code=2)
    assert named in message
    assert len(message.strip().splitlines()) == 1
    assert not os.path.exists(tmp_path / "outputs")


def test_without_optuna_the_remedy_is_told(sweep, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "pip install 'p3m_lightning[sweep]'" in sweep("seed=1,2", code=2)


def test_where_every_job_fails_the_first_reason_is_the_sweeps(sweep):
    message = sweep("optimizer.lr=-1,-2", code=2)
    assert "all 2 jobs failed" in message
    assert "Invalid learning rate: -1" in message
