"""The connectivity error of both conventions: how far each pixel is disconnected from the main body of the matte.

Rhemann et al., "A Perceptually Motivated Online Benchmark for Image Matting", CVPR 2009, with the threshold
step 0.1, four neighbors and the dead zone 0.15 that every published implementation uses.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from p3m_lightning.images import strips

THRESHOLDS = np.arange(11) * 0.1  # in float64, so the sixth is 0.6000000000000001
DEAD_ZONE = 0.15


def connectivity_difference(
    pred: np.ndarray, target: np.ndarray, skip_empty: bool, region: np.ndarray | None = None, held_in: Any = np.float64
) -> float:
    """Sum the differences of the degrees of connectivity of two mattes.

    The degree is 1 - d where d = alpha - level reaches 0.15, else 1. The level is the last threshold up to which the
    pixel belongs to the largest connected component of both mattes.

    Args:
        pred: float64 (H, W).
        target: float64 (H, W).
        skip_empty: effect of a threshold that no pixel reaches in both mattes on pixels connected so far: True keeps
            them connected up to 1 (P3M), False ends them at the previous threshold (Adobe).
        region: boolean (H, W), the pixels to sum over; None for all.
        held_in: dtype that the values are first rounded to.
    """
    reached = np.zeros(pred.shape, np.uint8)
    for rows in strips(len(pred)):
        common = np.minimum(pred[rows], target[rows]).astype(held_in, copy=False)
        for threshold in THRESHOLDS[1:]:
            reached[rows] += common >= threshold
    indices = _level_indices(reached, skip_empty)
    levels = THRESHOLDS.astype(np.float32)
    total = 0.0
    for rows in strips(len(pred)):
        ours, truth = (
            matte[rows].astype(held_in, copy=False).astype(np.float64, copy=False) for matte in (pred, target)
        )
        differing = ours != truth  # all others have equal degrees
        if region is not None:
            differing &= region[rows]
        level = levels[indices[rows][differing]]
        difference = _excess(ours[differing], level) - _excess(truth[differing], level)
        total += float(np.abs(difference).sum())
    return total


def _level_indices(reached: np.ndarray, skip_empty: bool) -> np.ndarray:
    """Return the number of consecutive thresholds at which each pixel lies in the largest component.

    Args:
        reached: uint8 (H, W), the index of the last threshold that both mattes reach.
        skip_empty: see `connectivity_difference`.

    Returns:
        uint8 (H, W).
    """
    last = len(THRESHOLDS) - 1
    top = int(reached.max())
    if top < 1:
        return np.full(reached.shape, last if skip_empty else 0, np.uint8)
    indices = np.zeros(reached.shape, np.uint8)
    x, y, width, height = cv2.boundingRect((reached >= 1).view(np.uint8))
    window = np.s_[y : y + height, x : x + width]
    reached, inside = reached[window], indices[window]
    seed = _first_pixel(_largest_of_all((reached >= top).view(np.uint8)))
    connected = np.ones(reached.shape, bool)
    for threshold in range(1, top + 1):
        connected &= _largest_component((reached >= threshold).view(np.uint8), seed)
        inside += connected
    if skip_empty:
        inside[connected] = last
    return indices


def _largest_component(mask: np.ndarray, seed: tuple[int, int]) -> np.ndarray:
    """Return the largest 4-connected component of a uint8 mask of 0 and 1, the first in reading order if tied.

    Flood filling from `seed` (x, y), a pixel of the mask, costs a fifth of labeling everything, and is enough if the
    component has more than half of the pixels.
    """
    pixels = cv2.countNonZero(mask)
    area, mask, _, _ = cv2.floodFill(mask, None, seed, 2, flags=4)
    return mask == 2 if 2 * area > pixels else _largest_of_all(mask)


def _largest_of_all(mask: np.ndarray) -> np.ndarray:
    """Return the largest component by labeling all of them."""
    count, labels = cv2.connectedComponents(mask, connectivity=4)
    sizes = np.zeros(count, np.int64)
    for rows in strips(len(labels)):
        sizes += np.bincount(labels[rows].ravel(), minlength=count)
    sizes[0] = 0  # the outside
    largest = sizes == sizes.max()
    first = labels.ravel()[np.argmax(largest[labels])] if np.count_nonzero(largest) > 1 else np.argmax(largest)
    return labels == first


def _first_pixel(mask: np.ndarray) -> tuple[int, int]:
    """Return (x, y) of the first pixel in reading order."""
    y, x = divmod(int(np.argmax(mask)), mask.shape[1])
    return x, y


def _excess(alpha: np.ndarray, levels: np.ndarray) -> np.ndarray:
    distance = alpha - levels
    return distance * (distance >= DEAD_ZONE)
