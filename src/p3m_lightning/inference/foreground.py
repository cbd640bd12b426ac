"""Estimation of foreground colors, so that a cut-out has no fringe of its old background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from p3m_lightning.data.foreground_colors import import_pymatting, one_thread
from p3m_lightning.images import strips, to_unit
from p3m_lightning.schema import InputError

METHODS = ("ml", "fast")

WHOLE = 8_000_000
"""Pixels up to which colors are estimated at full size; for larger photographs at reduced size, then corrected."""

RADII = (90, 6)
"""Sides of the two boxes of blur fusion, in pixels (Forte 2021, section 3)."""


def estimate_foreground(image: np.ndarray, alpha: np.ndarray, method: str = "ml") -> np.ndarray:
    """Estimate the foreground colors of a photograph.

    Args:
        image: uint8 or uint16 (H, W, 3), RGB.
        alpha: float32 (H, W) in [0, 1].
        method: "ml", the multi-level solver (Germer et al., Fast Multi-Level Foreground Estimation, 2020), or "fast",
            two box filters (Forte, Approximate Fast Foreground Colour Estimation, 2021).

    Returns:
        float32 (H, W, 3) in [0, 1].

    Raises:
        InputError: unknown method.
    """
    if method not in METHODS:
        raise InputError(f"foreground={method}: choose from {', '.join(METHODS)}")
    factor = (WHOLE / alpha.size) ** 0.5
    if factor >= 1:
        return _estimate(to_unit(image), alpha, method)[0]
    height, width = alpha.shape
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = to_unit(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    rough = _estimate(small, cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), method)
    foreground, background = (cv2.resize(colors, (width, height)) for colors in rough)
    for rows in strips(height):
        a = alpha[rows, :, None]
        foreground[rows] = correct(to_unit(image[rows]), a, foreground[rows], background[rows]).clip(0, 1)
    return foreground


def blur_fusion(image: Any, alpha: Any, blur: Callable[[Any, int], Any], radii: tuple[int, ...] = RADII) -> tuple:
    """Estimate foreground and background by two box filters, coarse then fine; for arrays and tensors (Forte 2021).

    Args:
        image: float RGB in [0, 1], numpy (H, W, 3) or torch (N, 3, H, W).
        alpha: float in [0, 1], numpy (H, W, 1) or torch (N, 1, H, W).
        blur: `blur(values, side)`, the mean over a box, same shape.
        radii: sides of the boxes in pixels, one step each.

    Returns:
        Foreground in [0, 1] and background, shaped as the image.
    """
    foreground, background = image, image
    for side in radii:
        share = blur(alpha, side)
        foreground = blur(foreground * alpha, side) / (share + 1e-5)
        background = blur(background * (1 - alpha), side) / (1 - share + 1e-5)
        foreground = correct(image, alpha, foreground, background).clip(0, 1)
    return foreground, background


def correct(image: Any, alpha: Any, foreground: Any, background: Any) -> Any:
    """Correct smooth foreground colors toward the image: F + alpha (I - alpha F - (1 - alpha) B), eq. 6 there.

    Args:
        image, foreground, background: float RGB, numpy (H, W, 3) or torch (N, 3, H, W).
        alpha: float in [0, 1], numpy (H, W, 1) or torch (N, 1, H, W).
    """
    return foreground + alpha * (image - alpha * foreground - (1 - alpha) * background)


def box_mean(values: np.ndarray, side: int) -> np.ndarray:
    """Return the mean over a box of float (H, W, C); borders are mirrored."""
    blurred = cv2.blur(values, (side, side))
    return blurred.reshape(values.shape)  # OpenCV drops a single channel


def _estimate(image: np.ndarray, alpha: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Estimate foreground and background of float (H, W, 3) and (H, W)."""
    if alpha.size == 1:  # too small for the solver
        return image, image
    if method == "fast":
        return blur_fusion(image, alpha[..., None], box_mean)
    estimate_foreground_ml = import_pymatting().estimate_foreground_ml

    with one_thread():
        return estimate_foreground_ml(image, alpha, return_background=True)
