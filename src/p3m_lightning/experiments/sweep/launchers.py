"""Launchers of a sweep's workers: one here, several beside each other, or on a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from p3m_lightning.experiments.sweep.workers import Stop, Sweep, stopping_on_signals, work
from p3m_lightning.parallel import available_cores
from p3m_lightning.schema import InputError


def local(sweep: Sweep, stop: Stop) -> None:
    """Run one job after the other."""
    work(sweep, stop)


def processes(sweep: Sweep, stop: Stop, n_jobs: int = 2, gpus: Sequence[int | str] = ()) -> None:
    """Run `n_jobs` jobs beside each other on this machine, each in a process for which a thread waits.

    Args:
        sweep: planned before.
        stop: the user's wish to leave.
        n_jobs: at least 1, or -1 for one for each core.
        gpus: the k-th worker's jobs see the k-th of these alone; none for all GPUs to all jobs.
    """
    count = available_cores() if n_jobs == -1 else n_jobs
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    shared = {"OMP_NUM_THREADS": threads}  # else every job would take all cores
    own = [{"CUDA_VISIBLE_DEVICES": str(gpus[k % len(gpus)])} if gpus else {} for k in range(count)]
    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(work, sweep, stop, shared | variables) for variables in own]
    for each in running:
        each.result()  # raises what a worker raised


def submitit(sweep: Sweep, stop: Stop, cluster: str = "slurm", workers: int = 1, **parameters: Any) -> None:
    """Submit workers to a cluster and wait for them.

    A worker that is preempted or runs out of time is submitted again, and its job goes on from its last checkpoint.

    Args:
        sweep: planned before; its folder must be seen by all machines.
        stop: the user's wish to leave; it cancels the workers.
        cluster: `slurm`; `local` for processes on this machine, to try it.
        workers: how many, each with the resources below; jobs are dealt out to them as they come free.
        parameters: for submitit's `update_parameters`, as `timeout_min`, `gpus_per_node`, `slurm_partition`.

    Raises:
        InputError: submitit is not installed, refuses a parameter, or there is no such cluster here.
    """
    try:
        import submitit
    except ImportError:
        raise InputError("hydra/launcher=submitit: pip install 'p3m_lightning[sweep]'") from None
    logs = sweep.folder / "workers"
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=cluster)
        executor.update_parameters(**{key: value for key, value in parameters.items() if value is not None})
        with executor.batch():
            jobs = [executor.submit(ClusterWorker(), sweep) for _ in range(workers)]
    except (RuntimeError, TypeError, ValueError, NameError) as error:
        raise InputError(f"hydra.launcher: {error}") from error
    print(f"{workers} workers submitted: {' '.join(job.job_id for job in jobs)}; their output is in {logs}", flush=True)
    while not all(job.done() for job in jobs):
        if stop.asked.wait(1):
            for job in jobs:
                job.cancel()
            break
    _wait_for_the_end(jobs, stop)


class ClusterWorker:
    """Job of a cluster: `work`, submitted again when it is cut off."""

    def __call__(self, sweep: Sweep) -> None:
        """Run jobs until none waits."""
        with stopping_on_signals() as stop:
            # the name by which Lightning knows that a job starts its processes itself, and not srun
            work(sweep, stop, {"SLURM_JOB_NAME": "interactive"})

    def checkpoint(self, sweep: Sweep) -> Any:
        """Return what submitit is to run next when time is up: the same again."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, sweep)


def _wait_for_the_end(jobs: Sequence[Any], stop: Stop) -> None:
    while not all(job.done() for job in jobs) and not stop.forced.is_set():
        time.sleep(1)
    for job in jobs:
        if job.done() and not stop.asked.is_set() and job.exception() is not None:
            print(f"worker {job.job_id} failed: {str(job.exception()).strip().splitlines()[-1]}", flush=True)
