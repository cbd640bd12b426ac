"""Atomic writing of files, removal of what killed runs left, and checks of disk space."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import tempfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from p3m_lightning.schema import InputError

Task = TypeVar("Task")

PROBED = 3  # results made in advance, to estimate the size of all

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ONLY_OF_WRITING = (*NO_ROOM, errno.EROFS)  # numbers of errors that reading does not raise
FREE = "free some disk space and run the command again"
CURES = {
    errno.ENOSPC: FREE,
    errno.EDQUOT: FREE,
    errno.EFBIG: "files may not grow that large here: raise the limit (`ulimit -f`) or choose another folder",
    errno.EROFS: "choose a folder of a file system that can be written to",
    errno.EACCES: "check the permissions of the folder",
    errno.EPERM: "check the permissions of the folder",
}
"""What to do where a file cannot be written, by the number of the error."""


PART = ".part-"
"""Beginning of the names of files and folders that are half-written."""

_LOOKED_INTO: set[Path] = set()
"""Folders in which leftovers were looked for; listing a large one again for every file would be slow."""


class NoRoomError(InputError):
    """A file found no room: what comes after it would find none either."""


def unwritable(path: str | Path, error: OSError) -> InputError:
    """Return what to say of a file that could not be written: which, why, and what to do; no room: `NoRoomError`."""
    kind = NoRoomError if error.errno in NO_ROOM else InputError
    cure = CURES.get(error.errno or 0, "choose another folder")
    return kind(f"{path}: cannot be written ({error.strerror or error}); {cure}")


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turn errors that name no file, as those of writing to an open one, into errors that name `path`.

    Raises:
        NoRoomError: there is no room for what is written.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in NO_ROOM:
            raise unwritable(path, error) from error
        raise


def make_folder(path: str | Path) -> Path:
    """Make a folder, and those around it, unless it exists; return it.

    Raises:
        InputError: it cannot be made; the message names it.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


@contextmanager
def atomic_path(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it is renamed to `path` at the end, and removed after an error.

    Args:
        path: the file that is to appear whole or not at all.
        durable: wait until the disk has it, so that a power cut after the renaming costs nothing; milliseconds a file.

    Raises:
        InputError: no right to write, or no room (`NoRoomError`); it names `path`. Errors of other files pass.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(path.parent)
        handle, name = tempfile.mkstemp(prefix=f"{_parts()}{os.getpid()}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise unwritable(path, error) from error
    aside = Path(name)
    try:
        yield aside
        if durable:
            with aside.open("rb") as file:
                os.fsync(file.fileno())
        os.chmod(aside, 0o666 & ~_UMASK)
        os.replace(aside, path)
    except OSError as error:
        if error.errno in NO_ROOM or error.filename in (name, aside):
            raise unwritable(path, error) from error
        raise
    finally:
        with suppress(OSError):  # of a folder that is gone, or a file system that became read-only
            aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path, last: str) -> Iterator[Path]:
    """Yield a folder inside `folder` to fill; its files are moved out at the end, `last` after all others.

    Where `last` is, the others are too.

    Raises:
        InputError: no right to write, or no room (`NoRoomError`); it names `folder`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(folder)
        aside = Path(tempfile.mkdtemp(prefix=f"{_parts()}{os.getpid()}-", dir=folder))
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield aside
        for path in sorted(aside.iterdir(), key=lambda path: path.name == last):
            path.replace(folder / path.name)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        _remove(aside)


def prepare_folders(folders: Sequence[Path]) -> None:
    """Make folders and remove files that a killed run left half-written in them.

    Raises:
        InputError: one of them cannot be written to.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            clear_leftovers(folder)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            cure = "-o DIR writes to another folder"
            raise InputError(f"{folder}: cannot be written to ({error.strerror}); {cure}") from None


def clear_leftovers(folder: Path, *places: str) -> None:
    """Remove half-written files of killed runs from a folder and from `places` below it, which may be patterns."""
    for place in (".", *places):
        for leftover in folder.glob(f"{place}/{PART}*"):
            _remove(leftover)


def _clear_abandoned(folder: Path) -> None:
    """Remove what killed processes of this machine left half-written in a folder, the first time this one writes there.

    Other processes may be writing into it just now: theirs stays, and so does that of other machines.
    """
    if os.name != "posix" or folder in _LOOKED_INTO:
        return
    _LOOKED_INTO.add(folder)
    for leftover in folder.glob(f"{_parts()}*"):
        process = leftover.name.removeprefix(_parts()).partition("-")[0]
        if process.isdecimal() and not _is_running(int(process)):
            _remove(leftover)


def _remove(leftover: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


@cache
def _parts() -> str:
    """Return how the names of this machine's half-written files begin; containers count as machines."""
    with suppress(OSError):
        return f"{PART}{zlib.crc32((platform.node() + os.readlink('/proc/self/ns/pid')).encode()):08x}-"
    return f"{PART}{zlib.crc32(platform.node().encode()):08x}-"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


def check_space(tasks: Sequence[Task], size: Callable[[Task], int], folder: Path, what: str, cure: str) -> str:
    """Check that there is enough disk space, and return a line about it.

    Args:
        tasks: all tasks, of which a few are tried.
        size: returns the bytes that a task will write; an InputError is ignored until the task runs.
        folder: where they are written.
        what: the subject of the line, such as "9 images".
        cure: what to do about too little space.

    Raises:
        InputError: too little space.
    """
    probed = []
    for task in tasks[:: max(1, len(tasks) // PROBED)][:PROBED]:
        try:
            probed.append(size(task))
        except InputError:
            continue
    wanted = len(tasks) * sum(probed) / max(len(probed), 1)
    free = shutil.disk_usage(folder).free
    line = f"{what}: about {readable_bytes(wanted)} of disk space in {folder.parent}, {readable_bytes(free)} free"
    if wanted > free:
        raise InputError(f"{line}; {cure}")
    return line


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; raises as `atomic_path` does."""
    with atomic_path(path) as aside:
        aside.write_bytes(content)


def with_sorted_notes(content: bytes) -> list[bytes | memoryview]:
    """Return a safetensors file, in parts that follow each other, with its metadata in alphabetical order.

    The library writes them in a random one, and the same content would not be the same file twice.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(start - 8)
    return [content[:8], ordered if len(ordered) == start - 8 else content[8:start], memoryview(content)[start:]]


def plain_name(name: str) -> str:
    """Return `name` in Unicode's composed form (NFC), by which files are paired and compared."""
    return unicodedata.normalize("NFC", name)


def readable_bytes(count: float) -> str:
    """Return a number of bytes with three digits and a unit, such as "1.75 MB"."""
    power = min(int(np.log10(max(count, 1)) / 3), 4)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # read once: reading means setting it briefly, which would race between writing threads
