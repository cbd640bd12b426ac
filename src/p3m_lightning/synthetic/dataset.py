"""A set of synthetic portraits on disk, in the layout of P3M-10k (2024 version)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from p3m_lightning.files import atomic_path, clear_leftovers
from p3m_lightning.images import write_image
from p3m_lightning.landmarks import rounded
from p3m_lightning.messages import refuse_other_settings
from p3m_lightning.ops.faces import obfuscate
from p3m_lightning.ops.matting import trimap_from_alpha
from p3m_lightning.parallel import check_workers, run_parallel
from p3m_lightning.progress import track
from p3m_lightning.records import read_record, write_json
from p3m_lightning.schema import FOREGROUND, UNKNOWN, InputError
from p3m_lightning.synthetic.person.figure import FRAMINGS
from p3m_lightning.synthetic.portrait import SMALLEST, Portrait, render_portrait

MANIFEST = "synthetic.json"
REVISION = 7
"""Increased whenever the same seed gives other images: older sets are then refused instead of mixed."""

LARGEST = 4096
TRIMAP_KERNEL, TRIMAP_SIDE = 25, 1080
"""Approximate kernel of the published test trimaps, at a shorter side of about 1080 pixels."""

SPLITS = {
    "train": ("train", "blurred_image original_image mask fg fg_blurred bg facemask landmarks"),
    "p": ("validation/P3M-500-P", "blurred_image original_image mask trimap facemask landmarks"),
    "np": ("validation/P3M-500-NP", "original_image mask trimap landmarks"),
}
"""Split -> its folder and the folders inside it, in writing order."""

SUFFIXES = {"blurred_image": ".jpg", "original_image": ".jpg", "bg": ".jpg", "landmarks": ".json"}


class _Task(NamedTuple):
    root: Path
    split: str
    number: int
    seed: int
    size: int
    framing: str | None

    def files(self) -> dict[str, Path]:
        """Folder name -> the file of this portrait in it."""
        home, folders = SPLITS[self.split]
        stem = f"{self.split}_{self.number:05d}"
        return {name: self.root / home / name / f"{stem}{SUFFIXES.get(name, '.png')}" for name in folders.split()}


def synthesize(
    root: str | Path,
    train: int = 300,
    test: int = 40,
    size: int = 512,
    seed: int = 0,
    framing: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Render a data set in the layout of P3M-10k; existing portraits with the same parameters are kept.

    A portrait depends only on the seed, its split and its number, not on the number of portraits or workers. Besides
    the published folders there are `original_image`, to train on normal faces, and `landmarks` (`read_landmarks`).

    Args:
        root: folder to fill; created if missing.
        train: training portraits.
        test: portraits in each of the two validation sets.
        size: side of the square images in pixels, 64 to 4096.
        seed: not negative.
        framing: visible part of the person: close, shoulders, half, knees, full, or aligned, with every
            face at the same place as in FFHQ; None mixes all but the last.
        workers: processes; by default one per core; 1 renders in this process.
        overwrite: delete a set of other parameters first.

    Returns:
        `root`.

    Raises:
        InputError: impossible parameters; a folder that holds a set of other parameters, or something else.
    """
    root, counts = Path(root), {"train": train, "p": test, "np": test}
    parameters: dict[str, Any] = {"revision": REVISION, "train": train, "test": test, "size": size, "seed": seed}
    if framing is not None:  # older sets lack this entry
        parameters["framing"] = framing
    _check(parameters)
    check_workers(workers)
    _claim(root, parameters, overwrite)
    tasks = [
        _Task(root, split, number, seed, size, framing) for split, count in counts.items() for number in range(count)
    ]
    missing = [task for task in tasks if not all(path.exists() for path in task.files().values())]
    if missing:
        clear_leftovers(root, "**")
        for _ in track(run_parallel(_render, missing, workers), "rendering portraits", len(missing)):
            pass
    return root


def write_portrait(portrait: Portrait, files: dict[str, Path]) -> None:
    """Write the requested files: folder name (such as `mask` or `blurred_image`) -> path."""
    blurred, face = obfuscate(portrait.image, [portrait.landmarks], portrait.alpha)
    kernel = trimap_kernel(min(portrait.alpha.shape))
    photographs = {"blurred_image": blurred, "original_image": portrait.image, "bg": portrait.background}
    plates = {
        "mask": portrait.alpha,
        "trimap": _trimap_codes(portrait.alpha, kernel),
        "fg": portrait.foreground,
        "fg_blurred": np.where(face[..., None] > 0, blurred, portrait.foreground),
        "facemask": face,
    }
    for name, path in files.items():
        if name in photographs:
            write_image(path, photographs[name], quality=portrait.quality)
        elif name in plates:
            write_image(path, plates[name], compress_level=1)
        else:
            with atomic_path(path) as aside:
                aside.write_text(json.dumps(rounded([portrait.landmarks])))


def trimap_kernel(side: int) -> int:
    """Return the odd kernel size, at least 3, in proportion to `side` as the published 25 to its images."""
    return max(3, round(TRIMAP_KERNEL * side / TRIMAP_SIDE) // 2 * 2 + 1)


def _trimap_codes(alpha: np.ndarray, kernel: int) -> np.ndarray:
    """Return the trimap as published: 0 background, 128 unknown, 255 foreground."""
    trimap = trimap_from_alpha(alpha, kernel)
    return np.select([trimap == UNKNOWN, trimap == FOREGROUND], [128, 255], 0).astype(np.uint8)


def _check(parameters: dict[str, Any]) -> None:
    for name in ("train", "test", "seed"):
        if parameters[name] < 0:
            raise InputError(f"{name}: {parameters[name]} is negative")
    if not SMALLEST <= parameters["size"] <= LARGEST:
        raise InputError(f"size: {parameters['size']} is not between {SMALLEST} and {LARGEST}")
    if parameters.get("framing", "close") not in FRAMINGS:
        raise InputError(f"framing: {parameters['framing']!r} is not one of {', '.join(FRAMINGS)}")


def _claim(root: Path, parameters: dict[str, Any], overwrite: bool) -> None:
    """Make `root` the folder of a set with these parameters, or raise InputError if it cannot be."""
    manifest = root / MANIFEST
    if manifest.exists():
        found = _read_manifest(manifest)
        if found == parameters:
            return
        if not overwrite:
            refuse_other_settings(root, found, parameters, "use --overwrite or another folder")
        for folder, _ in SPLITS.values():
            shutil.rmtree(root / folder, ignore_errors=True)
    elif root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: exists and was not made by this command (no {MANIFEST}); choose another folder")
    write_json(manifest, parameters)


def _read_manifest(path: Path) -> dict[str, object]:
    try:
        return read_record(path, {})
    except InputError:  # refused, or overwritten, as one of other settings is
        return {}


def _render(task: _Task) -> None:
    entropy = [task.seed, list(SPLITS).index(task.split), task.number]
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    write_portrait(render_portrait(seed, task.size, task.framing), task.files())
