"""Foregrounds and backgrounds of a whole data set, estimated once and kept as files."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from p3m_lightning.data.foreground_colors import METHODS, estimate_layers
from p3m_lightning.data.prepare.making import Task, make_files, mirrored_split
from p3m_lightning.data.storage.layout import Samples, dataset_card, find_samples, role_folders
from p3m_lightning.images import from_unit, read_image, read_matte
from p3m_lightning.schema import InputError

FORMATS = {"png": {"compress_level": 3}, "jpg": {"quality": 95, "subsampling": 0}}
NO_SPACE = "free some, choose --format jpg, or write elsewhere with -o DIR"


class CacheReport(NamedTuple):
    """Report of `cache_foregrounds`."""

    made: int
    kept: int  # existed already
    failed: dict[str, str]  # file -> reason
    folders: tuple[Path, Path]  # of foregrounds, of backgrounds


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

    Files appear whole or not at all, so a run killed at any moment is resumed by the next one.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`.
        split: part of the data set.
        images: folder of the images; by default the first of the card's that exists.
        out: folder to mirror the layout in, if `root` must not be written to.
        method: "multilevel" or "closed_form".
        suffix: format of the foregrounds, "png" or "jpg"; backgrounds are always JPEG.
        workers: processes; by default one per core.
        announce: called with a line that estimates the disk space.

    Raises:
        InputError: wrong argument or layout, destination not writable, too little disk space.
    """
    for value, choices, key in ((method, METHODS, "method"), (suffix, FORMATS, "format")):
        if value not in choices:
            raise InputError(f"{key}: {value!r} is not one of {', '.join(choices)}")
    samples = find_samples(root, name, split, images, wanted=("foreground", "background"), cache=out)
    folders = _destination(samples, root, name, split, out)
    tasks = [
        Task(
            {role: files[role] for role in ("image", "alpha")},
            (folders[0] / f"{stem}.{suffix}", folders[1] / f"{stem}.jpg"),
        )
        for stem, files in samples.items()
        if not {"foreground", "background"} <= files.keys()
    ]
    failed = make_files(
        tasks,
        partial(_encoded, method=method),
        "estimating foregrounds",
        NO_SPACE,
        workers,
        announce,
        probe=partial(_encoded, method="multilevel"),  # the quick method estimates sizes well enough
        note=f", {method}",
    )
    return CacheReport(len(tasks) - len(failed), len(samples) - len(tasks), failed, folders)


def _destination(
    samples: Samples, root: str | Path, name: str, split: str, out: str | Path | None
) -> tuple[Path, Path]:
    """Return the folders of foregrounds and backgrounds: the first that the loader looks in."""
    if dataset_card(name).images_only:
        raise InputError(f"{name}: has images only; without mattes there is no foreground to estimate")
    image_folder = next(iter(samples.values()))["image"].parent.name
    places = role_folders(dataset_card(name), mirrored_split(root, name, split, out), image_folder)
    return places["foreground"][0], places["background"][0]


def _encoded(task: Task, method: str) -> list[bytes]:
    image, alpha = read_image(task.sources["image"]), read_matte(task.sources["alpha"])
    if image.shape[:2] != alpha.shape:
        raise InputError(f"{task.sources['image']}: its size differs from that of its matte {task.sources['alpha']}")
    layers = estimate_layers(image, alpha, method)
    return [encode_image(from_unit(layer), path.suffix[1:]) for path, layer in zip(task.made, layers, strict=True)]


def encode_image(pixels: np.ndarray, suffix: str) -> bytes:
    """Return the bytes of an image file, "png" or "jpg"."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, {"jpg": "jpeg"}.get(suffix, suffix), **FORMATS[suffix])
    return content.getvalue()
