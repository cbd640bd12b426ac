import json
import os
from types import SimpleNamespace

import pytest

from p3m_lightning.records.study import TRIAL, open_storage
from p3m_lightning.training.callbacks.pruning import PrunedError, TrialReport

optuna = pytest.importorskip("optuna")


@pytest.fixture
def study(tmp_path):
    """A study with three finished trials around 5 and a running one."""
    made = optuna.create_study(study_name="s", storage=open_storage(str(tmp_path / "s.journal")))
    for value in (4.0, 5.0, 6.0):
        trial = made.ask()
        for epoch in (1, 2):
            trial.report(value, epoch)
        made.tell(trial, value)
    made.ask()
    return made


@pytest.fixture
def report(study, tmp_path, monkeypatch):
    """Report a score at the end of an epoch, as a fresh callback of the running trial."""
    pruner = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 3}
    address = {"study": {"storage": str(tmp_path / "s.journal"), "name": "s", "pruner": pruner}, "number": 3}
    monkeypatch.setenv(TRIAL, json.dumps(address))

    def reported(value, epoch, **trainer):
        settings = {
            "checkpoint_callbacks": [SimpleNamespace(monitor=None), SimpleNamespace(monitor="val/sad")],
            "callback_metrics": {"val/sad": value},
            "sanity_checking": False,
            "is_global_zero": True,
            "current_epoch": epoch - 1,
            "strategy": SimpleNamespace(broadcast=lambda told: told),
        }
        TrialReport().on_validation_end(SimpleNamespace(**settings | trainer), None)

    return reported


def test_a_run_worse_than_the_median_is_stopped_and_its_trial_closed(report, study):
    with pytest.raises(PrunedError, match=r"5\.5 after epoch 1"):
        report(5.5, 1)
    assert study.trials[3].state is optuna.trial.TrialState.PRUNED


def test_a_run_better_than_the_median_goes_on(report, study):
    report(4.5, 1)
    report(4.5, 2)
    assert study.trials[3].intermediate_values == {1: 4.5, 2: 4.5}
    assert study.trials[3].state is optuna.trial.TrialState.RUNNING


def test_a_resumed_run_reports_no_epoch_twice(report, study):
    report(4.5, 1)
    report(9.0, 1)
    assert study.trials[3].intermediate_values == {1: 4.5}


def test_another_process_stops_when_the_first_is_told_to(report):
    with pytest.raises(PrunedError, match="too bad"):
        report(1.0, 1, is_global_zero=False, strategy=SimpleNamespace(broadcast=lambda _: "too bad"))


def test_a_run_whose_sweep_is_gone_interrupts_itself(report, monkeypatch):
    callback = TrialReport()
    callback.on_train_batch_start(None, None, None, 0)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        callback.on_train_batch_start(None, None, None, 1)
