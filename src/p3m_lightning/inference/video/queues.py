"""Work beside the main thread, never further ahead or behind than a few items: memory stays constant."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class _End:
    """Mark behind the last item."""


END = _End()


def prefetch(items: Iterable[T], ahead: int) -> Generator[T]:
    """Yield `items`, which a thread makes up to `ahead` before they are asked for."""
    source = iter(items)
    pool = ThreadPoolExecutor(1)
    try:
        coming = deque(pool.submit(next, source, END) for _ in range(ahead))
        while not isinstance(item := coming.popleft().result(), _End):
            coming.append(pool.submit(next, source, END))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


class Backlog:
    """Calls done in order by a thread; `submit` waits while more than `most` are left.

    Used as a context: at its end everything is done, or, after an error, what has not begun is dropped.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left: deque[Future] = deque()
        self._pool = ThreadPoolExecutor(1)

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        """Have `function(*arguments)` called; an error of an earlier call is raised here."""
        self._left.append(self._pool.submit(function, *arguments))
        self._wait(self._most)

    def __enter__(self) -> Backlog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._wait(0)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def _wait(self, leave: int) -> None:
        while len(self._left) > leave:
            self._left.popleft().result()
