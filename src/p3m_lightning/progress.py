"""Progress of long work: a bar in a terminal, periodic lines in a log."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

EVERY = float(os.environ.get("P3M_PROGRESS_SECONDS", "30"))
"""Seconds between two lines where there is no bar."""


class Occasionally:
    """A timer for lines that are due every `seconds`.

    Args:
        seconds: between two lines.
    """

    def __init__(self, seconds: float = EVERY) -> None:
        self.seconds = seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        """Return whether a line is due, and restart the timer if it is."""
        now = time.monotonic()
        if now - self._last < self.seconds:
            return False
        self._last = now
        return True


class _Bar(Progress):
    """A bar that writes lines if its console is not a terminal."""

    def __init__(self, *columns: Any, console: Console) -> None:
        # rich would print the bar only once, at the end
        super().__init__(*columns, console=console, disable=not console.is_terminal, get_time=lambda: time.monotonic())
        self._lines = None if console.is_terminal else Occasionally()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        task = self._tasks[task_id]
        if self._lines is not None and self._lines.due():
            self.console.print(_line(task), markup=False, highlight=False, soft_wrap=True)


def _line(task: Task) -> str:
    """Return the state of a task, such as `predicting 120/500, 0:01:00 gone, 0:03:10 left`."""
    total = "" if task.total is None else f"/{task.total:.0f}"
    parts = [f"{task.description} {task.completed:.0f}{total}", f"{spent(task.elapsed or 0)} gone"]
    if task.total and task.completed and task.elapsed:
        parts.append(f"{spent(task.elapsed * (task.total / task.completed - 1))} left")
    return ", ".join(parts)


def spent(seconds: float) -> str:
    """Return a duration as 1:02:03."""
    return str(timedelta(seconds=round(seconds)))


def progress_bar() -> Progress:
    """Return a bar with count, time spent and time left; on stderr, since stdout is for results.

    If stderr is not a terminal, it writes a line every `EVERY` seconds instead.
    """
    return _Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` with a progress bar; give `total` if they have no length."""
    with progress_bar() as bar:
        if total is None and isinstance(items, Sized):
            total = len(items)
        task = bar.add_task(description, total=total)
        for item in items:
            yield item
            bar.advance(task)
