"""People in photographs that are to be backgrounds: what the network in the box takes for one with certainty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.images import read_photo
from p3m_lightning.inference.predictor import Predictor
from p3m_lightning.schema import InputError

SURE = 0.9  # alpha from which a pixel is a person's with certainty
LEAST = 0.004  # share of the pixels of a view that one connected region of them must have
PART = 0.6  # of each side of the picture that a closer view shows
SHORT_SIDE = 352  # pixels of a view as the network sees it: the size at which it tells where a person is


class Sighting(NamedTuple):
    """Findings in one photograph."""

    file: Path
    share: float  # of the largest certain region, in the view that shows most of it; 0 to 1
    reason: str = ""  # why the file could not be read

    def is_found(self, least: float = LEAST) -> bool:
        """Return whether there is a person of at least that share."""
        return self.share >= least


def find_people(
    files: Iterable[Path], predictor: Callable[[np.ndarray], np.ndarray] | None = None, closer: bool = True
) -> Iterator[Sighting]:
    """Look for people in photographs.

    Args:
        files: photographs.
        predictor: gives the matte, float (H, W) in [0, 1], of RGB uint8 (H, W, 3); the network in the box unless given.
        closer: look at the four quarters too, each somewhat larger than a quarter: that finds smaller people, and takes
            five times as long.
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
    """Return the picture, and, if `closer`, its four overlapping quarters.

    Args:
        pixels: (H, W, ...).
        closer: whether to look at the quarters.
    """
    height, width = pixels.shape[:2]
    rows, columns = max(1, round(height * PART)), max(1, round(width * PART))
    corners = [(y, x) for y in (0, height - rows) for x in (0, width - columns)] if closer else []
    return [pixels, *(np.ascontiguousarray(pixels[y : y + rows, x : x + columns]) for y, x in corners)]


def largest_region(alpha: np.ndarray) -> float:
    """Return the share of the pixels that the largest connected region of certain foreground has.

    Args:
        alpha: float (H, W) in [0, 1].
    """
    count, _, table, _ = cv2.connectedComponentsWithStats((alpha >= SURE).astype(np.uint8))
    return float(table[1:, cv2.CC_STAT_AREA].max()) / alpha.size if count > 1 else 0.0


def box_matte() -> Callable[[np.ndarray], np.ndarray]:
    """Return the network in the box as a function from pixels to matte, in one pass."""
    predictor = Predictor(mode="resize", short_side=SHORT_SIDE)
    return lambda pixels: predictor(pixels).alpha
