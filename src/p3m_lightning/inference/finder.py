"""Finding the photographs of a run: files and folders of any size, divided among processes."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from p3m_lightning.files import plain_name
from p3m_lightning.images import is_image_name, tell_left_out
from p3m_lightning.images.names import KNOWN
from p3m_lightning.messages import no_such, tell
from p3m_lightning.schema import InputError


class Task(NamedTuple):
    """One photograph to predict."""

    source: Path
    name: str  # name of its results: the path below the given folder, without suffix
    taken: Path | None = None  # an earlier photograph of the same name


@dataclass(frozen=True)
class Finder:
    """Iterates over inputs one file at a time, so that folders of millions need no list.

    Args:
        inputs: photographs and folders of photographs.
        recursive: descend into subfolders.
        leave_out: a folder not to descend into, that of the results.
        shard: (i, n): only the i-th of n parts, i from 1. The parts depend on names alone, so n processes or machines
            with the same inputs share the work without communicating.
        finished: leave out photographs for whose names this returns true.
    """

    inputs: Sequence[Path]
    recursive: bool = False
    leave_out: Path | None = None
    shard: tuple[int, int] = (1, 1)
    finished: Callable[[str], bool] | None = None

    @property
    def _inputs(self) -> list[Path]:
        return [Path(path) for path in self.inputs]

    def check(self) -> None:
        """Refuse wrong inputs before any work; report what is left out of folders: other files, linked folders.

        Raises:
            InputError: a missing input; results that would land among the photographs; an invalid shard.
        """
        part, parts = self.shard
        if not 1 <= part <= parts:
            raise InputError(f"shard={part}/{parts}: give I/N with I from 1 to N")
        for path in self._inputs:
            if not path.exists():
                raise InputError(no_such(path, "file or folder"))
            if path.is_dir() and self.leave_out and path.resolve() == self.leave_out.resolve():
                raise InputError(f"{path}: the results would mix with the photographs; choose another output folder")
        if sum(1 for _ in self._walk_all(tells=True)) == 0:
            where = ", ".join(map(str, self.inputs))
            deeper = "" if self.recursive else "; --recursive searches subfolders"
            raise InputError(f"{where}: no images in it (looked for {KNOWN}){deeper}")

    def __iter__(self) -> Iterator[Task]:
        names: set[int] = set()  # hashes, an eighth of the size of the strings
        first: dict[int, Path] = {}  # of all names, once two are equal
        part, parts = self.shard
        for source, name in self._walk_all():
            key = hash(plain_name(name))
            taken = None
            if key in names:
                first = first or self._first_of_each_name()
                taken = first[key]
            names.add(key)
            mine = zlib.crc32(os.fsencode(name)) % parts == part - 1
            if mine and (taken or self.finished is None or not self.finished(name)):
                yield Task(source, name, taken)

    def share(self, rank: int, size: int) -> Finder:
        """Return the part of process `rank` (from 0) where `size` processes share the work."""
        part, parts = self.shard
        return replace(self, shard=(part + parts * rank, parts * size))

    def _first_of_each_name(self) -> dict[int, Path]:
        first: dict[int, Path] = {}
        for source, name in self._walk_all():
            first.setdefault(hash(plain_name(name)), source)
        return first

    def _walk_all(self, tells: bool = False) -> Iterator[tuple[Path, str]]:
        for path in self._inputs:
            if path.is_dir():
                yield from self._walk(path, "", tells)
            else:
                yield path, path.stem

    def _walk(self, folder: Path, below: str, tells: bool) -> Iterator[tuple[Path, str]]:
        others = []
        try:
            entries = os.scandir(folder)
        except OSError as error:
            raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if self.recursive and not entry.name.startswith(".") and not self._left_out(entry):
                        yield from self._walk(Path(entry.path), f"{below}{entry.name}/", tells)
                elif os.path.isdir(entry.path):  # unlike the entry's own method, false for a link to itself
                    if self.recursive and tells:
                        tell(f"{entry.path}: linked folder not searched; give it as a further input to include it")
                elif is_image_name(entry.name):
                    yield Path(entry.path), below + os.path.splitext(entry.name)[0]
                else:
                    others.append(entry.name)
        if tells:
            tell_left_out(folder, others)

    def _left_out(self, entry: os.DirEntry[str]) -> bool:
        return self.leave_out is not None and Path(entry.path).resolve() == self.leave_out.resolve()
