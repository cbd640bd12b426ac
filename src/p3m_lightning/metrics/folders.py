"""Scoring a folder of mattes against a folder of true ones; bad files are skipped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from p3m_lightning.images import images_by_stem, read_matte, read_trimap, to_unit
from p3m_lightning.metrics.functional import CONVENTIONS, face_metrics
from p3m_lightning.metrics.report import Row
from p3m_lightning.parallel import available_cores, in_order
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError


class FolderScores(NamedTuple):
    """Scores of one folder against another."""

    rows: dict[str, list[Row]]  # convention: the values of each image, by name
    skipped: dict[str, str]  # stem: why it could not be scored


class _Files(NamedTuple):
    name: str
    pred: Path
    target: Path
    trimap: Path | None
    face: Path | None


def score_folders(
    pred_dir: str | Path,
    gt_dir: str | Path,
    trimaps: str | Path | None = None,
    trimap_kernel: int | None = None,
    faces: str | Path | None = None,
    conventions: Iterable[str] = ("p3m",),
    workers: int | None = None,
) -> FolderScores:
    """Score every matte of one folder against the file of the same stem in another, several at a time.

    Args:
        pred_dir: predicted mattes, 8 or 16 bits.
        gt_dir: true mattes, 8 or 16 bits, of the same sizes.
        trimaps: folder of trimaps, see `images.trimap_classes`. Without it and without `trimap_kernel` there are no
            region metrics.
        trimap_kernel: instead, side in pixels of the elliptic kernel to make trimaps from the true mattes.
        faces: folder of face masks; adds the errors inside the face to the rows of the first convention.
        conventions: keys of `functional.CONVENTIONS`.
        workers: threads; one per core if None.

    Raises:
        InputError: a folder is missing or empty, two files of one share their stem, or not one pair could be scored.
            A single bad pair is skipped, with the reason in the result.
    """
    conventions = tuple(conventions)
    pairs, skipped = _pair(pred_dir, gt_dir, trimaps, faces)
    rows: dict[str, list[Row]] = {convention: [] for convention in conventions}
    score = partial(_score, trimap_kernel=trimap_kernel, conventions=conventions)
    threads = workers or available_cores()
    pool = ThreadPoolExecutor(threads)
    try:
        work = in_order(pool, score, pairs, 2 * threads, decodes=lambda files: files[1:])
        for files, future in track(work, "scoring", total=len(pairs)):
            result = future.result()
            if isinstance(result, InputError):
                skipped[files.name] = str(result)
                continue
            for convention, row in result.items():
                rows[convention].append(row)
    finally:
        pool.shutdown(cancel_futures=True)
    if not any(rows.values()):
        name, reason = next(iter(skipped.items()))
        raise InputError(f"nothing to score in {pred_dir}; the first of {len(skipped)} reasons: {name}: {reason}")
    return FolderScores(rows, dict(sorted(skipped.items())))


def _pair(
    pred_dir: str | Path, gt_dir: str | Path, trimaps: str | Path | None, faces: str | Path | None
) -> tuple[list[_Files], dict[str, str]]:
    """Return the complete sets of files by name, and the reasons for the others."""
    wanted = {"prediction": pred_dir, "true matte": gt_dir, "trimap": trimaps, "face mask": faces}
    folders = {what: folder for what, folder in wanted.items() if folder is not None}
    found = {what: images_by_stem(folder) for what, folder in folders.items()}
    pairs: list[_Files] = []
    skipped: dict[str, str] = {}
    for name in sorted(found["prediction"].keys() | found["true matte"].keys()):
        missing = next((what for what in folders if name not in found[what]), None)
        if missing:
            skipped[name] = f"no {missing} in {folders[missing]}"
        else:
            trimap, face = (found[what][name] if what in found else None for what in ("trimap", "face mask"))
            pairs.append(_Files(name, found["prediction"][name], found["true matte"][name], trimap, face))
    return pairs, skipped


def _score(files: _Files, trimap_kernel: int | None, conventions: Sequence[str]) -> dict[str, Row] | InputError:
    """Return a row per convention, or the error: raised in a pool, it would end the other tasks."""
    try:
        codes = read_matte(files.target)
        pred, target = to_unit(read_matte(files.pred), np.float64), to_unit(codes, np.float64)
        trimap = _trimap(files, codes, trimap_kernel)
        rows = {c: {"name": files.name, **CONVENTIONS[c].measure(pred, target, trimap)} for c in conventions}
        if files.face is not None:
            rows[conventions[0]] |= face_metrics(pred, target, to_unit(read_matte(files.face)))
        return rows
    except InputError as error:
        return error
    except MemoryError:
        return InputError(f"{files.pred}: not enough memory to score it")


def _trimap(files: _Files, target_codes: np.ndarray, kernel: int | None) -> np.ndarray | None:
    if files.trimap is not None:
        return read_trimap(files.trimap)
    if kernel is not None:
        from p3m_lightning.ops import trimap_from_alpha  # imports torch

        return trimap_from_alpha(target_codes, kernel)
    return None
