"""Heads of people, located by their mattes, for a closer search for missed faces."""

from __future__ import annotations

import cv2
import numpy as np

Window = tuple[slice, slice]
"""Rows and columns of an image."""

HEAD_SHARE = 0.28
"""Head, hat and shoulders of a standing person, as a share of the height, with room for an arm above the head."""
SMALLEST_PERSON = 0.25
"""Pieces of a matte smaller than this share of the largest are shoes and hands, not people."""
MARGIN = 0.03
"""Margin on every side, as a share of the height, since mattes made by hand cut into hair and chins."""


def head_windows(person: np.ndarray) -> list[Window]:
    """Return windows around the upper part of every person, a smaller share of the height for taller shapes.

    Args:
        person: matte or mask, uint8 or uint16 (H, W), full range; several people may be separate pieces.

    Returns:
        Windows inside the image, the largest person's first; none if there is no foreground.
    """
    solid = (person > np.iinfo(person.dtype).max // 2).astype(np.uint8)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(solid)
    pieces = sorted(range(1, count), key=lambda piece: -statistics[piece, cv2.CC_STAT_AREA])
    areas = statistics[:, cv2.CC_STAT_AREA]
    return [_upper_part(labels == piece) for piece in pieces if areas[piece] >= SMALLEST_PERSON * areas[pieces[0]]]


def tiles(shape: tuple[int, ...], share: float = 0.6) -> list[Window]:
    """Divide an image of `shape` (height, width, ...) into 2 x 2 overlapping windows, each `share` of its sides."""
    spans = [[slice(0, round(share * side)), slice(side - round(share * side), side)] for side in shape[:2]]
    return [(rows, columns) for rows in spans[0] for columns in spans[1]]


def holds(window: Window, face: np.ndarray) -> bool:
    """Return whether the center of a face, (68, 2), lies in a window."""
    rows, columns = window
    x, y = face.mean(axis=0)
    return bool(columns.start <= x < columns.stop and rows.start <= y < rows.stop)


def _upper_part(piece: np.ndarray) -> Window:
    top, bottom = _span(piece, 0)
    left, right = _span(piece, 1)
    tall, wide = bottom - top, right - left
    height = min(tall, round(max(HEAD_SHARE * tall, wide * wide / tall)))  # a single head is about as wide as tall
    left, right = _span(piece[top : top + height], 1)
    margin = round(MARGIN * tall)
    rows = slice(max(0, top - margin), min(piece.shape[0], top + height + margin))
    return rows, slice(max(0, left - margin), min(piece.shape[1], right + margin))


def _span(piece: np.ndarray, axis: int) -> tuple[int, int]:
    """Return the first marked index along `axis`, and the one after the last."""
    indices = np.nonzero(piece)[axis]
    return int(indices.min()), int(indices.max()) + 1
