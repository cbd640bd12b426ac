"""One portrait from one number."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Portrait(NamedTuple):
    """A photograph and all that is known of it; before noise, image = alpha * foreground + (1 - alpha) * background."""

    image: np.ndarray  # uint8 (H, W, 3), RGB
    alpha: np.ndarray  # uint8 (H, W), 0 background to 255 foreground
    foreground: np.ndarray  # uint8 (H, W, 3), defined everywhere, continued smoothly where alpha is 0
    background: np.ndarray  # uint8 (H, W, 3), defined everywhere
    landmarks: np.ndarray  # float64 (68, 2), x and y in pixels, 300-W order
    quality: int  # JPEG quality the photograph is to be stored with, 80 to 95


def render_portrait(seed: int, size: int = 512) -> Portrait:
    """Render the portrait of a seed; the same seed and size give the same pixels.

    Args:
        seed: any number of 0 or more.
        size: side of the square image in pixels.
    """
    rng = np.random.default_rng(seed)
    scale = 2 * size
    fg = np.full((scale, scale, 3), rng.integers(60, 200, 3), np.uint8)
    alpha = np.zeros((scale, scale), np.uint8)
    noise = cv2.resize(rng.integers(0, 255, (9, 9, 3)).astype(np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
    cx, cy, r = rng.uniform(0.35, 0.65), rng.uniform(0.3, 0.45), rng.uniform(0.1, 0.17)
    skin = rng.uniform(0.35, 1) * np.array([235, 190, 160])

    def at(*xy: float) -> tuple[int, ...]:
        return tuple(round(v * scale) for v in xy)

    cv2.ellipse(alpha, at(cx, 1.05), at(r * 2.4, 0.95 - cy - r), 0, 0, 360, 255, -1, cv2.LINE_AA)
    for image, value in ((alpha, 255), (fg, skin.tolist())):
        cv2.ellipse(image, at(cx, cy), at(r, r * 1.35), 0, 0, 360, value, -1, cv2.LINE_AA)
    hair = rng.integers(10, 120, 3).tolist()
    for _ in range(500):
        angle = rng.uniform(np.pi, 2 * np.pi)
        root = np.array([cx + r * np.cos(angle), cy + 1.35 * r * np.sin(angle)])
        steps = np.cumsum(rng.normal([0.3 * np.cos(angle), 0.1], 0.4, (9, 2)) * r * 0.3, axis=0)
        strand = np.rint((root + steps) * scale * 16).astype(np.int32)
        for image, value in ((alpha, 255), (fg, hair)):
            cv2.polylines(image, [strand], False, value, 1, cv2.LINE_AA, 4)
    theta = np.linspace(np.pi, 0, 17)
    points = np.concatenate(
        [
            np.stack([np.cos(theta), 1.3 * np.sin(theta)], 1),
            np.stack([np.linspace(-0.7, 0.7, 10), np.full(10, -0.3)], 1),
            np.zeros((41, 2)),
        ]
    )
    landmarks = (points * r + [cx, cy]) * size
    alpha, fg = (cv2.resize(a, (size, size), interpolation=cv2.INTER_AREA) for a in (alpha, fg))
    share = alpha[..., None] / 255
    image = np.rint(share * fg + (1 - share) * noise).astype(np.uint8)
    return Portrait(image, alpha, fg, noise, landmarks, int(rng.integers(80, 96)))
