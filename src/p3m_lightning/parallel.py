"""Work on many files with all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from p3m_lightning.schema import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_parallel(function: Callable[[Task], Result], tasks: Iterable[Task], workers: int | None) -> Iterator[Result]:
    """Yield `function(task)` of every task as it gets done, in any order.

    Args:
        function: can be pickled, as a function of a module or a `functools.partial` of one.
        tasks: can be pickled.
        workers: processes; None takes one per core, 1 works in this process.

    Raises:
        InputError: less than one worker, or a worker that died; whatever `function` raises ends the work too.
    """
    tasks = list(tasks)
    check_workers(workers)
    workers = min(len(tasks), workers or available_cores())
    if workers <= 1:
        yield from map(function, tasks)
        return
    # spawned, not forked: OpenCV and torch keep threads of which a fork copies only the locks
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        for future in as_completed([pool.submit(function, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool:
        raise InputError("a worker process died, perhaps for lack of memory; try fewer workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


def check_workers(workers: int | None) -> None:
    """Raise InputError for less than one worker."""
    if workers is not None and workers < 1:
        raise InputError(f"workers: {workers} is less than 1")


def available_cores() -> int:
    """Count the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which lets the current files be finished
    cv2.setNumThreads(1)
