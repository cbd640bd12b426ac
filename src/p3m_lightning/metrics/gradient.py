"""The gradient error of both conventions: the squared difference of Gaussian gradient magnitudes.

Rhemann et al., "A Perceptually Motivated Online Benchmark for Image Matting", CVPR 2009.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

SIGMA = 1.4  # pixels


class GradientFilter(NamedTuple):
    """Two one-dimensional filters of the same odd length, and OpenCV's rule for pixels outside the image."""

    smooth: np.ndarray
    derive: np.ndarray
    border: int


def _bell(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a Gaussian of unit sum at the whole numbers from -radius to radius, and its derivative."""
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    bell = np.exp(-0.5 * (x / SIGMA) ** 2)
    bell /= bell.sum()
    return bell, -x / SIGMA**2 * bell


def _p3m_filter() -> GradientFilter:
    """Cut at four standard deviations, of unit sum before deriving; as scipy's `gaussian_filter` with its defaults."""
    return GradientFilter(*_bell(int(4 * SIGMA + 0.5)), cv2.BORDER_REFLECT)


def _adobe_filter() -> GradientFilter:
    """Cut where the bell falls to 0.01, each filter of unit Euclidean norm and so their product too."""
    smooth, derive = _bell(int(np.ceil(SIGMA * np.sqrt(-2 * np.log(np.sqrt(2 * np.pi) * SIGMA * 0.01)))))
    return GradientFilter(smooth / np.linalg.norm(smooth), derive / np.linalg.norm(derive), cv2.BORDER_REPLICATE)


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
    x, y, width, height = cv2.boundingRect((pred != target).view(np.uint8))
    if width == 0:
        return 0.0
    # a pixel reaches one radius far; filtering one radius more keeps the cut's own border out of the result
    radius = len(filters.smooth) // 2
    rows, read_rows = (_grown(y, height, reach, pred.shape[0]) for reach in (radius, 2 * radius))
    columns, read_columns = (_grown(x, width, reach, pred.shape[1]) for reach in (radius, 2 * radius))
    difference = _magnitude(pred[read_rows, read_columns], filters)
    difference -= _magnitude(target[read_rows, read_columns], filters)
    top, left = rows.start - read_rows.start, columns.start - read_columns.start
    difference = difference[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
    if region is not None:
        difference = difference[region[rows, columns]]
    return float(np.square(difference, dtype=np.float64).sum())


def _grown(start: int, length: int, reach: int, limit: int) -> slice:
    return slice(max(start - reach, 0), min(start + length + reach, limit))


def _magnitude(matte: np.ndarray, filters: GradientFilter) -> np.ndarray:
    """Return the float32 gradient magnitude; eight digits are plenty below the sum, which is taken in float64."""
    matte = matte.astype(np.float32)
    across: np.ndarray = cv2.sepFilter2D(matte, cv2.CV_32F, filters.derive, filters.smooth, borderType=filters.border)
    down: np.ndarray = cv2.sepFilter2D(matte, cv2.CV_32F, filters.smooth, filters.derive, borderType=filters.border)
    across *= across  # not cv2.magnitude: its last digit depends on where the memory happens to lie
    down *= down
    across += down
    return np.sqrt(across, out=across)
