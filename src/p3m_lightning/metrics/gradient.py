"""The gradient error of both conventions: the squared difference of Gaussian gradient magnitudes.

Rhemann et al., "A Perceptually Motivated Online Benchmark for Image Matting", CVPR 2009.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.images import strips

SIGMA = 1.4  # pixels


class GradientFilter(NamedTuple):
    """Two one-dimensional filters of the same odd length, and the rules for applying them."""

    smooth: np.ndarray
    derive: np.ndarray
    border: int  # OpenCV's rule for pixels outside the image
    stretch: bool  # first stretch the range of each matte to [0, 1]


def _bell(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a Gaussian of unit sum at the whole numbers from -radius to radius, and its derivative."""
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    bell = np.exp(-0.5 * (x / SIGMA) ** 2)
    bell /= bell.sum()
    return bell, -x / SIGMA**2 * bell


def _p3m_filter() -> GradientFilter:
    """Return filters cut at four standard deviations, of unit sum before derivation, like scipy's `gaussian_filter`."""
    return GradientFilter(*_bell(int(4 * SIGMA + 0.5)), cv2.BORDER_REFLECT, stretch=False)


def _adobe_filter() -> GradientFilter:
    """Return filters cut where the Gaussian falls to 0.01, each (and so their product) of unit Euclidean norm."""
    smooth, derive = _bell(int(np.ceil(SIGMA * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * SIGMA * 0.01)))))
    smooth, derive = smooth / np.linalg.norm(smooth), derive / np.linalg.norm(derive)
    return GradientFilter(smooth, derive, cv2.BORDER_REPLICATE, stretch=True)


P3M_FILTER = _p3m_filter()
ADOBE_FILTER = _adobe_filter()


def gradient_difference(
    pred: np.ndarray, target: np.ndarray, filters: GradientFilter, region: np.ndarray | None = None
) -> float:
    """Sum the squared differences of the gradient magnitudes of two mattes.

    Args:
        pred: float64 (H, W).
        target: float64 (H, W).
        filters: P3M_FILTER or ADOBE_FILTER.
        region: boolean (H, W), the pixels to sum over; None for all.
    """
    ranges = [_range(matte) if filters.stretch else (0.0, 1.0) for matte in (pred, target)]
    x, y, width, height = 0, 0, pred.shape[1], pred.shape[0]
    if ranges[0] == ranges[1]:  # then equal pixels do not contribute to the sum
        x, y, width, height = cv2.boundingRect((pred != target).view(np.uint8))
    if width == 0:
        return 0.0
    # a pixel affects one radius; the crop reaches one more, so that its border does not affect the result
    radius = len(filters.smooth) // 2
    columns, read_columns = (_grown(x, width, reach, pred.shape[1]) for reach in (radius, 2 * radius))
    left = columns.start - read_columns.start
    changed = _grown(y, height, radius, pred.shape[0])
    total = 0.0
    for rows in strips(changed.stop, changed.start):
        read_rows = _grown(rows.start, rows.stop - rows.start, radius, pred.shape[0])
        difference = _magnitude(pred[read_rows, read_columns], ranges[0], filters)
        difference -= _magnitude(target[read_rows, read_columns], ranges[1], filters)
        top = rows.start - read_rows.start
        difference = difference[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
        if region is not None:
            difference = difference[region[rows, columns]]
        total += float(np.square(difference, dtype=np.float64).sum())
    return total


def _grown(start: int, length: int, reach: int, limit: int) -> slice:
    return slice(max(start - reach, 0), min(start + length + reach, limit))


def _range(matte: np.ndarray) -> tuple[float, float]:
    """Return the offset and factor that stretch a matte to [0, 1]; a constant one becomes 0."""
    low, high = float(matte.min()), float(matte.max())
    return low, 1 / (high - low) if high > low else 0.0


def _magnitude(matte: np.ndarray, span: tuple[float, float], filters: GradientFilter) -> np.ndarray:
    """Return the float32 gradient magnitude; its precision suffices for the sum, which is computed in float64."""
    low, factor = span
    matte = (matte if span == (0.0, 1.0) else (matte - low) * factor).astype(np.float32)
    across: np.ndarray = cv2.sepFilter2D(matte, cv2.CV_32F, filters.derive, filters.smooth, borderType=filters.border)
    down: np.ndarray = cv2.sepFilter2D(matte, cv2.CV_32F, filters.smooth, filters.derive, borderType=filters.border)
    across *= across  # not cv2.magnitude: its last digit depends on memory alignment
    down *= down
    across += down
    return np.sqrt(across, out=across)
