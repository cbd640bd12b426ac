"""Making the missing files of a data set's samples: disk space checked first, in parallel, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from p3m_lightning.data.storage.layout import split_folder
from p3m_lightning.files import check_space, prepare_folders, write_whole
from p3m_lightning.parallel import run_parallel
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError


class Task(NamedTuple):
    """Files to make from one sample."""

    sources: dict[str, Path]  # by role, `image` among them
    made: tuple[Path, ...]


Encode = Callable[[Task], Sequence[bytes]]
"""Returns the content of every file to make; picklable. Raises InputError for a faulty source."""


def mirrored_split(root: str | Path, name: str, split: str, out: str | Path | None) -> Path:
    """Return the folder of a split, or the one that mirrors it in `out`, if `root` must not be written to."""
    folder = split_folder(root, name, split)
    return Path(out) / folder.relative_to(root) if out else folder


def make_files(
    tasks: Sequence[Task],
    encode: Encode,
    title: str,
    cure: str,
    workers: int | None,
    announce: Callable[[str], None],
    *,
    probe: Encode | None = None,
    note: str = "",
    replaces: bool = False,
) -> dict[str, str]:
    """Make the files of all tasks; a run killed at any moment is resumed by the next one.

    Args:
        tasks: the files to make.
        encode: makes the content.
        title: of the progress bar.
        cure: what to do about too little disk space.
        workers: processes; by default one per core.
        announce: called with a line that estimates the disk space.
        probe: a quicker substitute for `encode` to estimate sizes with.
        note: follows the number of images in that line.
        replaces: existing files are out of date; they are deleted where new ones cannot be made.

    Returns:
        Names of the images whose files are broken, with the reasons.

    Raises:
        InputError: destination not writable, too little disk space.
    """
    if not tasks:
        return {}
    prepare_folders(list(dict.fromkeys(path.parent for path in tasks[0].made)))
    size = partial(_size, encode=probe or encode)
    announce(check_space(tasks, size, tasks[0].made[0].parent, f"{len(tasks)} images{note}", cure))
    make = partial(_make_one, encode=encode, replaces=replaces)
    work = run_parallel(make, tasks, workers, decodes=lambda task: task.sources.values())
    return dict(result for result in track(work, title, len(tasks)) if result)


def _size(task: Task, encode: Encode) -> int:
    return sum(len(content) for content in encode(task))


def _make_one(task: Task, encode: Encode, replaces: bool) -> tuple[str, str] | None:
    """Write the files of one sample; return its image and the reason where a source is broken."""
    try:
        contents = encode(task)
    except InputError as error:
        if replaces:  # or loading would report the old file instead of the faulty source
            for path in task.made:
                path.unlink(missing_ok=True)
        return task.sources["image"].name, str(error)
    for path, content in zip(task.made, contents, strict=True):
        write_whole(path, content)
    return None
