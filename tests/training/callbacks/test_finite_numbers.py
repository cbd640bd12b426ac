"""NaN and infinity in training: the run stops or the step is skipped, and the sample is named."""

from __future__ import annotations

import csv

import pytest
import torch
from pytorch_lightning import Callback

import brief_training
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.finite_numbers import FiniteNumbers

SPOILERS = f"{__name__}.Spoil"
STEPS = ("trainer.max_epochs=1", "scheduler=constant")
NAN = float("nan")


class Spoil(Callback):
    """Put a NaN into what the second batch of a training brings, or makes of it."""

    def __init__(self, where: str) -> None:
        self.where = where

    def on_train_batch_start(self, trainer, module, batch, index):
        if index == 1 and self.where in batch:
            batch[self.where][0, 0, 3, 3] = NAN
        loss = module.loss
        loss.nan = index == 1 and self.where == "loss"
        if not hasattr(loss, "whole"):
            loss.whole = loss.terms
            loss.terms = lambda output, batch: {
                key: value * NAN if loss.nan else value for key, value in loss.whole(output, batch).items()
            }

    def on_after_backward(self, trainer, module):
        if self.where == "gradient" and trainer.fit_loop.epoch_loop.batch_idx == 1:
            next(module.net.parameters()).grad[0] = float("inf")


def train(portraits, folder, where, *overrides):
    spoil = ["+callbacks.a._target_=test_finite_numbers.Spoil", f"+callbacks.a.where={where}"] if where else []
    return brief_training.train(portraits, folder, *STEPS, *spoil, *overrides)


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])


@pytest.mark.parametrize("where", ["image", "loss", "gradient"])
@pytest.mark.parametrize("lags", [False, True])
def test_a_training_stops_and_names_the_samples(portraits, tmp_path, capsys, monkeypatch, where, lags):
    if lags:  # as on a GPU
        monkeypatch.setattr(FiniteNumbers, "setup", lambda self, *_, **__: setattr(self, "lags", True))
    order = [
        "callbacks.finite=null",
        "+callbacks.z._target_=p3m_lightning.training.callbacks.finite_numbers.FiniteNumbers",
    ]
    assert train(portraits, tmp_path / "run", where, *order) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("p3m: ")
    assert "not finite" in told
    assert "callbacks.finite.policy=skip" in told
    names = {path.stem for path in (portraits / "train" / "blurred_image").iterdir()}
    assert any(name in told for name in names)
    assert not list((tmp_path / "run").glob("checkpoints/*.ckpt"))  # the first epoch was not over


@pytest.mark.parametrize("where", ["image", "loss", "gradient"])
def test_a_step_left_out_changes_nothing(portraits, tmp_path, where):
    """The run in which the second of two steps is left out ends where one with a single step does."""
    order = [
        "callbacks.finite=null",
        "+callbacks.z._target_=p3m_lightning.training.callbacks.finite_numbers.FiniteNumbers",
    ]
    assert train(portraits, tmp_path / "bad", where, *order, "+callbacks.z.policy=skip") == 0
    assert train(portraits, tmp_path / "one", "", "trainer.max_steps=1") == 0
    bad, one = (
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in ("bad", "one")
    )
    assert all(value.isfinite().all() for value in bad.values())
    assert all(torch.equal(value, one[key]) for key, value in bad.items())
    rows = list(csv.DictReader((tmp_path / "bad" / "metrics.csv").open()))
    assert rows
    assert '"skipped_steps": 1' in (tmp_path / "bad" / "results.json").read_text()


def test_it_stops_when_every_step_is_left_out(portraits, tmp_path, capsys):
    options = ["optimizer.lr=1e30", "callbacks.finite.policy=skip", "callbacks.finite.most_in_a_row=2"]
    options += ["trainer.check_val_every_n_epoch=20"]  # a validation would find the network diverged
    assert (
        brief_training.train(portraits, tmp_path / "run", "trainer.max_epochs=20", "scheduler=constant", *options) == 2
    )
    assert "steps in a row" in capsys.readouterr().err


def test_another_policy_is_refused():
    with pytest.raises(InputError, match=r"finite\.policy: 'ignore' is not one of stop, skip"):
        FiniteNumbers("ignore")


def test_a_diverged_network_is_noticed_by_its_validation(portraits, tmp_path, capsys):
    """Scores that are NaN would make an empty matte, with a score like any other."""
    options = ("trainer.max_epochs=20", "scheduler=constant", "optimizer.lr=1e30", "callbacks.finite.policy=skip")
    assert brief_training.train(portraits, tmp_path / "run", *options, "callbacks.finite.most_in_a_row=100") == 2
    assert "matte is not finite: the training diverged; lower optimizer.lr" in capsys.readouterr().err
