"""Faults of the files of one sample, found in their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.data.storage.layout import PACK
from p3m_lightning.data.storage.packs import Pack
from p3m_lightning.data.storage.readers import read_color
from p3m_lightning.images import (
    check_matte,
    image_header,
    is_upright,
    read_codes,
    read_image,
    to_uint8,
    trimap_classes,
)
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError

ERROR, WARNING = "error", "warning"

FAULTS = {
    "unreadable": (ERROR, "not a whole image file"),
    "missing-matte": (ERROR, "an image without matte"),
    "missing-image": (ERROR, "a matte without image"),
    "missing-file": (ERROR, "a folder of trimaps, foregrounds, ... lacks this one"),
    "stem-twice": (ERROR, "two files of one stem, so pairs are not clear"),
    "size-differs": (ERROR, "another size than its matte"),
    "matte-0-1": (ERROR, "a matte of 0 and 1 in a file of 0 to 255, which would train black mattes"),
    "matte-premultiplied": (ERROR, "a color cut-out where a matte belongs"),
    "matte-inverted": (ERROR, "background and foreground are swapped"),
    "image-premultiplied": (ERROR, "the image is multiplied by the matte: black outside"),
    "trimap-values": (ERROR, "a trimap of other values than 0, 128 and 255, or 0, 1 and 2"),
    "trimap-contradicts": (ERROR, "a trimap that is certain where the matte disagrees"),
    "pack": (ERROR, "a pack that is broken, or older than its files; `p3m data pack` rewrites it"),
    "leakage": (ERROR, "the same image in the training set and a test set"),
    "matte-binary": (
        WARNING,
        "a matte of 0 and 255 only: labels=mask keeps its edge from teaching hair",
    ),
    "matte-range": (WARNING, "a matte that never reaches 255"),
    "matte-empty": (WARNING, "a matte without foreground"),
    "matte-full": (WARNING, "a matte without background"),
    "matte-opaque": (WARNING, "an RGBA file given as a matte whose alpha is opaque everywhere"),
    "trimap-unknown": (WARNING, "a trimap that is unknown everywhere"),
    "animation": (WARNING, "several images in one file, of which the first is read"),
    "duplicate": (WARNING, "the same image twice in one set"),
    "same-name": (WARNING, "the same name in the training set and a test set"),
    "count": (WARNING, "another number of images than published"),
    "odd-file": (WARNING, "not an image, judging by its name"),
    "rotated": (WARNING, "turned by its EXIF tag, which not every reader applies"),
    "small": (WARNING, "a side below 512, where the published training fails"),
}
"""Fault -> its severity and its meaning."""

SMALL = 512
SLACK = 13  # of 255: tolerated difference of a matte from the certain regions of its trimap
CONTRADICTING = 5e-4  # share of pixels that may differ more
BLACK_SHARE = 0.999  # of the background at a distance from the foreground, in a premultiplied image
FAR = 33  # pixels; the reach of JPEG ringing
OUTSIDE = 0.7  # smallest mean of an inverted matte along the upper border


class Finding(NamedTuple):
    """One fault of one file."""

    fault: str
    split: str
    file: str
    detail: str = ""


class Inspection(NamedTuple):
    """Inspection of one sample."""

    findings: list[Finding]
    digest: str  # of the image's pixels; empty where it cannot be read


def inspect_sample(task: tuple[str, Mapping[str, Path]]) -> Inspection:
    """Decode every file of one sample and look for faults.

    Args:
        task: name of the split; role (image, alpha, trimap, foreground, background, face, pack) -> path.
    """
    split, files = task
    findings: list[Finding] = []

    def note(fault: str, role: str, detail: str = "") -> None:
        findings.append(Finding(fault, split, str(files[role]), detail))

    decoded = {role: _decoded(role, path, note) for role, path in files.items() if role != PACK}
    pixels = {role: array for role, array in decoded.items() if array is not None}
    if PACK in files:
        _check_pack(files, pixels, note)
    digest = _digest(pixels["image"]) if "image" in pixels else ""
    if "image" in pixels:
        with image_header(files["image"]) as header:
            if header.format == "JPEG" and not is_upright(header):
                note("rotated", "image")
            if getattr(header, "is_animated", False) and header.format not in ("TIFF", "MPO"):
                note("animation", "image", f"{getattr(header, 'n_frames', 'several')} frames")
        if min(pixels["image"].shape[:2]) < SMALL:
            note("small", "image", f"{_size(pixels['image'])} pixels")
    if "alpha" in pixels:
        alpha = pixels["alpha"]
        for role, array in pixels.items():
            if array.shape[:2] != alpha.shape:
                note("size-differs", role, f"{_size(array)}, the matte {_size(alpha)}")
        same = {role: array for role, array in pixels.items() if array.shape[:2] == alpha.shape}
        _check_matte(same, files["alpha"], note)
        if "trimap" in same:
            _check_trimap(same["trimap"], to_uint8(alpha), note)
    return Inspection(findings, digest)


Note = Callable[..., None]


def _decoded(role: str, path: Path, note: Note) -> np.ndarray | None:
    read = read_codes if role in ("alpha", "trimap", "face") else read_color
    try:
        return read(path)
    except InputError as error:
        note("unreadable", role, str(error).removeprefix(f"{path}: "))
        return None


def _check_matte(pixels: Mapping[str, np.ndarray], path: Path, note: Note) -> None:
    alpha = pixels["alpha"]
    top = int(alpha.max())
    if top == 0:
        note("matte-empty", "alpha")
    elif fault := check_matte(alpha):
        note("matte-0-1", "alpha", fault)
    elif alpha.min() == np.iinfo(alpha.dtype).max:
        note("matte-full", "alpha")
    elif top < np.iinfo(alpha.dtype).max:
        note("matte-range", "alpha", f"its largest value is {top}")
    alpha = to_uint8(alpha)
    if top > 1 and not cv2.inRange(alpha, 1, 254).any() and alpha.min() != top:
        note("matte-binary", "alpha")
    with image_header(path) as header:
        mode = header.mode
    if mode in ("RGBA", "LA") and (read_image(path)[..., 0] == alpha).all() and alpha.min() < 255:
        note("matte-opaque", "alpha", "its first channel is read")
    if mode in ("RGB", "P", "CMYK") and _is_colorful(path):
        note("matte-premultiplied", "alpha", "its channels differ")
    elif _is_inverted(alpha):
        note("matte-inverted", "alpha", "opaque in the upper corners, less so in the middle")
    if "image" in pixels and _is_premultiplied(pixels["image"], alpha):
        note("image-premultiplied", "image")


def _is_colorful(path: Path) -> bool:
    """Tell whether a file has color channels that differ, which a matte's do not."""
    color = read_image(path).astype(np.int16)
    return bool((np.abs(color - color[..., :1]) > SLACK).any(axis=2).mean() > 0.001)


