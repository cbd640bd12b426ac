"""Atomic writing of files, checks of disk space, and recognition of what a file is."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from p3m_lightning.schema import InputError

Task = TypeVar("Task")

PROBED = 3  # results made in advance, to estimate the size of all

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
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


class NoRoomError(InputError):
    """A file found no room: what comes after it would find none either."""


def unwritable(path: str | Path, error: OSError) -> InputError:
    """Return what to say of a file that could not be written: which, why, and what to do; no room: `NoRoomError`."""
    kind = NoRoomError if error.errno in NO_ROOM else InputError
    cure = CURES.get(error.errno or 0, "choose another folder")
    return kind(f"{path}: cannot be written ({error.strerror or error}); {cure}")


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
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.suffix, dir=path.parent)
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


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line per row, `name` first; a key that a row lacks stays empty. Atomic."""
    columns = list(dict.fromkeys(["name", *(key for row in rows for key in row)]))
    with atomic_path(path) as aside, aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


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
        for leftover in folder.glob(f"{place}/.part-*"):
            leftover.unlink(missing_ok=True)


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


def with_sorted_notes(header: bytes) -> bytes:
    """Return the header of a safetensors file with its metadata in alphabetical order.

    The library writes them in a random one, and the same content would not be the same file twice.
    """
    content = json.loads(header)
    content["__metadata__"] = dict(sorted(content["__metadata__"].items()))
    ordered = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode().ljust(len(header))
    return ordered if len(ordered) == len(header) else header


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
