"""New backgrounds for a cut-out: an image, a color, or the old one out of focus; and matching the light."""

from __future__ import annotations

from numbers import Real
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageColor

from p3m_lightning.images import read_photo, to_unit
from p3m_lightning.schema import InputError

Background = str | Path | Image.Image | np.ndarray | tuple[int, int, int]

BLUR = 0.02
"""Standard deviation of the out-of-focus background, as a part of the longer side of the photograph."""

GAMMA = 2.2
"""Pixel values to this power are approximately linear light."""

MOST_GAIN = 2.0
"""`match_light` multiplies no intensity by more than this, or less than its inverse."""


def make_background(background: Background, size: tuple[int, int]) -> np.ndarray:
    """Make a background of `size` (height, width).

    Args:
        background: path of an image; color name or "#rrggbb"; (r, g, b) of 0 to 255; Pillow image; uint8 or uint16
            array (H, W, 3), or float array in [0, 1]. An image of another shape is scaled to cover, and centered.

    Returns:
        float32 (height, width, 3), RGB in [0, 1].

    Raises:
        InputError: neither a color nor a readable image.
    """
    color = _as_color(background)
    if color is not None:
        return np.broadcast_to(np.array(color, np.float32) / 255, (*size, 3))
    if isinstance(background, np.ndarray) and np.issubdtype(background.dtype, np.floating):
        if background.ndim != 3 or background.shape[2] != 3 or 0 in background.shape:
            raise InputError(f"background array: {background.shape}; give RGB (H, W, 3)")
        low, high = background.min(), background.max()
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise InputError(f"background array: floats from {low:g} to {high:g}; give [0, 1], or uint8")
        return cover(background.astype(np.float32), size).clip(0, 1)  # cubic interpolation overshoots
    assert not isinstance(background, tuple)  # colors are handled above
    return to_unit(cover(read_photo(background).pixels, size))


def cover(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale pixels (H, W, 3) until they cover `size` (height, width), and keep the center."""
    height, width = pixels.shape[:2]
    factor = max(size[0] / height, size[1] / width)
    scaled = (max(size[0], round(height * factor)), max(size[1], round(width * factor)))
    if scaled != (height, width):
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, scaled[::-1], interpolation=how)
    top, left = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    return pixels[top : top + size[0], left : left + size[1]]


def blurred_background(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blur the background without bleeding from the subject: blur(w I) / blur(w), with w high in the background.

    Args:
        image: uint8 or uint16 (H, W, 3), RGB.
        alpha: float32 (H, W) in [0, 1].

    Returns:
        float32 (H, W, 3) in [0, 1].
    """
    height, width = alpha.shape
    factor = min(1.0, 1024 / max(height, width))  # a blurred image needs no more pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = to_unit(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    # leave out a margin: a fringe that the matte missed would glow around the subject
    weights = background_weights(cv2.dilate(cv2.resize(alpha, size), np.ones((5, 5), np.uint8)))
    sigma = BLUR * max(size)
    share = cv2.GaussianBlur(weights, (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(small * weights[..., None], (0, 0), sigma)
    # deep inside the subject there is no background nearby, but it is hidden there anyway
    mean = (small * weights[..., None]).sum((0, 1)) / max(weights.sum(), 1e-6)
    return cv2.resize((blurred + 1e-4 * mean) / (share + 1e-4), (width, height)).clip(0, 1)


def background_weights(alpha: np.ndarray) -> np.ndarray:
    """Return weights, float32 (H, W), that favor pure background: half-covered pixels hardly count."""
    return (1 - alpha) ** 8


def match_light(
    foreground: np.ndarray, old: np.ndarray, alpha: np.ndarray, new: np.ndarray, strength: float
) -> np.ndarray:
    """Adapt the subject to the light of the new background by a gain per channel, which keeps black black (von Kries).

    The light of each scene is the mean of its background, in linear intensity (the gray-world assumption).

    Args:
        foreground: float32 (H, W, 3), RGB in [0, 1].
        old: float32 (H, W, 3), the photograph in [0, 1].
        alpha: float32 (H, W) in [0, 1]; the old background is where it is low.
        new: float32 (H, W, 3), the new background in [0, 1].
        strength: from 0, no change, to 1, the full ratio of the two lights.

    Returns:
        float32 (H, W, 3) in [0, 1]; a photograph without any background is unchanged.
    """
    weights = background_weights(alpha)
    if weights.sum() < 1:
        return foreground
    before = np.einsum("hw,hwc->c", weights, old**GAMMA) / weights.sum()
    after = (new**GAMMA).mean((0, 1))
    gain = np.clip((after + 1e-2) / (before + 1e-2), 1 / MOST_GAIN, MOST_GAIN) ** (strength / GAMMA)
    return (foreground * gain.astype(np.float32)).clip(0, 1)


def _as_color(background: Background) -> tuple[int, ...] | None:
    """Return (r, g, b) of 0 to 255 if `background` is a color."""
    if isinstance(background, tuple | list):
        if len(background) != 3 or not all(isinstance(v, Real) and 0 <= v <= 255 for v in background):
            raise InputError(f"background={background}: give (r, g, b) of 0 to 255")
        return tuple(background)
    if not isinstance(background, str):
        return None
    try:
        return ImageColor.getrgb(background)[:3]
    except ValueError:
        if Path(background).exists():
            return None
        raise InputError(
            f"background={background}: neither a color (such as white or '#00ff00') nor an image file"
        ) from None
