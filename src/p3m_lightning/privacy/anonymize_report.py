"""The report of an anonymized folder: an entry for every image, the landmarks, and the check of what to keep."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from p3m_lightning.landmarks import read_landmarks, rounded, write_landmarks
from p3m_lightning.messages import refuse_other_settings
from p3m_lightning.records import read_record
from p3m_lightning.schema import InputError

OBFUSCATED = "obfuscated"
NO_FACE = "no face found"
DECLARED_EMPTY = "declared without a face"
HIDDEN = "face lies in the transition area"
FAILED = "failed"
WRITTEN = (OBFUSCATED, DECLARED_EMPTY)
"""Statuses of images in the destination; `NO_FACE` only if copying was requested."""
SAVE_EVERY = 30.0
"""Seconds between two saves during the work."""


@dataclass(frozen=True)
class Task:
    """The files of one image."""

    image: Path
    target: Path
    matte: Path | None = None
    mask: Path | None = None
    faces: list[np.ndarray] | None = None  # given landmarks; None runs the finder

    def stamp(self) -> list[int]:
        """Sizes and times of the sources: another stamp means a changed file."""
        stats = [path.stat() for path in (self.image, self.matte) if path is not None]
        return [number for stat in stats for number in (stat.st_size, stat.st_mtime_ns)]


@dataclass(frozen=True)
class Entry:
    """Outcome of one image."""

    file: str
    status: str
    given: bool  # landmarks were given, not found
    stamp: list[int]
    faces: int = 0
    kept: float = 0.0  # share of the private area that was obfuscated
    found: list[dict[str, object]] = field(
        default_factory=list
    )  # how each face was found; empty if landmarks were given
    reason: str | None = None  # of a failure


SHAPES: dict[str, Any] = {
    "settings": dict,
    "images": dict,
    "images.*": dict,
    "images.*.file": str,
    "images.*.status": str,
    "images.*.given": bool,
    "images.*.stamp": list,
    "images.*.found": list,
    "images.*.found.*": dict,
}
NEEDED = ("settings", "images", "images.*.found.*.detector", "images.*.found.*.where")
"""Types of the values in a report, and what it must have."""


def found_by(entries: Iterable[Entry]) -> dict[str, int]:
    """Count the faces that each detector found in each part of an image, the most frequent first."""
    return dict(
        Counter(f"{face['detector']} in the {face['where']}" for e in entries for face in e.found).most_common()
    )


class Report:
    """The report on disk: settings, an entry and the landmarks of each image; saved periodically and at the end."""

    def __init__(self, path: Path, settings: dict[str, object]) -> None:
        self.path, self.settings = path, settings
        self.entries: dict[str, Entry] = {}
        self.landmarks: dict[str, list[np.ndarray]] = {}
        self.saved = time.monotonic()

    @classmethod
    def open(cls, path: Path, settings: dict[str, object], targets: list[Path], overwrite: bool) -> Report:
        """Open the report at `path`, or begin a new one.

        Raises:
            InputError: it was made with other settings, or targets exist without a report.
        """
        report = cls(path, settings)
        if path.exists() and not overwrite:
            report._resume()
            return report
        foreign = next((target for target in targets if target.exists()), None)
        if foreign is not None and not overwrite:
            raise InputError(f"{foreign}: exists without a report ({path}); --overwrite replaces it")
        report.save()
        return report

    def knows(self, task: Task, copy_unfound: bool) -> bool:
        """Return whether this image was made from the same files and landmarks, and its outputs exist."""
        entry = self.entries.get(task.image.stem)
        if entry is None or entry.status == FAILED or entry.file != task.image.name or entry.stamp != task.stamp():
            return False
        if entry.given != (task.faces is not None):
            return False
        if task.faces is not None and rounded(self.landmarks[task.image.stem]) != rounded(task.faces):
            return False
        if entry.status in WRITTEN or (entry.status == NO_FACE and copy_unfound):
            return task.target.exists() and (task.mask is None or task.mask.exists())
        return not task.target.exists()

    def add(self, stem: str, entry: Entry, faces: list[np.ndarray]) -> None:
        """Add the entry of one image."""
        self.entries[stem] = entry
        self.landmarks.pop(stem, None)
        if entry.status not in (NO_FACE, FAILED):  # an empty list would declare that there is no face
            self.landmarks[stem] = faces
        if time.monotonic() - self.saved > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write the report, whose landmarks can be corrected by hand and given to the next run.

        Raises:
            InputError: it cannot be written.
        """
        statuses = [entry.status for entry in self.entries.values()]
        summary = {status: statuses.count(status) for status in sorted(set(statuses))}
        found = found_by(self.entries.values())
        images = {stem: vars(entry) for stem, entry in sorted(self.entries.items())}
        write_landmarks(self.path, self.landmarks, settings=self.settings, summary=summary, found=found, images=images)
        self.saved = time.monotonic()

    def _resume(self) -> None:
        cure = "move it away or use --overwrite"
        content = read_record(self.path, SHAPES, NEEDED, cure)
        try:
            self.entries = {stem: Entry(**entry) for stem, entry in content["images"].items()}
        except TypeError:
            raise InputError(f"{self.path}: not a report of this command; {cure}") from None
        self.landmarks = read_landmarks(self.path)
        recorded = {key: content["settings"].get(key) for key in self.settings}
        refuse_other_settings(self.path, recorded, self.settings, "use --overwrite or another folder")

    def __enter__(self) -> Report:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            self.save()
            return
        with suppress(InputError):  # the first error is more informative
            self.save()
