"""Many photographs: decoding, the network and encoding run in parallel; a bad file does not stop the others.

`predict_files` puts the three parts together in one process, `distributed.predict` in several.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain, starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from p3m_lightning.files import NoRoomError
from p3m_lightning.images import Photo, read_photo, read_trimap
from p3m_lightning.inference.finder import Task
from p3m_lightning.inference.matte import Matte, Products
from p3m_lightning.inference.predictor import Predictor
from p3m_lightning.parallel import PixelsInUse, in_order
from p3m_lightning.schema import InputError

Item = tuple[Task, tuple[Photo, np.ndarray | None] | str]
"""A photograph with its trimap, or the reason why a file is bad."""

Result = tuple[Task, Matte | str]
"""A matte, or the reason why there is none."""


class Outcome(NamedTuple):
    """Outcome of one photograph."""

    source: Path
    reason: str | None = None  # why it failed


def predict_files(
    predictor: Predictor,
    tasks: Iterable[Task],
    products: Products,
    trimaps: Path | None = None,
    batch_size: int = 1,
    workers: int = 2,
) -> Iterator[Outcome]:
    """Predict photographs and write the products, yielding each outcome as it is done.

    Args:
        predictor: runs in the calling thread.
        tasks: from a `Finder`.
        products: what to write.
        trimaps: folder of `<name>.png`, for networks that need one.
        batch_size: neighbors of equal size share a pass.
        workers: threads that decode, and as many that encode. Memory holds a few photographs per thread.
    """
    with (
        Writing(products, workers) as writing,
        closing(read_groups(tasks, trimaps, batch_size, workers, writing.pixels)) as groups,
    ):
        # chained, since loop variables would keep each photograph until the next one has been read
        yield from chain.from_iterable(map(writing.add, map(partial(predict_group, predictor), groups)))
        yield from writing.rest()


def read_groups(
    tasks: Iterable[Task],
    trimaps: Path | None = None,
    batch_size: int = 1,
    workers: int = 2,
    written: PixelsInUse | None = None,
) -> Generator[list[Item], None, None]:
    """Read photographs ahead of the network; yield up to `batch_size` neighbors of one shape, or one bad file alone.

    Args as for `predict_files`; `written` counts pixels being written, which share the memory.
    """

    def read(task: Task) -> tuple[Photo, np.ndarray | None]:
        if task.taken:
            both = f"{task.source}: has the same result {task.name}.png as {task.taken}"
            raise InputError(f"{both}; rename one of them, or give them different output folders")
        return read_photo(task.source), None if trimaps is None else read_trimap(trimaps / f"{task.name}.png")

    group: list[Item] = []
    with _pool(workers) as pool:
        for item in _ahead(pool, read, tasks, 2 * workers, written):
            if group and (_shape(item) is None or _shape(item) != _shape(group[0])):
                yield group
                group = []
            group.append(item)
            del item  # free its memory before the next one is read
            if len(group) == batch_size or _shape(group[0]) is None:
                yield group
                group = []
        if group:
            yield group


def predict_group(predictor: Predictor, group: list[Item]) -> list[Result]:
    """Predict one group; if it fails as a whole, one photograph at a time, so that only the bad ones fail."""
    refused: list[Result] = [(task, read) for task, read in group if isinstance(read, str)]
    if refused:
        return refused
    tasks = [task for task, _ in group]
    photos, trimaps = zip(*(read for _, read in group if not isinstance(read, str)), strict=True)
    try:
        mattes = predictor.batch(photos, None if trimaps[0] is None else trimaps)
    except _FAULTS as error:
        if len(group) == 1:
            return [(group[0][0], _reason(error, group[0][0]))]
        return [result for item in group for result in predict_group(predictor, [item])]
    return list(zip(tasks, mattes, strict=True))


class Writing:
    """Threads that write the products of photographs; adding more than they can write blocks.

    Leaving the context early drops work that has not begun and finishes the rest.

    Args:
        products: what to write.
        workers: number of threads; as many more photographs may wait.

    `pixels` counts those of the photographs in progress.
    """

    def __init__(self, products: Products, workers: int) -> None:
        self._products = products
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers)
        self._under_way: deque[tuple[Task, Future[None]]] = deque()
        self.pixels = PixelsInUse()

    def __enter__(self) -> Writing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, results: Iterable[Result]) -> Iterator[Outcome]:
        """Submit mattes, and yield the outcomes of earlier ones; failed ones have their outcome at once."""
        for task, result in results:
            if isinstance(result, str):
                yield Outcome(task.source, result)
            else:
                matte = self._products.needed(result)
                future = self._pool.submit(self._products.write, matte, task)
                self.pixels.add(future, matte.alpha.size)
                self._under_way.append((task, future))
        yield from self._settled(2 * self._workers)

    def rest(self) -> Iterator[Outcome]:
        """Wait for all work in progress, and yield its outcomes."""
        return self._settled(0)

    def close(self) -> None:
        """Finish work that has begun; nothing can be added afterward."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _settled(self, leave: int) -> Iterator[Outcome]:
        while len(self._under_way) > leave:
            task, future = self._under_way.popleft()
            yield Outcome(task.source, _failure(task, future))


def _ahead(
    pool: ThreadPoolExecutor,
    read: Callable[[Task], tuple[Photo, np.ndarray | None]],
    tasks: Iterable[Task],
    ahead: int,
    written: PixelsInUse | None,
) -> Iterator[Item]:
    """Prefetch `ahead` photographs; yield the reason for a bad one."""
    return starmap(_read, in_order(pool, read, tasks, ahead, lambda task: [task.source], written))


def _shape(item: Item) -> tuple | None:
    read = item[1]
    return None if isinstance(read, str) else (read[0].pixels.shape, read[0].pixels.dtype)


def _read(task: Task, future: Future[tuple[Photo, np.ndarray | None]]) -> Item:
    try:
        return task, future.result()
    except _FAULTS as error:
        return task, _reason(error, task)


def _failure(task: Task, future: Future[None]) -> str | None:
    """Return the reason of a failure; None if there was none."""
    try:
        future.result()
    except _FAULTS as error:
        return _reason(error, task)
    return None


def _reason(error: Exception, task: Task) -> str:
    """Return one line that names the file; what is neither the file's fault nor lack of memory is raised again."""
    if isinstance(error, NoRoomError) or (isinstance(error, RuntimeError) and "memory" not in str(error)):
        raise error
    line = " ".join(str(error).split()) or "not enough memory"
    return line if str(task.source) in line else f"{task.source}: {line}"


_FAULTS = (InputError, MemoryError, RuntimeError)


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool that, when left early, drops work that has not begun and finishes the rest."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
