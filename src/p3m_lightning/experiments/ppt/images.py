"""The images of one condition: faces hidden in a style, made once from the normal images and stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.data.storage.layout import find_samples, split_folder
from p3m_lightning.images import read_image, write_image
from p3m_lightning.privacy.anonymize_folder import Recipe, anonymize_folder
from p3m_lightning.privacy.anonymize_report import FAILED, HIDDEN, OBFUSCATED
from p3m_lightning.schema import InputError

LANDMARKS = "landmarks"
"""Folder of a split with a JSON file of landmarks for each image, as in rendered portraits."""


def hide_faces(root: str | Path, dataset: str, split: str, normal: str, target: Path, keys: Mapping[str, Any]) -> None:
    """Hide the faces of a split's normal images in one style, losslessly; existing results are kept.

    Faces are located by the split's landmarks, or else by dlib. An image without a face is copied.

    Args:
        root: folder of the data set.
        dataset: key of `DATASETS`.
        split: part of it.
        normal: folder of its normal images.
        target: folder to fill.
        keys: of `obfuscate`: mode and sizes.

    Raises:
        InputError: no normal images, wrong keys, an image that cannot be read.
    """
    samples = find_samples(root, dataset, split, normal)
    first = next(iter(samples.values()))
    landmarks = split_folder(root, dataset, split) / LANDMARKS
    try:
        recipe = Recipe(_finder(landmarks.is_dir()), copy_unfound=True, **keys)
    except TypeError as error:
        raise InputError(f"styles: {error}") from None
    entries = anonymize_folder(
        first["image"].parent,
        target,
        recipe,
        mattes=first["alpha"].parent,
        landmarks=landmarks if landmarks.is_dir() else None,
        output_format="png",
    )
    failed = [entry for entry in entries.values() if entry.status == FAILED]
    if failed:
        raise InputError(f"{first['image'].parent / failed[0].file}: {failed[0].reason}")
    if not any(entry.status == OBFUSCATED for entry in entries.values()):
        raise InputError(f"{first['image'].parent}: no face found in any image, so there is nothing to hide")
    for stem, entry in entries.items():
        if entry.status == HIDDEN:  # its transition area covers the face, as in the data set's own blurred images
            write_image(target / f"{stem}.png", read_image(samples[stem]["image"]))


def _finder(has_landmarks: bool) -> Any:
    """Return a face finder; with landmarks for all images, one that is never called."""
    if has_landmarks:
        return no_face
    from p3m_lightning.privacy.dlib_faces import DlibFaceFinder

    return DlibFaceFinder()


def no_face(image: Any) -> list[Any]:
    """Return no faces."""
    return []
