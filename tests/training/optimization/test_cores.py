"""Threads of the training process and loaders take no more cores than there are."""

import logging

import pytest
import torch

from p3m_lightning.configuration import compose_run
from p3m_lightning.training.optimization.cores import Share, ShareCores, divide
from p3m_lightning.training.run import build, build_trainer

QUIET = ["trainer=cpu", "logger=none", "data=synthetic", *(f"callbacks.{name}=null" for name in ("best", "last"))]


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("threads", [None, 1, 2])
@pytest.mark.parametrize("cores", range(1, 40))
def test_what_is_not_given_fits(cores, threads, on_cpu):
    share = divide(cores, on_cpu, threads=threads)
    assert share.threads >= 1
    assert share.workers >= 0
    assert sum(share) <= max(cores, threads or 1)
    if threads is None:
        assert sum(share) == cores


def test_what_is_given_stands():
    assert divide(4, True, workers=3) == Share(1, 3)
    assert divide(4, True, workers=9) == Share(1, 9)
    assert divide(8, False, workers=0) == Share(8, 0)
    assert divide(8, True, workers=5, threads=6) == Share(6, 5)


@pytest.mark.parametrize(
    ("given", "workers", "expected"),
    [("", "auto", Share(6, 2)), ("3", "auto", Share(3, 3)), ("", "5", Share(3, 5)), ("1", "0", Share(1, 0))],
)
def test_a_training_sets_and_says_it(tmp_path, monkeypatch, caplog, given, workers, expected):
    monkeypatch.setattr("p3m_lightning.training.optimization.cores.available_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    config = compose_run("train", [*QUIET, f"data.num_workers={workers}"], tmp_path)
    trainer, data = build_trainer(config), build(config["data"])
    trainer.datamodule = data
    (callback,) = (one for one in trainer.callbacks if isinstance(one, ShareCores))
    with caplog.at_level(logging.INFO):
        callback.setup(trainer, None, "fit")
    assert data.num_workers == expected.workers
    assert set_to == ([] if given else [expected.threads])
    assert f"8 cores: {expected.threads} thread" in caplog.text
    assert caplog.text.count("loader") == 1
