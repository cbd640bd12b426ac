"""Foregrounds and backgrounds of a whole data set, estimated once and kept as files."""

from __future__ import annotations

import errno
import io
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from p3m_lightning.data.foreground import METHODS, estimate_foreground
from p3m_lightning.data.layout import Samples, dataset_card, find_samples, role_folders, split_folder
from p3m_lightning.data.parallel import run_parallel
from p3m_lightning.images import atomic_path, from_unit, read_image, read_matte
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError

FORMATS = {"png": {"compress_level": 3}, "jpg": {"quality": 95, "subsampling": 0}}
PROBED = 3  # images estimated beforehand, to know the size of all


class CacheReport(NamedTuple):
    """What `cache_foregrounds` did."""

    made: int
    kept: int  # were there already
    failed: dict[str, str]  # file -> reason
    folders: tuple[Path, Path]  # of foregrounds, of backgrounds


class _Task(NamedTuple):
    image: Path
    alpha: Path
    foreground: Path
    background: Path


def cache_foregrounds(
    root: str | Path,
    name: str = "p3m-10k",
    split: str = "train",
    images: str | None = None,
    out: str | Path | None = None,
    method: str = "multilevel",
    suffix: str = "png",
    workers: int | None = None,
    announce: Callable[[str], None] = print,
) -> CacheReport:
    """Estimate foreground and background of every image of a split that has none yet.

    Files appear whole or not at all, so that a run killed at any moment is taken up by the next one.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`.
        split: part of the data set.
        images: folder of the images; the card's first that is there by default.
        out: folder to mirror the layout in, where `root` is not to be written to.
        method: "multilevel" or "closed_form".
        suffix: format of the foregrounds, "png" or "jpg"; backgrounds are JPEG always.
        workers: processes; all cores unless told otherwise.
        announce: called with the estimate of disk space, one line.

    Raises:
        InputError: wrong argument or layout, destination not writable, too little disk space.
    """
    for value, choices, key in ((method, METHODS, "method"), (suffix, FORMATS, "format")):
        if value not in choices:
            raise InputError(f"{key}: {value!r} is not one of {', '.join(choices)}")
    samples = find_samples(root, name, split, images, wanted=("foreground", "background"), cache=out)
    folders = _destination(samples, root, name, split, out)
    tasks = [
        _Task(files["image"], files["alpha"], folders[0] / f"{stem}.{suffix}", folders[1] / f"{stem}.jpg")
        for stem, files in samples.items()
        if not {"foreground", "background"} <= files.keys()
    ]
    failed = {}
    if tasks:
        _prepare(folders)
        announce(_check_space(tasks, folders[0], method))
        work = run_parallel(partial(_estimate_one, method=method), tasks, workers)
        failed = dict(result for result in track(work, "estimating foregrounds", len(tasks)) if result)
    return CacheReport(len(tasks) - len(failed), len(samples) - len(tasks), failed, folders)


def _destination(
    samples: Samples, root: str | Path, name: str, split: str, out: str | Path | None
) -> tuple[Path, Path]:
    """Folders of foregrounds and backgrounds: the first that the loader looks in."""
    if dataset_card(name).images_only:
        raise InputError(f"{name}: has images only; without mattes there is no foreground to estimate")
    folder = split_folder(root, name, split)
    image_folder = next(iter(samples.values()))["image"].parent.name
    target = Path(out) / folder.relative_to(root) if out else folder
    places = role_folders(dataset_card(name), target, image_folder)
    return places["foreground"][0], places["background"][0]


def _prepare(folders: Sequence[Path]) -> None:
    """Make the folders and clear what a killed run left half-written."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(".part-*"):
                leftover.unlink()
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            cure = "--out DIR takes another place"
            raise InputError(f"{folder}: cannot be written to ({error.strerror}); {cure}") from None


def _check_space(tasks: Sequence[_Task], folder: Path, method: str) -> str:
    """Return a line about the disk space that is wanted; it must be there."""
    probed = []
    for task in tasks[:: max(1, len(tasks) // PROBED)][:PROBED]:
        try:
            probed.append(sum(len(content) for content in _encoded(task, "multilevel").values()))
        except InputError:
            continue  # named when its turn comes
    wanted = len(tasks) * sum(probed) / max(len(probed), 1)
    free = shutil.disk_usage(folder).free
    line = (
        f"{len(tasks)} images, {method}: about {_bytes(wanted)} of disk space in {folder.parent}, {_bytes(free)} free"
    )
    if wanted > free:
        raise InputError(f"{line}; free some, choose --format jpg or another place with --out DIR")
    return line


def _estimate_one(task: _Task, method: str) -> tuple[str, str] | None:
    """Write both files of one image; return the file and the reason where its input is broken."""
    try:
        contents = _encoded(task, method)
    except InputError as error:
        return task.image.name, str(error)
    for path, content in contents.items():
        write_whole(path, content)
    return None


def _encoded(task: _Task, method: str) -> dict[Path, bytes]:
    image, alpha = read_image(task.image), read_matte(task.alpha)
    if image.shape[:2] != alpha.shape:
        raise InputError(f"{task.image}: its size differs from that of its matte {task.alpha}")
    layers = estimate_foreground(image, alpha, method)
    return {
        path: encode_image(from_unit(layer), path.suffix[1:])
        for path, layer in zip((task.foreground, task.background), layers, strict=True)
    }


def encode_image(pixels: np.ndarray, suffix: str) -> bytes:
    """Return the bytes of an image file, "png" or "jpg"."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, {"jpg": "jpeg"}.get(suffix, suffix), **FORMATS[suffix])
    return content.getvalue()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        InputError: no space, or no right to write; the message says which.
    """
    try:
        with atomic_path(path) as aside:
            aside.write_bytes(content)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        cure = "free some disk space and run the command again, it goes on" if full else "see the folder's rights"
        raise InputError(f"{path}: cannot be written ({error.strerror}); {cure}") from None


def _bytes(count: float) -> str:
    power = min(int(np.log10(max(count, 1)) / 3), 4)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
