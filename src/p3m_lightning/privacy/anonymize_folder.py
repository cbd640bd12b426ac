"""Anonymizing a folder of portraits: all cores, resumable, with a report of every image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, JpegImagePlugin

from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.images import images_by_stem, open_image, rgb_pixels, write_image
from p3m_lightning.landmarks import FaceFinder, FoundFace, Landmarks, read_landmarks, rounded
from p3m_lightning.ops.faces import (
    BLUR_SIGMA,
    MOSAIC_CELL,
    SMALLEST_PIECE,
    TRANSITION_MARGIN,
    check_arrays,
    check_settings,
    obfuscate,
    private_area,
)
from p3m_lightning.parallel import check_workers, run_parallel
from p3m_lightning.privacy.anonymize_report import (
    DECLARED_EMPTY,
    FAILED,
    HIDDEN,
    NO_FACE,
    OBFUSCATED,
    WRITTEN,
    Entry,
    Report,
    Task,
)
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError

FORMATS = ("same", "png")


@dataclass(frozen=True)
class Recipe:
    """Settings for anonymizing each image: the face finder and the keys of `obfuscate`."""

    finder: FaceFinder  # a dataclass or a function of a module, so that it can be sent to the workers
    mode: str = "blur"
    blur_sigma: float = BLUR_SIGMA
    mosaic_cell: float = MOSAIC_CELL
    transition_margin: float = TRANSITION_MARGIN
    smallest_piece: float = SMALLEST_PIECE
    copy_unfound: bool = False  # also write images in which no face was found, unchanged

    def keys(self) -> dict[str, Any]:
        """Return the arguments for `obfuscate`."""
        names = ("mode", "blur_sigma", "mosaic_cell", "transition_margin", "smallest_piece")
        return {name: getattr(self, name) for name in names}

    def settings(self) -> dict[str, object]:
        """Return the settings that determine the pixels, as plain values: resuming with other settings is refused."""
        name = getattr(self.finder, "__qualname__", type(self.finder).__qualname__)
        return {**self.keys(), "finder": {"name": name, **(asdict(self.finder) if is_dataclass(self.finder) else {})}}


def anonymize_folder(
    source: str | Path,
    destination: str | Path,
    recipe: Recipe,
    *,
    mattes: str | Path | None = None,
    masks: str | Path | None = None,
    landmarks: str | Path | None = None,
    output_format: str = "same",
    report: str | Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> dict[str, Entry]:
    """Obfuscate the faces of every image directly in `source`; earlier results are kept.

    Pixels are rewritten with the EXIF rotation applied, and of the metadata only the color profile is kept. Images in
    which no face was found are not written unless the recipe says so.

    Args:
        source: folder of images.
        destination: folder to fill, not `source`.
        recipe: mode, sizes and finder.
        mattes: folder of mattes, paired by stem, whose transition areas stay untouched.
        masks: folder for the face masks, PNG of 0 and 255.
        landmarks: JSON, see `read_landmarks`; the finder is not run on images in it.
        output_format: "same" keeps the file's format, for JPEG with its own quantization tables; "png" is lossless.
        report: JSON report; by default `<destination>.anonymize.json`, beside the folder.
        workers: processes; one per core by default.
        overwrite: discard earlier results.

    Returns:
        Stem -> outcome of the image.

    Raises:
        InputError: wrong arguments, a destination that holds other files or cannot be written.
    """
    destination = Path(destination)
    report = Path(report) if report else report_path(destination)
    check_settings(**recipe.keys())
    check_workers(workers)
    if output_format not in FORMATS:
        raise InputError(f"format: {output_format!r} is not one of {', '.join(FORMATS)}")
    if destination.resolve() == Path(source).resolve():
        raise InputError(
            f"{destination}: is the source folder, whose originals would be lost; choose another output folder"
        )
    given = read_landmarks(landmarks) if landmarks else {}
    tasks = list(_tasks(Path(source), destination, mattes, masks, given, output_format))
    with Report.open(report, recipe.settings(), [task.target for task in tasks], overwrite) as record:
        todo = [task for task in tasks if not record.knows(task, recipe.copy_unfound)]
        results = run_parallel(partial(anonymize_file, recipe=recipe), todo, workers, lambda task: [task.image])
        for stem, entry, faces in track(results, "anonymizing", len(todo)):
            record.add(stem, entry, faces)
    return {task.image.stem: record.entries[task.image.stem] for task in tasks}


def report_path(destination: str | Path) -> Path:
    """Return the path of the report of a destination: beside it, because landmarks must not be published."""
    destination = Path(destination).resolve()
    return destination.with_name(destination.name + ".anonymize.json")


def anonymize_file(task: Task, recipe: Recipe) -> tuple[str, Entry, list[np.ndarray]]:
    """Anonymize one image; return its stem, outcome and faces; an unreadable source does not raise."""
    stem, given = task.image.stem, task.faces is not None
    stamp: list[int] = []
    try:
        stamp = task.stamp()
        pixels, options, alpha = _read(task)
    except (InputError, OSError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        return stem, Entry(task.image.name, FAILED, given, stamp, reason=reason), []
    found = _look(recipe.finder, pixels, alpha) if task.faces is None else []
    points = [face.points for face in found] if task.faces is None else task.faces
    faces = [np.array(face) for face in rounded(points)]  # as reported
    result, mask = obfuscate(pixels, faces, alpha, **recipe.keys())
    kept = kept_share(mask, faces)
    status = _status(len(faces), given, kept)
    if status in WRITTEN or (status == NO_FACE and recipe.copy_unfound):
        write_image(task.target, result, **options)
        if task.mask is not None:
            write_image(task.mask, mask)
    else:
        _remove(task.target)
    return (
        stem,
        Entry(task.image.name, status, given, stamp, len(faces), round(kept, 4), [face.how() for face in found]),
        faces,
    )


def _look(finder: FaceFinder, image: np.ndarray, matte: np.ndarray | None) -> list[FoundFace]:
    """Run a finder on an image, with the matte if the finder uses it to search heads more closely."""
    if hasattr(finder, "look"):
        return finder.look(image, matte)
    return [FoundFace(points, getattr(finder, "__name__", type(finder).__name__)) for points in finder(image)]


def kept_share(mask: np.ndarray, faces: list[np.ndarray]) -> float:
    """Return the share of the private areas of `faces` that `mask` (H, W) covers; 0 without faces."""
    private = np.zeros_like(mask)
    for face in faces:
        private |= private_area(face, mask.shape)
    return float(np.count_nonzero(mask) / max(1, int(np.count_nonzero(private))))


def jpeg_tables(image: Image.Image) -> dict[int, list[int]]:
    """Return the quantization tables of an opened JPEG."""
    return cast(JpegImagePlugin.JpegImageFile, image).quantization


def encoding(image: Image.Image, suffix: str) -> dict[str, object]:
    """Return options for rewriting an opened image: lossless, or with a JPEG's own tables; with its color profile.

    A JPEG rewritten with its own tables changes least: by rounding, and by chroma subsampling.
    """
    options: dict[str, object] = {}
    if image.mode in ("RGB", "RGBA") and image.info.get("icc_profile"):
        options["icc_profile"] = image.info["icc_profile"]
    if suffix.lower() in (".jpg", ".jpeg"):
        options |= {"quality": 95, "subsampling": 0, "optimize": True}
        sampling = JpegImagePlugin.get_sampling(image) if image.format == "JPEG" else -1
        if image.mode == "RGB" and sampling >= 0:
            options |= {"qtables": jpeg_tables(image), "subsampling": sampling}
            del options["quality"]
    elif suffix.lower() == ".webp":
        options["lossless"] = True
    elif suffix.lower() in (".tif", ".tiff"):
        options["compression"] = "tiff_deflate"
    return options


def _tasks(
    source: Path,
    destination: Path,
    mattes: str | Path | None,
    masks: str | Path | None,
    landmarks: Landmarks,
    output_format: str,
) -> Iterator[Task]:
    images = images_by_stem(source)
    alphas = images_by_stem(mattes) if mattes else {}
    for stem, path in images.items():
        if mattes and stem not in alphas:
            raise InputError(f"{mattes}: no matte for {path.name}; add it or leave --mattes out")
        suffix = ".png" if output_format == "png" else path.suffix
        mask = Path(masks) / f"{path.stem}.png" if masks else None
        yield Task(path, destination / f"{path.stem}{suffix}", alphas.get(stem), mask, landmarks.get(path.stem))


def _read(task: Task) -> tuple[np.ndarray, dict[str, object], np.ndarray | None]:
    """Return pixels, options for rewriting them, and the matte."""
    with open_image(task.image) as image:
        pixels, options = rgb_pixels(image), encoding(image, task.target.suffix)
    alpha = SampleFiles({"alpha": task.matte}).alpha() if task.matte else None
    check_arrays(pixels, alpha)
    return pixels, options, alpha


def _status(faces: int, given: bool, kept: float) -> str:
    if faces == 0:
        return DECLARED_EMPTY if given else NO_FACE
    return OBFUSCATED if kept > 0 else HIDDEN


def _remove(target: Path) -> None:
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{target}: cannot be removed ({error.strerror})") from None
