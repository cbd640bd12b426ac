"""Many photographs: decoding, the network and encoding work side by side; a bad file does not stop the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from p3m_lightning.images import from_unit, read_trimap, write_image
from p3m_lightning.inference.background import Background
from p3m_lightning.inference.finder import Task
from p3m_lightning.inference.matte import Matte
from p3m_lightning.inference.photo import Photo, read_photo
from p3m_lightning.inference.predictor import Predictor
from p3m_lightning.schema import InputError


class Outcome(NamedTuple):
    """What became of one photograph."""

    source: Path
    reason: str | None = None  # why it failed


@dataclass(frozen=True)
class Products:
    """What is made of every photograph: `FOLDER/<name>.png` the matte, `cutout/` and `composite/` beside it.

    Args:
        folder: made if it is not there.
        cutout: also RGBA pictures.
        background: also composites over this, see `Matte.composite`.
        light: see `Matte.composite`.
        foreground: method of the colors, see `foreground.estimate_foreground`.
    """

    folder: Path
    cutout: bool = False
    background: Background | None = None
    light: float = 0.0
    foreground: str = "ml"

    def paths(self, name: str) -> dict[str, Path]:
        """Return the files of one photograph by kind: alpha, cutout, composite."""
        kinds = {"alpha": True, "cutout": self.cutout, "composite": self.background is not None}
        return {kind: self.folder / ("" if kind == "alpha" else kind) / f"{name}.png" for kind in kinds if kinds[kind]}

    def finished(self, name: str) -> bool:
        """Tell whether all files of one photograph are there; files appear whole or not at all."""
        return all(path.exists() for path in self.paths(name).values())

    def write(self, matte: Matte, task: Task) -> None:
        """Write the files of one photograph, with 16 bits a channel if it has 16, colors with its ICC profile.

        Raises:
            InputError: a file that cannot be written, or would overwrite the photograph itself.
        """
        paths = self.paths(task.name)
        for path in paths.values():
            if path.exists() and path.samefile(task.source):
                raise InputError(f"{task.source}: its matte would overwrite it; choose another output folder")
        matte.method = self.foreground
        dtype = matte.image.dtype.type
        if "cutout" in paths:
            write_image(paths["cutout"], matte.rgba(dtype), icc_profile=matte.profile)
        if "composite" in paths:
            composite = matte.composite(self.background, self.light, dtype)
            write_image(paths["composite"], composite, icc_profile=matte.profile)
        write_image(paths["alpha"], from_unit(matte.alpha, dtype))


def predict_files(
    predictor: Predictor,
    tasks: Iterable[Task],
    products: Products,
    trimaps: Path | None = None,
    batch_size: int = 1,
    workers: int = 2,
) -> Iterator[Outcome]:
    """Predict photographs and write what is made of them, yielding each one's outcome as it is done.

    Args:
        predictor: runs in the calling thread.
        tasks: from a `Finder`.
        products: what to write.
        trimaps: folder of `<name>.png`, for networks that need one.
        batch_size: neighbors of equal size share a pass.
        workers: threads that decode, and as many that encode. Memory holds a few photographs for each.
    """

    def read(task: Task) -> tuple[Photo, np.ndarray | None]:
        if task.taken:
            raise InputError(f"{task.source}: another input has the same result {task.name}.png; rename one of them")
        return read_photo(task.source), None if trimaps is None else read_trimap(trimaps / f"{task.name}.png")

    writing: deque[tuple[Task, Future]] = deque()
    with _pool(workers) as readers, _pool(workers) as writers:
        for group in _groups(_ahead(readers, read, tasks, 2 * workers), batch_size):
            for task, result in _predict(predictor, group):
                if isinstance(result, str):
                    yield Outcome(task.source, result)
                else:
                    writing.append((task, writers.submit(products.write, result, task)))
            yield from _settled(writing, 2 * workers)
        yield from _settled(writing, 0)


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[Task], tuple], tasks: Iterable[Task], ahead: int
) -> Iterator[tuple[Task, tuple | str]]:
    """Read `ahead` photographs before they are asked for; of a bad one comes the reason."""
    reading: deque[tuple[Task, Future]] = deque()
    for task in tasks:
        reading.append((task, pool.submit(read, task)))
        if len(reading) > ahead:
            yield _result(*reading.popleft())
    while reading:
        yield _result(*reading.popleft())


def _groups(items: Iterable[tuple[Task, tuple | str]], size: int) -> Iterator[list[tuple[Task, tuple | str]]]:
    """Gather up to `size` neighbors whose pixels have one shape; a bad file is a group of its own."""
    group: list = []
    for item in items:
        if group and (len(group) == size or _shape(item) is None or _shape(item) != _shape(group[0])):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _shape(item: tuple[Task, tuple | str]) -> tuple | None:
    read = item[1]
    return None if isinstance(read, str) else (read[0].pixels.shape, read[0].pixels.dtype)


def _predict(predictor: Predictor, group: list[tuple[Task, tuple | str]]) -> Iterator[tuple[Task, Matte | str]]:
    """Predict one group; where it fails as a whole, one photograph at a time, so that only the guilty ones fail."""
    if isinstance(group[0][1], str):
        yield group[0]
        return
    photos = [photo for _, (photo, _) in group]
    trimaps = [trimap for _, (_, trimap) in group]
    try:
        mattes = predictor.batch(photos, None if trimaps[0] is None else trimaps)
    except _FAULTS as error:
        if len(group) > 1:
            for item in group:
                yield from _predict(predictor, [item])
        else:
            yield group[0][0], _reason(error, group[0][0])
    else:
        yield from zip((task for task, _ in group), mattes, strict=True)


def _settled(writing: deque[tuple[Task, Future]], leave: int) -> Iterator[Outcome]:
    """Wait for the oldest writes until `leave` are under way."""
    while len(writing) > leave:
        task, result = _result(*writing.popleft())
        yield Outcome(task.source, result if isinstance(result, str) else None)


def _result(task: Task, future: Future) -> tuple[Task, object]:
    try:
        return task, future.result()
    except _FAULTS as error:
        return task, _reason(error, task)


def _reason(error: Exception, task: Task) -> str:
    """Return one line that names the file; what is neither the file's fault nor lack of memory is raised again."""
    if isinstance(error, RuntimeError) and "memory" not in str(error):
        raise error
    line = " ".join(str(error).split()) or "not enough memory"
    return line if str(task.source) in line else f"{task.source}: {line}"


_FAULTS = (InputError, MemoryError, RuntimeError)


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that, when left early, drops what has not begun and finishes what has."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
