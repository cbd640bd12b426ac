"""Audit of anonymized portraits: re-identification distances, faces detected again, changed pixels.

The measure is dlib's face descriptor: two photographs of one person are usually closer than 0.6. Both versions of a
face are described at the landmarks of the original, the best an attacker could do; the originals of different images
give the distances of different people.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, JpegImagePlugin

from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.images import images_by_stem, open_image, read_image, rgb_pixels
from p3m_lightning.landmarks import FaceFinder, Landmarks, box_overlap
from p3m_lightning.ops.faces import private_area, transition_area
from p3m_lightning.parallel import check_workers, run_parallel
from p3m_lightning.privacy.anonymize_folder import jpeg_tables
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError

SAME_PERSON = 0.6
"""Distance below which dlib counts two descriptors as one person (correct for 99.38 % of the pairs of LFW)."""
SAME_PLACE = 0.3
"""Overlap above which two detections are one face."""

FaceDescriber = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Turns a face into a vector: uint8 RGB (H, W, 3) and landmarks (68, 2) -> float (D,)."""


class AuditTask(NamedTuple):
    """The files of one image."""

    original: Path
    anonymized: Path
    matte: Path | None
    faces: list[np.ndarray] | None  # landmarks; None runs the finder


@dataclass(frozen=True)
class AuditedFace:
    """One face before and after anonymization."""

    landmarks: np.ndarray  # float (68, 2)
    descriptor: np.ndarray  # of the original
    hidden: np.ndarray  # of the anonymized version
    found_again: bool  # the finder detects a face there in the anonymized image

    @property
    def distance(self) -> float:
        """The re-identification distance: Euclidean, between both descriptors."""
        return float(np.linalg.norm(self.descriptor - self.hidden))

    @property
    def recognized(self) -> bool:
        """True if it is detected again and recognized as the same person."""
        return self.found_again and self.distance < SAME_PERSON


@dataclass(frozen=True)
class Changes:
    """Pixels that differ where they must not."""

    outside: int  # outside the private area
    transition: int  # in the transition area of the matte
    largest: int  # difference outside the private area, 0 to 255
    beside: int  # pixels not counted above, since they share JPEG blocks with the face
    recompressed: bool  # the anonymized file is a JPEG, compared with the original rewritten with the same tables


@dataclass(frozen=True)
class AuditedImage:
    """One image before and after anonymization."""

    task: AuditTask
    faces: list[AuditedFace] = field(default_factory=list)
    unexpected: int = 0  # faces detected in the anonymized image where none was obfuscated
    changes: Changes | None = None
    reason: str | None = None  # why it could not be audited


@dataclass(frozen=True)
class Auditor:
    """Functions for auditing an image; both can be sent to the workers."""

    finder: FaceFinder
    describe: FaceDescriber

    def __call__(self, task: AuditTask) -> AuditedImage:
        """Compare one pair of images; reading errors are reported in the result."""
        try:
            before = read_image(task.original)
            after, reference, blocks = _anonymized(task.anonymized, before)
            alpha = SampleFiles({"alpha": task.matte}).alpha() if task.matte else None
            _check_size(task.matte, alpha, before)
        except (InputError, OSError) as error:
            return AuditedImage(task, reason=str(error))
        faces = self.finder(before) if task.faces is None else task.faces
        again = self.finder(after)
        audited = [
            AuditedFace(f, self.describe(before, f), self.describe(after, f), any(_same_place(f, a) for a in again))
            for f in faces
        ]
        unexpected = sum(not any(_same_place(a, f) for f in faces) for a in again)
        return AuditedImage(task, audited, unexpected, compare(after, reference, faces, alpha, blocks))


