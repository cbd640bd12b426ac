"""Work on many files with all cores, within the memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import cv2

from p3m_lightning.images import declared_pixels, pixel_limit
from p3m_lightning.schema import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")


Decodes = Callable[[Task], Iterable[Path | None]]
"""Returns the image files that a task decodes, since the total of pixels in progress is limited."""


def run_parallel(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int | None,
    decodes: Decodes[Task] = lambda _: (),
) -> Iterator[Result]:
    """Yield `function(task)` of every task as it completes, in any order.

    Args:
        function: picklable, such as a function of a module or a `functools.partial` of one.
        tasks: picklable.
        workers: processes; None uses one per core, 1 works in this process.
        decodes: returns the image files of a task; together at most `pixel_limit` are in progress.

    Raises:
        InputError: less than one worker, or a worker died; any exception of `function` ends the work too.
    """
    tasks = list(tasks)
    check_workers(workers)
    workers = min(len(tasks), workers or available_cores())
    if workers <= 1:
        yield from map(function, tasks)
        return
    # spawned, not forked: of the threads of OpenCV and torch a fork copies only the locks
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield from _as_completed(pool, function, deque(tasks), 2 * workers, decodes)
    except BrokenProcessPool:
        raise InputError("a worker process died, perhaps for lack of memory; try fewer workers") from None
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(
    pool: Executor,
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    ahead: int,
    decodes: Decodes[Task] = lambda _: (),
    used: PixelsInUse | None = None,
) -> Iterator[tuple[Task, Future[Result]]]:
    """Yield the tasks in order, each with its future, while a pool works on the following ones.

    Args:
        pool: of threads.
        function: applied to each task.
        tasks: consumed one by one, as needed.
        ahead: number of tasks begun in advance.
        decodes: as for `run_parallel`.
        used: pixels of earlier tasks still in use by other threads; count toward the same `pixel_limit`.
    """
    used = used or PixelsInUse()
    under_way: deque[tuple[Task, Future[Result], int]] = deque()
    for task in tasks:
        pixels = _pixels(decodes(task))
        while under_way and (
            len(under_way) > ahead or sum(row[2] for row in under_way) + used.count() + pixels > pixel_limit()
        ):
            yield under_way.popleft()[:2]
        used.wait(pixel_limit() - pixels)
        under_way.append((task, pool.submit(function, task), pixels))
    while under_way:
        yield under_way.popleft()[:2]


class PixelsInUse:
    """Count of the pixels that futures hold until they are done."""

    def __init__(self) -> None:
        self._held: dict[Future[Any], int] = {}

    def add(self, future: Future[Any], pixels: int) -> None:
        """Count `pixels` until `future` is done."""
        self._held[future] = pixels

    def count(self) -> int:
        """Return the number of pixels held."""
        self._held = {future: pixels for future, pixels in self._held.items() if not future.done()}
        return sum(self._held.values())

    def wait(self, most: int) -> None:
        """Wait until at most `most` pixels are held."""
        while self.count() > max(most, 0) and self._held:
            wait(self._held, return_when=FIRST_COMPLETED)


def _as_completed(
    pool: Executor, function: Callable[[Task], Result], waiting: deque[Task], most: int, decodes: Decodes[Task]
) -> Iterator[Result]:
    running: dict[Future[Result], int] = {}
    while waiting or running:
        while waiting and len(running) < most:
            pixels = _pixels(decodes(waiting[0]))
            if running and sum(running.values()) + pixels > pixel_limit():
                break
            running[pool.submit(function, waiting.popleft())] = pixels
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            del running[future]
            yield future.result()


def _pixels(files: Iterable[Path | None]) -> int:
    return sum(declared_pixels(file) for file in files if file is not None)


def check_workers(workers: int | None) -> None:
    """Raise InputError for less than one worker."""
    if workers is not None and workers < 1:
        raise InputError(f"workers: {workers} is less than 1")


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which lets current files finish
    cv2.setNumThreads(1)
    silence_libraries()


def silence_libraries() -> None:
    """Keep messages of C libraries about broken files off the terminal, but not Python's own stderr.

    Does nothing if stderr is not that of the process, as in a notebook.
    """
    own = sys.__stderr__
    if own is None or sys.stderr is not own:
        return
    try:
        own.flush()
        terminal = os.dup(own.fileno())
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    # a duplicate of the terminal's descriptor, open as long as the process
    stderr = os.fdopen(terminal, "w", buffering=1, encoding=own.encoding, errors="backslashreplace")
    sys.stderr = sys.__stderr__ = stderr  # type: ignore[misc]  # the interpreter's final messages go there too
