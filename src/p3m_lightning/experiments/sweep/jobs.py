"""One job of a sweep: `p3m train` in a process and a folder of its own, isolated from the others."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from p3m_lightning.configuration.quoting import quoted
from p3m_lightning.files import make_folder
from p3m_lightning.records import read_record
from p3m_lightning.records.study import TRIAL
from p3m_lightning.schema import InputError

LOG = "log.txt"
POLL = 0.2
"""Seconds between two checks of a run."""
PATIENCE = 60
"""Seconds that a run has to write its checkpoint when the worker itself must exit."""
REPORT = "++callbacks.trial._target_=p3m_lightning.training.callbacks.pruning.TrialReport"

RESULTS = {
    "validation": dict,
    "validation.*": int | float,
    "sets": dict,
    "sets.*": dict,
    "sets.*.mean": dict,
    "seconds": int | float,
}
NEEDED = ("validation", "sets", "sets.*.mean", "seconds")
"""Types of the values in the results of a job, and what they must have."""


@dataclass
class Outcome:
    """Outcome of a job.

    Args:
        state: `done`, `pruned`, `failed` or `interrupted`.
        value: the validation score of its best checkpoint, when done.
        reason: why it failed or was pruned.
        results: those in its run folder.
    """

    state: str
    value: float | None = None
    reason: str = ""
    results: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the record for the study."""
        return {"results": self.results} if self.state == "done" else {"reason": self.reason}


@dataclass
class Job:
    """A numbered run of a sweep.

    Args:
        number: of the trial and of the folder.
        folder: the run folder.
        overrides: of `p3m train`.
        point: those that distinguish it from other jobs.
        trial: JSON address of its trial, for the run.
        lock: of its folder, held while the file is open here or in the run.
    """

    number: int
    folder: Path
    overrides: Sequence[str]
    point: Sequence[str]
    trial: str
    lock: BinaryIO

    def command(self) -> list[str]:
        """Return the command that starts or resumes the run."""
        last = self.folder / "checkpoints" / "last.ckpt"
        resumed = [f"ckpt={quoted(last.absolute())}"] if last.is_file() else []
        folder = self.folder.absolute()
        place = [f"sweep={quoted('/'.join(folder.parts[-3:-1]))}", f"hydra.run.dir={quoted(folder)}"]
        return [sys.executable, "-m", "p3m_lightning", "train", *self.overrides, *resumed, *place, REPORT]


def try_lock(folder: Path) -> BinaryIO | None:
    """Create a folder and lock it for this process and those it starts; return None if another process holds it.

    The lock is the kernel's: it is released when the last of these processes ends, however it ends.
    """
    make_folder(folder)
    handle = (folder / "lock").open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle


def run_job(job: Job, stop: threading.Event, force: threading.Event, environment: Mapping[str, str]) -> Outcome:
    """Run a job to its end, unless its results exist already.

    Args:
        job: locked by the caller.
        stop: when set, the job is interrupted once, so that it writes its checkpoint.
        force: when set, it is killed.
        environment: variables in addition to those of this process.
    """
    if not (job.folder / "results.json").is_file():
        if not (job.folder / "checkpoints" / "last.ckpt").is_file():  # drop the rows of a start without a checkpoint
            (job.folder / "metrics.csv").unlink(missing_ok=True)
        process = start(job, environment)
        interrupted = wait(process, stop, force)
        if interrupted and process.returncode != 0:
            return Outcome("interrupted", reason="resumes when the sweep is started again")
        if process.returncode != 0 or not (job.folder / "results.json").is_file():
            return Outcome("failed", reason=last_line(job.folder / LOG, process.returncode))
    return read_outcome(job.folder)


def read_outcome(folder: Path) -> Outcome:
    """Read what a finished run left in its folder; what cannot be read counts as a failure."""
    shares = folder / "gradient_shares.json"
    try:
        found = read_record(folder / "results.json", RESULTS, NEEDED, "delete it to run this job again")
        parts = read_record(shares, {}, cure="delete it") if shares.is_file() else {}
    except InputError as error:
        return Outcome("failed", reason=str(error))
    value = next(iter(found["validation"].values()), None)
    if value is None:
        return Outcome("failed", reason="no validation score to rank it by: callbacks.best chose no checkpoint")
    if not math.isfinite(value):  # Optuna accepts no such value
        return Outcome("failed", reason=f"the training diverged: its validation score is {value}")
    means = {name: report["mean"] for name, report in found["sets"].items()}
    kept = {"validation": found["validation"], "sets": means, "seconds": found["seconds"], "folder": str(folder)}
    return Outcome("done", value, results=kept | {"gradient_shares": parts})


def last_line(log: Path, code: int) -> str:
    """Return the last line of a job's output without colors, which is the reason of a failure."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", log.read_text(errors="replace")).replace("\r", "\n")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if code < 0:
        return f"ended by signal {-code}"
    if not lines:
        return f"ended with code {code} and wrote nothing to {log}: is the disk full?"
    return lines[-1].removeprefix("p3m: ")[:300]


def start(job: Job, environment: Mapping[str, str]) -> subprocess.Popen:
    """Start the run in a session of its own: Ctrl-C reaches only the sweep, which passes it on once."""
    with (job.folder / LOG).open("ab") as log:
        return subprocess.Popen(
            job.command(),
            env=os.environ | environment | {TRIAL: job.trial},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[job.lock.fileno()],
        )


def wait(process: subprocess.Popen, stop: threading.Event, force: threading.Event) -> bool:
    """Wait for a run; return whether it was told to stop, or was killed before that.

    Args:
        process: of `start`.
        stop: when set, it is interrupted once.
        force: when set, it is killed with all its children.
    """
    told = False
    try:
        while process.poll() is None and not force.is_set():
            if not told and stop.wait(POLL):
                process.send_signal(signal.SIGINT)
                told = True
            elif told:
                force.wait(POLL)
    except BaseException:  # this process itself is being ended, e.g. by a cluster at its time limit
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return told or force.is_set()