def audit_folders(
    source: str | Path,
    destination: str | Path,
    auditor: Auditor,
    mattes: str | Path | None = None,
    landmarks: Landmarks | None = None,
    workers: int | None = None,
) -> tuple[list[AuditedImage], list[str]]:
    """Audit the images of `destination` against those of the same stem in `source`.

    Args:
        source: folder of the originals.
        destination: folder of the anonymized images.
        auditor: finds and describes the faces.
        mattes: folder of mattes, for the transition area.
        landmarks: faces of the originals; the finder is run where they are missing.
        workers: processes; one per core by default.

    Returns:
        The audited images by name, and the files of `source` that are not in `destination`.

    Raises:
        InputError: missing folders, no common image, an anonymized image without an original or without a matte.
    """
    check_workers(workers)
    originals, anonymized = images_by_stem(source), images_by_stem(destination)
    alphas = images_by_stem(mattes) if mattes else {}
    for stem, path in anonymized.items():
        if stem not in originals:
            raise InputError(f"{path}: no original of this name in {source}")
        if mattes and stem not in alphas:
            raise InputError(f"{mattes}: no matte for {path.name}; add it or leave --mattes out")
    tasks = [
        AuditTask(originals[stem], path, alphas.get(stem), (landmarks or {}).get(stem))
        for stem, path in anonymized.items()
    ]
    audited = track(run_parallel(auditor, tasks, workers, lambda task: [task.original]), "auditing", len(tasks))
    missing = [path.name for stem, path in originals.items() if stem not in anonymized]
    return sorted(audited, key=lambda image: image.task.original.name), missing


def compare(
    after: np.ndarray,
    reference: np.ndarray,
    faces: Sequence[np.ndarray],
    alpha: np.ndarray | None = None,
    blocks: int = 0,
) -> Changes:
    """Count the pixels that changed where nothing may: outside the private area, and in the transition area.

    Args:
        after: anonymized image, uint8 (H, W, 3).
        reference: its expected pixels outside the faces, uint8 (H, W, 3).
        faces: landmarks, float (68, 2) each.
        alpha: uint8 or uint16 (H, W), for the transition area: its soft pixels.
        blocks: side of the blocks of a JPEG; blocks that touch the obfuscated part of the face are left out, with two
            pixels around them, where subsampled colors spread. 0 for lossless files.
    """
    private = np.zeros(after.shape[:2], np.uint8)
    for face in faces:
        private |= private_area(face, after.shape)
    soft = transition_area(alpha, 0) if alpha is not None else np.zeros(private.shape, bool)
    beside = _touched_blocks((private > 0) & ~soft, blocks) if blocks else np.zeros(private.shape, bool)
    difference = cv2.absdiff(after, reference).max(axis=2)
    outside = (private == 0) & ~beside
    return Changes(
        outside=int(np.count_nonzero(difference[outside])),
        transition=int(np.count_nonzero(difference[soft & ~beside])),
        largest=int(difference[outside].max(initial=0)),
        beside=int(np.count_nonzero(beside & (soft | (private == 0)))),
        recompressed=blocks > 0,
    )


def _touched_blocks(inside: np.ndarray, side: int) -> np.ndarray:
    height, width = inside.shape
    grid = np.pad(inside, ((0, -height % side), (0, -width % side)))
    cells = grid.reshape(grid.shape[0] // side, side, -1, side).any(axis=(1, 3))
    touched = cells.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]
    return cv2.dilate(touched.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


def _anonymized(path: Path, before: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return pixels of an anonymized file, those expected outside the faces, and its block size (0: lossless)."""
    with open_image(path) as image:
        after = rgb_pixels(image)
        _check_size(path, after, before)
        sampling = JpegImagePlugin.get_sampling(image) if image.format in ("JPEG", "MPO") else -1
        if sampling < 0:
            return after, before, 0
        content = io.BytesIO()
        Image.fromarray(before).save(content, "JPEG", qtables=jpeg_tables(image), subsampling=sampling)
    with open_image(content, str(path)) as image:
        return after, rgb_pixels(image), 16 if sampling else 8


def _check_size(path: Path | None, pixels: np.ndarray | None, before: np.ndarray) -> None:
    if pixels is not None and pixels.shape[:2] != before.shape[:2]:
        sizes = [f"{height} rows of {width} pixels" for height, width in (pixels.shape[:2], before.shape[:2])]
        raise InputError(f"{path}: {sizes[0]}, but the original has {sizes[1]}")


def _same_place(first: np.ndarray, second: np.ndarray) -> bool:
    return box_overlap(first, second) > SAME_PLACE
