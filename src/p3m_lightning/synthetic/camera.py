"""From painted layers to a photograph with known layers: lens, grading, noise, and colors under alpha 0."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Shot(NamedTuple):
    """Settings of one photograph."""

    softness: float  # standard deviation of the lens blur, pixels of the final image
    gain: np.ndarray  # RGB (3,), exposure and white balance
    contrast: float
    gray: float  # 0 color to 1 black and white
    vignette: float  # darkening of the corners
    noise: float  # standard deviation, levels of 0..255
    quality: int  # of the JPEG


def draw_shot(rng: np.random.Generator, size: int) -> Shot:
    """Draw the settings of a photograph of `size` pixels."""
    soft = rng.uniform(0.3, 0.75) if rng.random() < 0.85 else rng.uniform(0.8, 2.2)
    return Shot(
        softness=soft * max(0.6, size / 512),
        gain=(rng.uniform(0.85, 1.1) * (1 + rng.normal(0, 0.03, 3))).astype(np.float32),
        contrast=rng.uniform(0.9, 1.2),
        gray=1.0 if rng.random() < 0.08 else max(0.0, rng.normal(0.0, 0.15)),
        vignette=max(0.0, rng.normal(0.05, 0.12)),
        noise=rng.uniform(0.5, 2.5) if rng.random() < 0.8 else rng.uniform(2.5, 7),
        quality=int(rng.integers(80, 96)),
    )


def develop(figure: np.ndarray, scene: np.ndarray, shot: Shot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make the photograph without noise: matte, foreground and background after the lens.

    The lens blurs the composite P + (1 - a) B of premultiplied figure P and scene B; with a' = blur(a) that is
    a' F + (1 - a') G with F = blur(P) / a' and G = blur((1 - a) B) / (1 - a'). F is computed so; G, unknown behind the
    figure, is replaced by the blurred scene. Grading, which is not linear, is applied to F and G, and the
    composite is made from the results, so the compositing equation holds in the end.

    Args:
        figure: uint8 premultiplied RGBA (k size, k size, 4).
        scene: float32 (size, size, 3), 0..255.
        shot: the settings.

    Returns:
        Matte (H, W), foreground and background (H, W, 3), all uint8.
    """
    size = scene.shape[0]
    figure = cv2.resize(figure.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA) / 255
    figure = cv2.GaussianBlur(figure, (0, 0), shot.softness)
    alpha = np.rint(figure[..., 3] * 255).astype(np.uint8)
    foreground = continue_colors(figure) * 255
    return alpha, _grade(foreground, shot), _grade(cv2.GaussianBlur(scene, (0, 0), shot.softness), shot)


def continue_colors(figure: np.ndarray) -> np.ndarray:
    """Divide premultiplied RGBA (H, W, 4) in [0, 1] by alpha; where alpha is 0, extend the nearest colors.

    Halves the image until one pixel is left, then fills every size from the next smaller one: smooth far away, the
    figure's own color near it.

    Returns:
        float32 (H, W, 3).
    """
    pyramid = [figure]
    while max(pyramid[-1].shape[:2]) > 1:
        height, width = (-(-side // 2) for side in pyramid[-1].shape[:2])
        pyramid.append(cv2.resize(pyramid[-1], (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, 4))
    filled = pyramid[-1][..., :3] / np.maximum(pyramid[-1][..., 3:], 1e-6)
    for level in reversed(pyramid[:-1]):
        filled = cv2.resize(filled, level.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(*level.shape[:2], 3)
        alpha = level[..., 3:]
        own = level[..., :3] / np.maximum(alpha, 1e-6)
        filled = filled + np.minimum(1, 6 * alpha) * (own - filled)
    return filled


def _grade(picture: np.ndarray, shot: Shot) -> np.ndarray:
    """Apply exposure, contrast, saturation and vignette; return uint8."""
    height, width = picture.shape[:2]
    x, y = np.linspace(-1, 1, width, dtype=np.float32)[None], np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    falloff = 1 - np.float32(shot.vignette) * (x**2 + y**2)
    picture = picture * shot.gain * falloff[..., None]
    picture = (picture - 118) * np.float32(shot.contrast) + 118
    # a soft shoulder instead of clipping, as in film and cameras
    bright = picture > 210
    picture[bright] = 255 - 45 * np.exp((210 - picture[bright]) / 45)
    luma = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    picture += np.float32(shot.gray) * (luma[..., None] - picture)
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)


def composite(alpha: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Composite the foreground over the background: float32 (H, W, 3) in 0..255 from three uint8 arrays."""
    share = alpha.astype(np.float32)[..., None] / 255
    return background + share * (foreground.astype(np.float32) - background)


def expose(rng: np.random.Generator, picture: np.ndarray, shot: Shot) -> np.ndarray:
    """Add sensor noise, partly coarse, and round to uint8."""
    grain = rng.standard_normal(picture.shape, np.float32)
    grain = 0.8 * grain + 0.9 * cv2.GaussianBlur(grain, (0, 0), 0.8)
    return np.rint(np.clip(picture + shot.noise * grain, 0, 255)).astype(np.uint8)


def cast_shadow(
    rng: np.random.Generator, scene: np.ndarray, figure: np.ndarray, lamp: np.ndarray, strength: float
) -> np.ndarray:
    """Darken a scene where a figure casts a shadow on a wall close behind.

    Args:
        rng: draws the distance of the wall.
        scene: float32 (size, size, 3); a new one is returned.
        figure: uint8 premultiplied RGBA (k size, k size, 4).
        lamp: direction (3,) toward the lamp.
        strength: 0 to 1.
    """
    small: np.ndarray = cv2.resize(figure[..., 3], (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    distance = rng.uniform(6, 22)
    move = np.array([[1, 0, -distance * lamp[0]], [0, 1, -distance * lamp[1]]], np.float32)
    small = cv2.warpAffine(small, move, (128, 128), borderMode=cv2.BORDER_REPLICATE)
    small = cv2.GaussianBlur(small, (0, 0), 0.6 + 0.12 * distance)
    shade = cv2.resize(small, scene.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return scene * (1 - np.float32(strength) * shade[..., None])
