"""Finding people in photographs meant as backgrounds, by the certain foreground of the network in the box."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.images import read_photo
from p3m_lightning.inference.predictor import Predictor
from p3m_lightning.schema import InputError

SURE = 0.9  # alpha from which a pixel certainly belongs to a person
LEAST = 0.004  # smallest share of a view that one connected region of these must have
PART = 0.6  # part of each side of the image that a closer view shows
SHORT_SIDE = 352  # pixels, size of a view for the network: that at which it finds people best


class Sighting(NamedTuple):
    """Findings in one photograph."""

    file: Path
    share: float  # of the largest certain region, in the view where it is largest; 0 to 1
    reason: str = ""  # why the file could not be read

    def is_found(self, least: float = LEAST) -> bool:
        """Return whether there is a person of at least this share."""
        return self.share >= least


def find_people(
    files: Iterable[Path], predictor: Callable[[np.ndarray], np.ndarray] | None = None, closer: bool = True
) -> Iterator[Sighting]:
    """Look for people in photographs.

    Args:
        files: photographs.
        predictor: returns the matte, float (H, W) in [0, 1], of RGB uint8 (H, W, 3); by default the network in the box.
        closer: also search four overlapping quarters: this finds smaller people, and takes five times as long.
    """
    predict = predictor or box_matte()
    for file in files:
        try:
            pixels = read_photo(file).pixels
        except InputError as error:
            yield Sighting(file, 0.0, str(error))
            continue
        shares = (largest_region(predict(view)) for view in views(pixels, closer))
        yield Sighting(file, max(shares))


def views(pixels: np.ndarray, closer: bool) -> list[np.ndarray]:
    """Return the image, and, if `closer`, its four overlapping quarters.

    Args:
        pixels: (H, W, ...).
        closer: include the quarters.
    """
    height, width = pixels.shape[:2]
    rows, columns = max(1, round(height * PART)), max(1, round(width * PART))
    corners = [(y, x) for y in (0, height - rows) for x in (0, width - columns)] if closer else []
    return [pixels, *(np.ascontiguousarray(pixels[y : y + rows, x : x + columns]) for y, x in corners)]


def largest_region(alpha: np.ndarray) -> float:
    """Return the share of the largest connected region of certain foreground in all pixels.

    Args:
        alpha: float (H, W) in [0, 1].
    """
    count, _, table, _ = cv2.connectedComponentsWithStats((alpha >= SURE).astype(np.uint8))
    return float(table[1:, cv2.CC_STAT_AREA].max()) / alpha.size if count > 1 else 0.0


def box_matte() -> Callable[[np.ndarray], np.ndarray]:
    """Return the network in the box as a function from pixels to matte, in one pass."""
    predictor = Predictor(mode="resize", short_side=SHORT_SIDE)
    return lambda pixels: predictor(pixels).alpha
