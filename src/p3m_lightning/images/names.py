"""Images of a folder: finding and naming them, with a message about files left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from p3m_lightning.files import plain_name
from p3m_lightning.messages import no_such, tell
from p3m_lightning.schema import InputError

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp", ".jps", ".mpo", ".png", ".apng", ".webp"}
    | {".bmp", ".dib", ".tif", ".tiff", ".gif", ".avif", ".avifs", ".heic", ".heif", ".hif", ".heics", ".heifs"}
    | {".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".tga", ".icb", ".vda", ".vst"}
)
"""Suffixes of the images of a folder, in any case; the content of a file decides how it is read."""

SHOWN = 5  # names in the line about files left out
NOT_COUNTED = frozenset({"thumbs.db", "desktop.ini", "failures.json"})


_COMMON = (".jpg", ".png", ".webp", ".tif", ".heic")
KNOWN = f"{', '.join(_COMMON)} and {len(IMAGE_SUFFIXES) - len(_COMMON)} other suffixes"
"""What counts as an image, for messages."""


def is_image_name(name: str) -> bool:
    """Return whether a file of this name counts as an image: a known suffix and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files directly in `folder`, sorted by name, without hidden ones; other files are reported.

    Raises:
        InputError: no such folder, it cannot be read, or there is no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(no_such(folder, "folder"))
    try:
        files = sorted(path for path in folder.iterdir() if not path.is_dir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    images = [path for path in files if is_image_name(path.name)]
    tell_left_out(folder, (path.name for path in files if not is_image_name(path.name)))
    if not images:
        raise InputError(f"{folder}: no images in it (looked for {KNOWN})")
    return images


def images_by_stem(folder: str | Path) -> dict[str, Path]:
    """Return the files of `list_images` by stem, in Unicode's composed form (NFC).

    Raises:
        InputError: as `list_images`, and two files of one stem.
    """
    stems: dict[str, Path] = {}
    for path in list_images(folder):
        stem = plain_name(path.stem)
        if stem in stems:
            raise InputError(f"{folder}: {stems[stem].name} and {path.name} share a stem; rename or remove one of them")
        stems[stem] = path
    return stems


def tell_left_out(folder: str | Path, names: Iterable[str]) -> None:
    """Report in one line how many files of a folder, and which, are left out because of their names."""
    counted = sorted(name for name in names if not name.startswith(".") and name.lower() not in NOT_COUNTED)
    if not counted:
        return
    shown = ", ".join(counted[:SHOWN])
    if len(counted) > SHOWN:
        kinds = Counter(os.path.splitext(name)[1].lower() or "no suffix" for name in counted)
        shown += ", ... (" + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(SHOWN)) + ")"
    files = (
        "1 file without the suffix of an image"
        if len(counted) == 1
        else f"{len(counted)} files without the suffix of an image"
    )
    tell(f"{folder}: left out {files}: {shown}")
