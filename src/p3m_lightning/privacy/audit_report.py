"""Findings of an audit, as numbers and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from p3m_lightning.images import read_image
from p3m_lightning.ops.faces import face_size
from p3m_lightning.privacy.audit import SAME_PERSON, AuditedFace, AuditedImage
from p3m_lightning.sheets import Panel

CONTEXT = 0.35
"""Surroundings shown on each side of a face, in face sizes."""
MOST_PAIRS = 200_000
QUANTILE = 0.05

DEFINITION = (
    "distance: Euclidean, between dlib's face descriptors (128 numbers) of the original and the anonymized face, both "
    f"at the landmarks of the original; below {SAME_PERSON} dlib counts them as one person. Different people: the "
    "originals of different images, taken to be different people. Changes: pixels that differ outside the private "
    "area, and in the transition area of the matte; an anonymized JPEG is compared with the original "
    "rewritten with the same tables, except in the blocks that touch the obfuscated face."
)


def audit_report(images: Sequence[AuditedImage], missing: Sequence[str]) -> dict[str, Any]:
    """Return the audit as plain values: `summary`, `images` one by one, and the `definition` of the numbers.

    Args:
        images: the audited images.
        missing: files of the source that are not in the destination.
    """
    return {
        "summary": summarize(images, missing),
        "missing": list(missing),
        "images": [_image_row(image) for image in images],
        "definition": DEFINITION,
    }


def summarize(images: Sequence[AuditedImage], missing: Sequence[str] = ()) -> dict[str, object]:
    """Return counts and statistics; distances are None if there is nothing to measure."""
    faces = [face for image in images for face in image.faces]
    own = np.array([face.distance for face in faces])
    others = distances_between_people(images)
    limit = np.quantile(others, QUANTILE) if len(others) else None
    changes = [image.changes for image in images if image.changes]
    return {
        "images": len(images),
        "missing": len(missing),
        "failed": sum(image.reason is not None for image in images),
        "faces": len(faces),
        "found_again": sum(face.found_again for face in faces),
        "recognized": sum(face.recognized for face in faces),
        "unexpected_faces": sum(image.unexpected for image in images),
        "distance_to_own_original": _distribution(own),
        "distance_between_people": _distribution(others),
        "closer_than_5_percent_of_people": None if limit is None else int(np.count_nonzero(own < limit)),
        "nearest_original_is_own": nearest_is_own(faces),
        "images_changed_outside": sum(change.outside > 0 for change in changes),
        "images_changed_in_transition": sum(change.transition > 0 for change in changes),
        "largest_change_outside": max((change.largest for change in changes), default=0),
    }


def distances_between_people(images: Sequence[AuditedImage], most: int = MOST_PAIRS) -> np.ndarray:
    """Return distances between original faces of different images; a fixed random choice of at most `most` pairs."""
    owners = np.array([k for k, image in enumerate(images) for _ in image.faces], dtype=int)
    descriptors = [face.descriptor for image in images for face in image.faces]
    if len(set(owners)) < 2:
        return np.empty(0)
    matrix = np.stack(descriptors)
    first, second = np.triu_indices(len(owners), 1) if len(owners) ** 2 <= 2 * most else _draws(len(owners), most)
    different = owners[first] != owners[second]
    return np.linalg.norm(matrix[first[different]] - matrix[second[different]], axis=1)


def nearest_is_own(faces: Sequence[AuditedFace]) -> int | None:
    """Count the anonymized faces whose nearest original is their own; guessing would match one on average."""
    if len(faces) < 2:
        return None
    originals = np.stack([face.descriptor for face in faces])
    nearest = [int(np.argmin(np.linalg.norm(originals - face.hidden, axis=1))) for face in faces]
    return sum(guess == k for k, guess in enumerate(nearest))


def worst_cases(images: Sequence[AuditedImage], count: int) -> tuple[list[list[Panel]], list[str]]:
    """Return images and a note for the faces that are easiest to recognize: recognized ones first, then by distance.

    Returns:
        For each face the images original, anonymized and change (times eight), uint8 (H, W, 3), and its note.
    """
    cases = [(image, face) for image in images for face in image.faces]
    cases.sort(key=lambda case: (not case[1].recognized, case[1].distance))
    rows, notes = [], []
    for image, face in cases[:count]:
        before, after = (_cut(read_image(path), face) for path in (image.task.original, image.task.anonymized))
        change = np.clip(cv2.absdiff(before, after).astype(np.int32) * 8, 0, 255).astype(np.uint8)
        rows.append([Panel("original", before), Panel("anonymized", after), Panel("change x 8", change)])
        seen = "found again" if face.found_again else "not found again"
        verdict = "RECOGNIZED" if face.recognized else "not recognized"
        notes.append(f"{image.task.original.name}: {verdict}, distance {face.distance:.2f}, {seen}")
    return rows, notes


def _image_row(image: AuditedImage) -> dict[str, object]:
    faces = [
        {"distance": round(face.distance, 4), "found_again": face.found_again, "recognized": face.recognized}
        for face in image.faces
    ]
    row = {"name": image.task.original.name, "reason": image.reason, "faces": faces}
    return row | {"unexpected_faces": image.unexpected, "changes": vars(image.changes) if image.changes else None}


def _distribution(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    points = {"min": 0, "p5": QUANTILE, "median": 0.5, "max": 1}
    quantiles = {name: round(float(np.quantile(values, at)), 4) for name, at in points.items()}
    return {"count": len(values), "mean": round(float(values.mean()), 4), **quantiles}


def _draws(count: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(0).integers(count, size=(2, pairs)))


def _cut(image: np.ndarray, face: AuditedFace) -> np.ndarray:
    """Cut a square around a face, shifted into the image."""
    side = round(face_size(face.landmarks) * (1 + 2 * CONTEXT))
    center = face.landmarks.mean(axis=0)
    spans = []
    for length, middle in zip(image.shape[:2], center[::-1], strict=True):
        start = int(np.clip(round(middle - side / 2), 0, max(0, length - side)))
        spans.append(slice(start, start + side))
    return image[tuple(spans)]