def _is_inverted(alpha: np.ndarray) -> bool:
    """Return whether the upper corners and borders are opaque and the area between them less so.

    People leave the upper corners free; one who fills even these fills the middle as well.
    """
    height, width = alpha.shape
    corner, rim = (max(1, min(height, width) // part) for part in (10, 20))
    corners = min(alpha[:corner, :corner].mean(), alpha[:corner, -corner:].mean())
    border = [alpha[:rim], alpha[: height // 2, :rim], alpha[: height // 2, -rim:]]
    outside = np.concatenate([strip.ravel() for strip in border]).mean()
    inside = alpha[height // 4 :, width // 5 : width - width // 5].mean()
    return bool(corners > 0.95 * 255 and outside > OUTSIDE * 255 and inside < outside - SLACK / 2)


def _is_premultiplied(image: np.ndarray, alpha: np.ndarray) -> bool:
    """Return whether the image is exactly black wherever the matte is 0, at some distance from the foreground."""
    far = cv2.dilate(alpha, np.ones((FAR, FAR), np.uint8)) == 0
    if far.mean() < 0.02 or not alpha.any():
        return False
    black = cv2.inRange(image, (0, 0, 0), (0, 0, 0)) > 0
    return bool(np.count_nonzero(black & far) > BLACK_SHARE * np.count_nonzero(far))


def _check_trimap(trimap: np.ndarray, alpha: np.ndarray, note: Note) -> None:
    try:
        trimap = trimap_classes(trimap)
    except InputError as error:
        note("trimap-values", "trimap", str(error))
        return
    if (trimap == UNKNOWN).all():
        note("trimap-unknown", "trimap")
    wrong = ((trimap == FOREGROUND) & (alpha < 255 - SLACK)) | ((trimap == BACKGROUND) & (alpha > SLACK))
    if wrong.mean() > CONTRADICTING:
        note("trimap-contradicts", "trimap", f"{100 * wrong.mean():.2g} % of its pixels")


def _check_pack(files: Mapping[str, Path], pixels: Mapping[str, np.ndarray], note: Note) -> None:
    try:
        pack = Pack(files[PACK])
        changed = pack.changed(files)
        if changed:
            note("pack", PACK, f"{changed.name} has changed since")
        elif any(role in pack and not np.array_equal(pack.read(role), array) for role, array in pixels.items()):
            note("pack", PACK, "holds other pixels")
    except InputError as error:
        note("pack", PACK, str(error).removeprefix(f"{files[PACK]}: "))


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha1(np.ascontiguousarray(pixels).data, usedforsecurity=False).hexdigest() + "x".join(
        map(str, pixels.shape)
    )


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"
