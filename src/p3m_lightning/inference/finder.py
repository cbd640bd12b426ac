"""Which photographs a run of many is about: files and folders, however large, shared among processes."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from p3m_lightning.images import IMAGE_SUFFIXES, is_image_name
from p3m_lightning.schema import InputError


class Task(NamedTuple):
    """One photograph to predict."""

    source: Path
    name: str  # what its results are called: the path below the folder that was given, without suffix
    taken: bool = False  # an earlier photograph has that name


@dataclass(frozen=True)
class Finder:
    """Walks inputs one file at a time, so that folders of millions need no list.

    Args:
        inputs: photographs and folders of photographs.
        recursive: descend into folders of folders.
        leave_out: a folder not to descend into, that of the results.
        shard: (i, n): only the i-th of n parts, i from 1. The parts depend on names alone, so n processes or machines
            with the same inputs share the work without talking.
        finished: leave out photographs of whose names this is true.
    """

    inputs: Sequence[Path]
    recursive: bool = False
    leave_out: Path | None = None
    shard: tuple[int, int] = (1, 1)
    finished: Callable[[str], bool] | None = None

    def check(self) -> None:
        """Refuse wrong inputs before any work.

        Raises:
            InputError: a missing input; results that would land among the photographs; a shard that is none.
        """
        part, parts = self.shard
        if not 1 <= part <= parts:
            raise InputError(f"shard={part}/{parts}: give I/N with I from 1 to N")
        for path in self.inputs:
            if not path.exists():
                raise InputError(f"{path}: no such file or folder")
            if path.is_dir() and self.leave_out and path.resolve() == self.leave_out.resolve():
                raise InputError(f"{path}: the results would mix with the photographs; choose another output folder")
        if next(self._walk_all(), None) is None:
            where = ", ".join(map(str, self.inputs))
            deeper = "" if self.recursive else "; --recursive looks into folders inside"
            known = ", ".join(sorted(IMAGE_SUFFIXES))
            raise InputError(f"{where}: no images in it (looked for {known}){deeper}")

    def __iter__(self) -> Iterator[Task]:
        names: set[int] = set()  # hashes, an eighth of the strings
        part, parts = self.shard
        for source, name in self._walk_all():
            key = hash(name)
            taken = key in names
            names.add(key)
            mine = zlib.crc32(os.fsencode(name)) % parts == part - 1
            if mine and (taken or self.finished is None or not self.finished(name)):
                yield Task(source, name, taken)

    def share(self, rank: int, size: int) -> Finder:
        """Return the part of process `rank` (from 0) where `size` processes share the work."""
        part, parts = self.shard
        return replace(self, shard=(part + parts * rank, parts * size))

    def _walk_all(self) -> Iterator[tuple[Path, str]]:
        for path in self.inputs:
            if path.is_dir():
                yield from self._walk(path, "")
            else:
                yield path, path.stem

    def _walk(self, folder: Path, below: str) -> Iterator[tuple[Path, str]]:
        try:
            entries = os.scandir(folder)
        except OSError as error:
            raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if self.recursive and not entry.name.startswith(".") and not self._left_out(entry):
                        yield from self._walk(Path(entry.path), f"{below}{entry.name}/")
                elif is_image_name(entry.name) and not entry.is_dir():
                    yield Path(entry.path), below + os.path.splitext(entry.name)[0]

    def _left_out(self, entry: os.DirEntry) -> bool:
        return self.leave_out is not None and Path(entry.path).resolve() == self.leave_out.resolve()
