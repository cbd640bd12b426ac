"""The study of a sweep and its workers, with jobs that only pretend to train."""

import json
import threading

import pytest

from p3m_lightning.experiments.sweep import workers as sweeps
from p3m_lightning.experiments.sweep.jobs import Outcome
from p3m_lightning.experiments.sweep.launchers import local, processes, submitit
from p3m_lightning.experiments.sweep.report import rank
from p3m_lightning.experiments.sweep.space import Dimension
from p3m_lightning.experiments.sweep.workers import Stop, Sweep, next_job, plan, work
from p3m_lightning.records.study import open_study, open_trial
from p3m_lightning.schema import InputError

A, B = Dimension("a", ("1", "2")), Dimension("b", ("x", "y", "z"))
RANDOM = {"_target_": "optuna.samplers.RandomSampler"}
TPE = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": 4, "multivariate": True}


@pytest.fixture
def make(tmp_path):
    """A sweep in a folder of its own, with a journal file."""

    def made(space=(A, B), **settings):
        return Sweep(tmp_path / "sweep", ["seed=1"], space, str(tmp_path / "sweep/study.journal"), "sweep", **settings)

    return made


@pytest.fixture
def runs(monkeypatch):
    """Pretend to run jobs; returns the points that were run, and takes what becomes of each."""
    points, lock = [], threading.Lock()

    def pretend(job, stop, force, environment):
        with lock:
            points.append((job.number, *job.point))
        outcome = pretend.outcome(job)
        return outcome if isinstance(outcome, Outcome) else Outcome("done", outcome, results={"sets": {}})

    pretend.outcome = lambda job: float(job.number)
    pretend.points = points
    monkeypatch.setattr(sweeps, "run_job", pretend)
    return pretend


def test_a_grid_runs_every_combination_once(make, runs):
    sweep = make()
    plan(sweep)
    work(sweep, Stop())
    assert runs.points == [(3 * i + k, f"a={a}", f"b={b}") for i, a in enumerate("12") for k, b in enumerate("xyz")]


def test_taking_a_finished_sweep_up_again_runs_nothing(make, runs):
    sweep = make()
    for _ in range(2):
        plan(sweep)
        work(sweep, Stop())
    assert len(runs.points) == 6
    assert len(rank(sweep.open())) == 6


def test_a_failed_job_is_written_down_and_the_others_run(make, runs):
    runs.outcome = lambda job: Outcome("failed", reason="out of memory") if job.number == 1 else float(job.number)
    sweep = make()
    plan(sweep)
    work(sweep, Stop())
    rows = rank(sweep.open())
    assert [row["job"] for row in rows] == [0, 2, 3, 4, 5, 1]
    assert (rows[-1]["state"], rows[-1]["reason"], rows[-1]["rank"]) == ("failed", "out of memory", None)


def test_failed_jobs_are_tried_again_on_demand_and_once(make, runs):
    runs.outcome = lambda job: Outcome("failed", reason="no luck") if job.number in (1, 2) else 0.5
    for _ in range(2):
        plan(make())
        work(make(), Stop())
    assert len(runs.points) == 6
    for _ in range(2):
        plan(make(retry_failed=True))
        work(make(), Stop())
    tried = [point for _, *point in runs.points]
    assert tried[6:] == [tried[1], tried[2]]
    assert [row["state"] for row in rank(make().open())] == ["done"] * 6


def test_an_interrupted_job_goes_on_before_new_ones_begin(make, runs):
    stop = Stop()

    def leave(job):
        stop.ask()
        return Outcome("interrupted")

    runs.outcome = leave
    sweep = make()
    plan(sweep)
    work(sweep, stop)
    runs.outcome = lambda job: 1.0
    work(sweep, Stop())
    assert [number for number, *_ in runs.points] == [0, 0, 1, 2, 3, 4, 5]
    assert runs.points[0] == runs.points[1]


def test_a_job_whose_worker_lives_is_not_taken_up(make):
    sweep = make()
    plan(sweep)
    first = next_job(sweep, sweep.open())
    second = next_job(sweep, sweep.open())
    assert (first.number, second.number) == (0, 1)
    first.lock.close()
    assert next_job(sweep, sweep.open()).number == 0


@pytest.mark.parametrize("sampler", [RANDOM, TPE])
def test_suggestions_are_within_bounds_differ_and_repeat_with_the_seed(make, runs, tmp_path, sampler):
    space = (Dimension("w", low=0.1, high=10.0, log=True), Dimension("n", low=1, high=4), A)
    for name in ("one", "two"):
        sweep = Sweep(tmp_path / name, [], space, str(tmp_path / name / "s.journal"), "s", sampler, trials=6, seed=5)
        plan(sweep)
        work(sweep, Stop())
    assert runs.points[:6] == runs.points[6:]
    weights = [float(point[1].removeprefix("w=")) for point in runs.points[:6]]
    assert len(set(weights)) == 6
    assert all(0.1 <= weight <= 10 for weight in weights)
    assert {point[2] for point in runs.points} <= {"n=1", "n=2", "n=3", "n=4"}


def test_guided_search_comes_nearer_than_its_start(make, runs):
    runs.outcome = lambda job: abs(float(job.point[0].removeprefix("w=")) - 7.0)
    sweep = make((Dimension("w", low=0.0, high=10.0),), sampler=TPE, trials=24)
    plan(sweep)
    work(sweep, Stop())
    values = [trial.value for trial in sweep.open().trials if trial.value is not None]
    assert sum(values[-8:]) / 8 < sum(values[:8]) / 8
    assert rank(sweep.open())[0]["score"] < 0.5


def test_more_trials_are_added_to_a_study_that_is_there(make, runs):
    for trials in (2, 5):
        sweep = make(sampler=RANDOM, trials=trials)
        plan(sweep)
        work(sweep, Stop())
    assert [number for number, *_ in runs.points] == [0, 1, 2, 3, 4]


def test_another_space_under_the_same_name_is_refused(make):
    plan(make())
    with pytest.raises(InputError, match=r"space\.b x,y,z instead of None; name another"):
        plan(make((A,)))


@pytest.mark.parametrize("launch", [local, processes, lambda *of: submitit(*of, cluster="debug", workers=2)])
def test_every_launcher_runs_every_job_once(make, runs, launch):
    sweep = make()
    plan(sweep)
    launch(sweep, Stop())
    assert sorted(number for number, *_ in runs.points) == list(range(6))


def test_two_processes_share_the_jobs_of_a_database(make, runs, tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    both = [Sweep(tmp_path / name, [], (A, B), storage, "shared") for name in ("here", "there")]
    for sweep in both:
        plan(sweep)
    workers = [threading.Thread(target=work, args=(sweep, Stop())) for sweep in both]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(number for number, *_ in runs.points) == list(range(6))
    assert len(rank(both[0].open())) == 6


def test_a_storage_that_cannot_be_opened_is_one_line_without_its_password(make, tmp_path):
    sweep = Sweep(tmp_path, [], (A,), "mysterious://me:secret@host/db", "s")
    with pytest.raises(InputError) as caught:
        plan(sweep)
    assert "me:...@host" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_job_tells_its_run_where_to_report(make):
    sweep = make(pruner={"_target_": "optuna.pruners.MedianPruner"})
    plan(sweep)
    job = next_job(sweep, sweep.open())
    address = json.loads(job.trial)
    trial = open_trial(open_study(**address["study"]), address["number"])
    trial.report(3.0, step=1)
    assert sweep.open().trials[0].intermediate_values == {1: 3.0}
