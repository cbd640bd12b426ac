"""Comparison of a copy with the published data set, as far as its counts and names tell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from p3m_lightning.data.cards import DatasetCard


class Copy(NamedTuple):
    """Comparison of a copy with what was published."""

    counts: dict[str, bool]  # split -> whether it has the published number of images
    foreign_names: int | None  # images not named as published; None where that is unknown
    fingerprint: str  # first 16 digits of a SHA-256 over split, name and pixels of every image

    def lines(self) -> list[str]:
        """Return the findings, one per line."""
        lines = [f"fingerprint of all images: {self.fingerprint} (the same for everybody with the same copy)"]
        if not self.counts:
            return lines
        wrong = [split for split, right in self.counts.items() if not right]
        counts = f"counts differ in {', '.join(wrong)}" if wrong else "counts as published"
        names = {None: "published names unknown", 0: "names as published"}.get(
            self.foreign_names, f"{self.foreign_names} names unlike the published ones"
        )
        return [*lines, f"compared with the published layout: {counts}, {names}; no checksums are published"]


def compare_with_published(card: DatasetCard, images: Mapping[str, int], pixels: Mapping[tuple[str, str], str]) -> Copy:
    """Compare counts and names with the published ones, and make one digest of all images.

    Args:
        card: of the data set.
        images: split -> number of images.
        pixels: split and name without suffix -> digest of the pixels.
    """
    counts = {split: images.get(split, 0) == one.count for split, one in card.splits.items() if one.count is not None}
    foreign = None
    if card.stems:
        foreign = sum(re.fullmatch(card.stems, stem) is None for _, stem in pixels)
    digest = hashlib.sha256()
    for (split, stem), pixel_digest in sorted(pixels.items()):
        digest.update(f"{split}\0{stem}\0{pixel_digest}\n".encode(errors="surrogatepass"))
    return Copy(counts, foreign, digest.hexdigest()[:16])
