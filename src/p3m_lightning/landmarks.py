"""The 68 landmarks of faces: the type of face finders, merging of duplicates, and the JSON file of landmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from p3m_lightning.files import atomic_path
from p3m_lightning.images import IMAGE_SUFFIXES
from p3m_lightning.records import read_tree
from p3m_lightning.schema import InputError

FaceFinder = Callable[[np.ndarray], list[np.ndarray]]
"""Takes an image, uint8 RGB (H, W, 3); returns float (68, 2) per face, x and y in pixels, in the order of 300-W."""


@dataclass(frozen=True)
class FoundFace:
    """A face, and how it was found, for reports.

    Attributes:
        points: float (68, 2), x and y in pixels of the whole image.
        detector: name of the detector.
        where: the part of the image that was searched: "image", "head" or "tile".
        enlarged: factor by which that part was enlarged.
        turned: degrees by which it was rotated.
        score: of the detector.
    """

    points: np.ndarray
    detector: str
    where: str = "image"
    enlarged: float = 1.0
    turned: float = 0.0
    score: float = 0.0

    def how(self) -> dict[str, object]:
        """Everything but the points, rounded for a report."""
        numbers = {key: round(getattr(self, key), 2) for key in ("enlarged", "turned", "score")}
        return {"detector": self.detector, "where": self.where, **numbers}


Landmarks = Mapping[str, list[np.ndarray]]
"""Stem of an image file -> its faces; an empty list means that there is none."""


def merge_faces(faces: Sequence[np.ndarray], overlap: float = 0.5) -> list[np.ndarray]:
    """Drop every face whose box shares more than `overlap` of the smaller box with a face before it.

    Args:
        faces: float (68, 2) each, the most trusted first.
        overlap: share of the smaller of two boxes, 0 to 1.
    """
    kept: list[np.ndarray] = []
    for face in faces:
        if all(box_overlap(face, other) <= overlap for other in kept):
            kept.append(face)
    return kept


def box_overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the overlap of the upright boxes around two faces, (68, 2) each, as a share of the smaller box."""
    low = np.maximum(first.min(axis=0), second.min(axis=0))
    high = np.minimum(first.max(axis=0), second.max(axis=0))
    smaller = min(np.prod(np.ptp(first, axis=0)), np.prod(np.ptp(second, axis=0)))
    return float(np.prod(np.maximum(high - low, 0)) / max(smaller, 1e-9))


def read_landmarks(path: str | Path) -> dict[str, list[np.ndarray]]:
    """Read the landmarks of many images from one JSON file, or from a folder with one JSON file per image.

    A file: `{"landmarks": {"photo": [[[x, y], ... 68 points], ... faces], ...}}`, where names are stems or file
    names and other keys are ignored. A folder: `photo.json` holds only the list of faces. Pixels count from the top
    left of the image as displayed, EXIF rotation applied.

    Raises:
        InputError: no such file, not JSON, or not 68 points somewhere; the message names the image.
    """
    path = Path(path)
    if path.is_dir():
        return {file.stem: _faces(read_tree(file, "JSON"), str(file)) for file in sorted(path.glob("*.json"))}
    content = read_tree(path, "JSON", "check it with any editor of JSON")
    images = content.get("landmarks") if isinstance(content, dict) else None
    if not isinstance(images, dict):
        raise InputError(f'{path}: the form is {{"landmarks": {{"photo": [[[x, y], ... 68 points], ... faces]}}}}')
    found: dict[str, list[np.ndarray]] = {}
    for name, faces in images.items():
        stem = Path(name).stem if Path(name).suffix.lower() in IMAGE_SUFFIXES else name
        if stem in found:
            raise InputError(f"{path}: {stem} occurs twice")
        found[stem] = _faces(faces, f"{path}: {name}")
    return found


def write_landmarks(path: str | Path, landmarks: Landmarks, **other: object) -> None:
    """Write a file for `read_landmarks`; `other` keys precede the landmarks.

    Raises:
        InputError: the file cannot be written.
    """
    content = {**other, "landmarks": {stem: rounded(faces) for stem, faces in landmarks.items()}}
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content) + "\n", encoding="utf-8")


def rounded(faces: Sequence[np.ndarray]) -> list[list[list[float]]]:
    """Return faces, (68, 2) each, as lists for files, rounded to a tenth of a pixel, finer than any finder."""
    return [np.round(face, 1).tolist() for face in faces]


def _faces(faces: Any, where: str) -> list[np.ndarray]:
    try:
        arrays = [np.asarray(face, np.float64) for face in faces]
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: a list of faces, each a list of 68 [x, y], is needed") from None
    for k, points in enumerate(arrays):
        if points.shape != (68, 2) or not np.isfinite(points).all():
            raise InputError(f"{where}: face {k} is of shape {points.shape}; 68 finite [x, y] are needed")
    return arrays
