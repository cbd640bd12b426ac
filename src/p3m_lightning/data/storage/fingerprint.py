"""Fingerprints of data sets: results are comparable only if they come from the same files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Protocol

from p3m_lightning.data.storage.layout import PACK
from p3m_lightning.schema import InputError

SAMPLED = 32
"""Number of samples whose files are read; of the others only names and sizes count."""


class Traceable(Protocol):
    """A data set that lists the files of its samples, such as `datasets.ArrayDataset`."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def sources(self) -> Iterator[tuple[str, Mapping[str, Path]]]:
        """Yield name and files, role -> path, of every sample."""


def fingerprint(dataset: Traceable) -> dict[str, object]:
    """Identify the files that a data set reads, the same on every machine and in every folder.

    A SHA-256 over, for every sample by name: its name and for each of its roles (image, alpha, trimap, ...) the suffix
    and size in bytes of the file; for `SAMPLED` samples, evenly spread over the sorted names, also the content of
    the files. So 10,000 images cost a directory listing and some 50 MB of reading. It misses a file that was replaced
    by another one of exactly the same size and is not among those read. Paths and times do not count, nor do
    packs, which hold the same pixels.

    Args:
        dataset: lists its files.

    Returns:
        `samples`, how many there are, and `sha256`, the first 16 hexadecimal digits; None for a data set
        that does not list its files.

    Raises:
        InputError: a file of the set is gone.
    """
    if not hasattr(dataset, "sources"):
        return {"samples": len(dataset), "sha256": None}
    try:
        samples = sorted((_signed(name, files) for name, files in dataset.sources()), key=itemgetter(0))
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None
    step = max(1, -(-len(samples) // SAMPLED))
    digest = hashlib.sha256()
    for number, (signature, files) in enumerate(samples):
        digest.update(signature.encode())
        for role in sorted(files) if number % step == 0 else ():
            digest.update(hashlib.sha256(files[role].read_bytes()).digest())
    return {"samples": len(samples), "sha256": digest.hexdigest()[:16]}


def _signed(name: str, files: Mapping[str, Path]) -> tuple[str, Mapping[str, Path]]:
    """Return one line per file, with sample name, role, suffix and size, and the files."""
    counted = {role: path for role, path in sorted(files.items()) if role != PACK}
    lines = (f"{name}\0{role}\0{path.suffix}\0{path.stat().st_size}\n" for role, path in counted.items())
    return "".join(lines), counted
