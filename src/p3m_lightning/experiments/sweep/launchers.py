"""Launchers of a sweep's workers: one here, several in parallel, or on a cluster."""

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
    """Run `n_jobs` jobs in parallel on this machine, each in a process watched by a thread.

    Args:
        sweep: already planned.
        stop: the user's request to stop.
        n_jobs: at least 1, or -1 for one for each core.
        gpus: the jobs of the k-th worker see only the k-th of these; empty: all jobs see all GPUs.
    """
    count = available_cores() if n_jobs == -1 else n_jobs
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    shared = {"OMP_NUM_THREADS": threads}  # else every job would take all cores
    own = [{"CUDA_VISIBLE_DEVICES": str(gpus[k % len(gpus)])} if gpus else {} for k in range(count)]
    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(work, sweep, stop, shared | variables) for variables in own]
    for each in running:
        each.result()  # re-raise what a worker raised


def submitit(sweep: Sweep, stop: Stop, cluster: str = "slurm", workers: int = 1, **parameters: Any) -> None:
    """Submit workers to a cluster and wait for them.

    A worker that is preempted or runs out of time is submitted again, and its job resumes from its last checkpoint.

    Args:
        sweep: already planned; its folder must be visible to all machines.
        stop: the user's request to stop; it cancels the workers.
        cluster: `slurm`; `local` for processes on this machine, to try it.
        workers: how many, each with the resources below; jobs are assigned to them as they become free.
        parameters: for submitit's `update_parameters`, such as `timeout_min`, `gpus_per_node`, `slurm_partition`.

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
    """Job of a cluster: `work`, submitted again when it is interrupted."""

    def __call__(self, sweep: Sweep) -> None:
        """Run jobs until none is waiting."""
        with stopping_on_signals() as stop:
            # this name tells Lightning that the job, not srun, starts its processes
            work(sweep, stop, {"SLURM_JOB_NAME": "interactive"})

    def checkpoint(self, sweep: Sweep) -> Any:
        """Return the task that submitit runs next when time is up: the same again."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, sweep)


def _wait_for_the_end(jobs: Sequence[Any], stop: Stop) -> None:
    while not all(job.done() for job in jobs) and not stop.forced.is_set():
        time.sleep(1)
    for job in jobs:
        if job.done() and not stop.asked.is_set() and job.exception() is not None:
            print(f"worker {job.job_id} failed: {str(job.exception()).strip().splitlines()[-1]}", flush=True)
