"""Benchmark of the gradient and connectivity errors against the published procedure, on one thread.

The procedure is implemented here from its description, with scipy's fast labeling. One of its steps, the distance
transform at every threshold, has no influence on the result and takes most of the time; the ratio without it is given
too, for a fair comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from p3m_lightning.metrics.arrays import matte_pair
from p3m_lightning.metrics.functional import connectivity_error, gradient_error

HEIGHT, WIDTH = 1080, 1620  # 1.7 megapixels, the mean of P3M-500-P and P3M-500-NP


def bench(pred: np.ndarray, target: np.ndarray, repeats: int = 3) -> dict[str, Any]:
    """Time our metrics and the published procedure on one pair of mattes, (H, W) in [0, 1].

    Returns:
        `seconds` and `published_seconds` of processor time by metric, the fastest of `repeats` runs; `ratio` of their
        sums; `ratio_without_distance_transform`; `values`; `relative_difference` of the values; `size` (height, width).

    Raises:
        InputError: the arrays are not a pair of mattes.
    """
    pred, target = matte_pair(pred, target)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        ours = {"gradient": gradient_error, "connectivity": connectivity_error}
        timed = {name: _fastest(f, pred, target, repeats) for name, f in ours.items()}
        plain = {"gradient": published_gradient, "connectivity": published_connectivity}
        published = {name: _fastest(f, pred, target, repeats) for name, f in plain.items()}
        unused = _fastest(_distance_transforms, pred, target, repeats)[0]
    finally:
        cv2.setNumThreads(threads)
    seconds, total = (sum(t for t, _ in results.values()) for results in (timed, published))
    return {
        "benchmark": "metrics",
        "size": list(target.shape),
        "seconds": {name: t for name, (t, _) in timed.items()},
        "published_seconds": {name: t for name, (t, _) in published.items()},
        "ratio": total / seconds,
        "ratio_without_distance_transform": (total - unused) / seconds,
        "values": {name: value for name, (_, value) in timed.items()},
        "relative_difference": {n: abs(timed[n][1] - v) / v if v else timed[n][1] for n, (_, v) in published.items()},
    }


def published_gradient(pred: np.ndarray, target: np.ndarray) -> float:
    """Return the gradient error of two float64 mattes (H, W) by the published procedure."""
    magnitudes = []
    for matte in (pred, target):
        down, across = (
            ndimage.gaussian_filter(matte, 1.4, order=order, output=np.float32) for order in ((1, 0), (0, 1))
        )
        magnitudes.append(np.sqrt(down**2 + across**2))
    return float(np.sum((magnitudes[0] - magnitudes[1]) ** 2)) / 10


def published_connectivity(pred: np.ndarray, target: np.ndarray) -> float:
    """Return the connectivity error of two float64 mattes (H, W) by the published procedure, with its unused step."""
    thresholds = np.arange(0, 1.1, 0.1)
    levels = np.full(pred.shape, -1, np.float32)
    for i in range(1, len(thresholds)):
        labels, count = ndimage.label((pred >= thresholds[i]) & (target >= thresholds[i]))
        if count == 0:
            continue
        largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
        levels[(levels == -1) & ~largest] = thresholds[i - 1]
        ndimage.distance_transform_edt(~largest)
    levels[levels == -1] = 1
    degrees = []
    for matte in (pred, target):
        distance = matte - levels
        degrees.append(1 - distance * (distance >= 0.15))
    return float(np.sum(np.abs(degrees[0] - degrees[1]))) / 1000


def drawn_pair(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw a head and shoulders with loose hair, and a slightly wrong matte of it.

    Returns:
        Prediction and truth, float64 (height, width) of 8-bit codes over 255.
    """
    random = np.random.default_rng(seed)
    matte, hair = np.zeros((2, height, width), np.uint8)
    head, radius = (width // 2, height * 2 // 5), height // 5
    cv2.ellipse(matte, head, (radius, radius * 5 // 4), 0, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.ellipse(matte, (width // 2, height), (height // 2, height * 2 // 5), 0, 180, 360, 255, -1, cv2.LINE_AA)
    for angle, length, bend in random.uniform((0, 1, -0.4), (2 * np.pi, 1.8, 0.4), (400, 3)):
        reach = radius * np.linspace(0.9, length, 12)
        direction = angle + bend * np.linspace(0, 1, 12) ** 2
        points = np.stack([head[0] + reach * np.cos(direction), head[1] + reach * np.sin(direction)], axis=1)
        strand = np.rint(points * 16).astype(np.int32)
        cv2.polylines(hair, [strand], False, int(random.integers(60, 255)), 1, cv2.LINE_AA, shift=4)
    target = cv2.GaussianBlur(np.maximum(matte, hair), (0, 0), 1.2)
    haze = cv2.resize(random.normal(0, 0.1, (height // 20, width // 20)), (width, height))
    edge = (target > 0) & (target < 255)
    pred = np.where(edge, np.clip(np.roll(target, 1, axis=1) / 255 + haze, 0, 1), target / 255)
    return np.rint(pred * 255) / 255, target / 255


def _distance_transforms(pred: np.ndarray, target: np.ndarray) -> None:
    """Do only the unused step of `published_connectivity`."""
    for threshold in np.arange(0.1, 1.1, 0.1):
        ndimage.distance_transform_edt((pred < threshold) | (target < threshold))


def _fastest(
    function: Callable[[np.ndarray, np.ndarray], Any], pred: np.ndarray, target: np.ndarray, repeats: int
) -> tuple[float, Any]:
    """Return the smallest processor time of `repeats` calls in seconds, and the result of the last one."""
    seconds = []
    for _ in range(repeats):
        start = time.thread_time()
        result = function(pred, target)
        seconds.append(time.thread_time() - start)
    return min(seconds), result
