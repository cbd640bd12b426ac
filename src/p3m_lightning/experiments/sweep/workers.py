"""Sweeps: an Optuna study with waiting trials, and workers that run them one after another.

Grid, random and guided search differ only in whether a waiting trial already has its values. Any worker that opens the
same study takes part in it, in threads, processes or other machines.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from p3m_lightning.experiments.sweep.jobs import Job, Outcome, run_job, try_lock
from p3m_lightning.experiments.sweep.space import Dimension, grid
from p3m_lightning.messages import refuse_other_settings
from p3m_lightning.records.study import build_part, one_at_a_time, open_storage, open_study, open_trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler

DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}
PLANNED, RETRIED, SETTINGS = "planned", "retried", "settings"
"""Attributes of trials: whether the sweep planned it, the number of the failed trial that it retries, and the
overrides that it last ran with besides its own values."""


@dataclass(frozen=True)
class Sweep:
    """Description of a sweep and its storage; can be sent to other machines.

    Args:
        folder: holds one numbered folder for each job that runs here.
        overrides: of every job.
        space: the varied keys.
        storage: of the study: a file or the URL of a database; see `study.open_storage`.
        study: its name.
        sampler: configuration of the sampler, which also gets a `seed`; None runs the whole grid.
        pruner: configuration of the pruner; None stops no job early.
        trials: number of jobs, if there is a sampler.
        seed: of the suggestions.
        direction: `min` or `max` of the validation score.
        retry_failed: also rerun failed jobs.
    """

    folder: Path
    overrides: Sequence[str]
    space: Sequence[Dimension]
    storage: str
    study: str
    sampler: Mapping[str, Any] | None = None
    pruner: Mapping[str, Any] | None = None
    trials: int = 0
    seed: int = 0
    direction: str = "min"
    retry_failed: bool = False

    @property
    def plan(self) -> dict[str, Any]:
        """Facts that an existing study must agree with to be used for this sweep."""
        method = self.sampler["_target_"] if self.sampler else "grid"
        return {"method": method, "space": {each.key: str(each) for each in self.space}}

    def open(self) -> Study:
        """Open its study."""
        return open_study(self.storage, self.study, self.pruner)

    def sampler_of(self, number: int) -> BaseSampler:
        """Build the sampler of one trial."""
        return build_part("sampler", self.sampler or {}, seed=self.seed + number)


@dataclass
class Stop:
    """Request of the user to stop: after one, jobs write their checkpoints; a second one kills them."""

    asked: threading.Event = field(default_factory=threading.Event)
    forced: threading.Event = field(default_factory=threading.Event)

    def ask(self, *_: object) -> None:
        """Handle a signal."""
        (self.forced if self.asked.is_set() else self.asked).set()


@contextmanager
def stopping_on_signals() -> Iterator[Stop]:
    """Collect SIGINT and SIGTERM in a `Stop` while the context lasts."""
    stop = Stop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop.ask) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def plan(sweep: Sweep) -> None:
    """Make the study with all its trials waiting; if it exists, resume it and add missing trials.

    Raises:
        InputError: Optuna is not installed or refuses the sampler or the pruner, a study of the same name sweeps over
            something else, or the space is empty.
    """
    points = [{} for _ in range(sweep.trials)] if sweep.sampler else grid(sweep.space)
    if sweep.sampler:  # both are built to check them before anything is written
        sweep.sampler_of(0)
    if sweep.pruner:
        build_part("pruner", sweep.pruner)
    storage = open_storage(sweep.storage)
    import optuna

    try:
        study = optuna.create_study(study_name=sweep.study, storage=storage, direction=DIRECTIONS[sweep.direction])
    except optuna.exceptions.DuplicatedStudyError:
        study = _joined(sweep)
        first = [t for t in study.trials if PLANNED in t.user_attrs and RETRIED not in t.user_attrs]
        points = points[len(first) :]
    for point in points:
        study.enqueue_trial(point, user_attrs={PLANNED: True})
    if sweep.retry_failed:
        _enqueue_failed(study)
    study.set_user_attr("plan", sweep.plan)


def work(sweep: Sweep, stop: Stop, environment: Mapping[str, str] | None = None) -> None:
    """Run jobs until none is waiting or the user asks to stop: first interrupted ones, then waiting ones.

    Args:
        sweep: already planned.
        stop: interrupts the running job, which resumes next time.
        environment: additional variables for the jobs.
    """
    study = sweep.open()
    while not stop.asked.is_set():
        job = next_job(sweep, study)
        if job is None:
            return
        with job.lock:
            settle(study, job, run_job(job, stop.asked, stop.forced, environment or {}))


def next_job(sweep: Sweep, study: Study) -> Job | None:
    """Return an interrupted job of this folder, or else the next waiting trial; None if there is neither.

    The job is locked: a running trial whose lock is free was left by a process that has died.
    """
    from optuna.trial import TrialState

    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        folder = sweep.folder / str(left.number)
        lock = try_lock(folder) if folder.is_dir() else None
        if lock and study.trials[left.number].state is TrialState.RUNNING:
            return _job(sweep, study, left.number, lock)
    if not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        return None
    with one_at_a_time(sweep.storage):
        trial = study.ask()
    if (
        PLANNED not in trial.user_attrs
    ):  # another worker was faster, none is waiting, and Optuna has created a trial of its own
        study.tell(trial, state=TrialState.FAIL)
        return None
    lock = try_lock(sweep.folder / str(trial.number))
    return _job(sweep, study, trial.number, lock) if lock else next_job(sweep, study)


def settle(study: Study, job: Job, outcome: Outcome) -> None:
    """Write the outcome of a job into the study; an interrupted one stays "running" there, for the next time."""
    from optuna.trial import TrialState

    if study.trials[job.number].state is TrialState.PRUNED:  # the run itself has told the study
        outcome = Outcome("pruned", reason=outcome.reason.removeprefix("pruned: "))
    elif outcome.state != "interrupted":
        trial = open_trial(study, job.number)
        for name, value in outcome.record().items():
            trial.set_user_attr(name, value)
        done = outcome.state == "done"
        study.tell(trial, outcome.value if done else None, state=TrialState.COMPLETE if done else TrialState.FAIL)
    said = f"{outcome.value:.4g}" if outcome.value is not None else outcome.reason
    print(f"job {job.number} {outcome.state}: {said}  [{' '.join(job.point)}]  {_remaining(study)}", flush=True)


def _remaining(study: Study) -> str:
    """Return how many jobs are waiting, and an estimate of the time from the finished ones."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    waiting = sum(trial.state is TrialState.WAITING for trial in trials)
    running = sum(trial.state is TrialState.RUNNING for trial in trials)
    times = [trial.duration.total_seconds() for trial in trials if trial.duration]
    minutes = sum(times) / len(times) / 60 * -(-waiting // (running + 1)) if times else 0
    return f"{waiting} waiting, {minutes:.0f} min" if waiting else "none waiting"


def _job(sweep: Sweep, study: Study, number: int, lock: BinaryIO) -> Job:
    """Return the job of a running trial; its values are drawn by (seed, number), whichever process draws them."""
    if sweep.sampler:
        study.sampler = sweep.sampler_of(number)
    trial = open_trial(study, number)
    trial.set_user_attr(SETTINGS, list(sweep.overrides))
    point = [each.override(each.suggest(trial)) for each in sweep.space]
    address = {"study": {"storage": sweep.storage, "name": sweep.study, "pruner": sweep.pruner}, "number": number}
    return Job(number, sweep.folder / str(number), [*sweep.overrides, *point], point, json.dumps(address), lock)


def _joined(sweep: Sweep, patience: float = 60) -> Study:
    """Open a study that another process makes, once that process has planned it."""
    until = time.monotonic() + patience
    study = sweep.open()
    while "plan" not in study.user_attrs and time.monotonic() < until:
        time.sleep(0.2)
    place = f"hydra.sweeper.study={sweep.study}"
    refuse_other_settings(place, study.user_attrs.get("plan", sweep.plan), sweep.plan, "name another")
    return study


def _enqueue_failed(study: Study) -> None:
    from optuna.trial import TrialState

    again = {trial.user_attrs.get(RETRIED) for trial in study.trials}
    for trial in study.get_trials(states=(TrialState.FAIL,)):
        if PLANNED in trial.user_attrs and trial.number not in again:
            study.enqueue_trial(trial.params, user_attrs={PLANNED: True, RETRIED: trial.number})
