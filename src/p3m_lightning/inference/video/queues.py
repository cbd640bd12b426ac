"""Work in threads that is never more than a few items ahead or behind, so that memory stays constant."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class _End:
    """Marks the end of the items."""


END = _End()


def prefetch(items: Iterable[T], ahead: int) -> Generator[T]:
    """Yield `items`, which a thread produces up to `ahead` items in advance."""
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
    """Calls made in order by a thread; `submit` blocks while more than `most` are pending.

    A context manager: at its end all calls are done, or, after an error, those not begun are dropped.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._left: deque[Future] = deque()
        self._pool = ThreadPoolExecutor(1)

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        """Schedule `function(*arguments)`; an error of an earlier call is raised here."""
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
