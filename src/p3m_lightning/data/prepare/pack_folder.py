"""Packs of a whole data set: the pixels of every sample, decoded once and stored as tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from p3m_lightning.data.prepare.making import Task, make_files, mirrored_split
from p3m_lightning.data.storage.layout import PACK, dataset_card, find_samples, pack_folder
from p3m_lightning.data.storage.packs import SUFFIX, Pack, encode_pack, signature
from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.parallel import check_workers
from p3m_lightning.schema import InputError

ROLES = ("face", "foreground", "background")
NO_SPACE = "free some, or write elsewhere with -o DIR"


class PackReport(NamedTuple):
    """Report of `pack_dataset`."""

    made: int
    kept: int  # existed already and were up to date
    failed: dict[str, str]  # file -> reason
    folder: Path
    size: int  # bytes of all packs in the folder


def pack_dataset(
    root: str | Path,
    name: str = "p3m-10k",
    split: str = "train",
    images: str | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    announce: Callable[[str], None] = print,
) -> PackReport:
    """Write the pack of every sample of a split that has none yet, or one that is out of date.

    Files appear whole or not at all, so a run killed at any moment is resumed by the next one. A pack is out of date
    when one of its files has changed, or when there are new ones, such as foregrounds.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`.
        split: part of the data set.
        images: folder of the images; by default the first of the card's that exists.
        out: folder to mirror the layout in, if `root` must not be written to; foregrounds are looked for there too.
        workers: processes; by default one per core.
        announce: called with a line that estimates the disk space.

    Raises:
        InputError: wrong argument or layout, destination not writable, too little disk space.
    """
    check_workers(workers)
    if dataset_card(name).images_only:
        raise InputError(f"{name}: has images only; packs are for samples with mattes")
    samples = find_samples(root, name, split, images, wanted=ROLES, cache=out)
    folder = pack_folder(mirrored_split(root, name, split, out), next(iter(samples.values()))["image"].parent.name)
    every = [Task(files, (folder / f"{stem}{SUFFIX}",)) for stem, files in samples.items()]
    tasks = [task for task in every if not _is_current(task)]
    failed = make_files(tasks, _encoded, "packing", NO_SPACE, workers, announce, replaces=True)
    size = sum(pack.stat().st_size for pack in (task.made[0] for task in every) if pack.exists())
    return PackReport(len(tasks) - len(failed), len(every) - len(tasks), failed, folder, size)


def _is_current(task: Task) -> bool:
    (place,) = task.made
    if not place.exists():
        return False
    try:
        pack = Pack(place)
    except InputError:
        return False
    return pack.roles() == task.sources.keys() - {PACK} and pack.changed(task.sources) is None


def _encoded(task: Task) -> list[bytes]:
    sources = {role: signature(path) for role, path in task.sources.items()}
    files = SampleFiles(task.sources, face="face" in task.sources)
    alpha = files.alpha()
    return [encode_pack({"alpha": alpha, **files.maps(alpha.shape)}, sources)]
