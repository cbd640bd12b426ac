"""Painting a face flat, before it is mapped onto the head: soft areas and lines in head space."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.plate import SHIFT, fixed_point
from p3m_lightning.synthetic.person import head

FINEST, COARSEST = 240, 48
"""Largest number of pixels per unit of head space; otherwise as many as the head has on the plate."""


class Mural:
    """Opaque paint over the frontal plane of a head: `pixels` float32 (h, w, 3), RGB in 0..255, `density` per unit."""

    def __init__(self, color: np.ndarray, density: float = FINEST) -> None:
        self.density = float(np.clip(density, COARSEST, FINEST))
        self.x, self.y = head.grid(self.density)
        self.pixels = np.empty((self.y.size, self.x.size, 3), np.float32)
        self.pixels[:] = color

    def area(
        self,
        outline: np.ndarray,
        color: np.ndarray,
        opacity: float = 1,
        blur: float = 0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Blend a color into a polygon (N, 2); `blur` in units; `clip`, a second polygon, limits the area."""
        self._blend(outline, color, opacity, blur, clip, None)

    def line(
        self,
        points: np.ndarray | list[np.ndarray],
        color: np.ndarray,
        opacity: float = 1,
        width: float = 0.01,
        blur: float = 0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Blend a color along a line (N, 2), or many at once, `width` and `blur` in units."""
        self._blend(points, color, opacity, blur, clip, width)

    def disk(
        self,
        center: Sequence[float] | np.ndarray,
        radii: Sequence[float],
        color: np.ndarray,
        opacity: float = 1,
        blur: float = 0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Blend a color into an ellipse."""
        turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        self.area(np.column_stack([np.cos(turn), np.sin(turn)]) * radii + center, color, opacity, blur, clip)

    def glow(self, center: Sequence[float] | np.ndarray, radii: Sequence[float]) -> np.ndarray:
        """Return a Gaussian spot of height 1 over the whole mural, (h, w)."""
        (cx, cy), (rx, ry) = center, radii
        return np.exp(-(((self.y - cy) / ry) ** 2)) * np.exp(-(((self.x - cx) / rx) ** 2))

    def tint(self, share: np.ndarray, color: np.ndarray) -> None:
        """Blend a color in by `share` (h, w) in [0, 1]."""
        self.pixels += share[..., None] * (np.asarray(color, np.float32) - self.pixels)

    def _blend(
        self,
        points: np.ndarray | list[np.ndarray],
        color: np.ndarray,
        opacity: float,
        blur: float,
        clip: np.ndarray | None,
        width: float | None,
    ) -> None:
        sigma = blur * self.density
        lines = [
            head.pixel(np.asarray(line), self.density) for line in (points if isinstance(points, list) else [points])
        ]
        at = np.concatenate(lines)
        margin = 3 * sigma + 2 + (width or 0) * self.density
        size = np.array([self.x.size, self.y.size])
        low = np.clip(np.floor(at.min(axis=0) - margin), 0, size - 1).astype(int)
        high = np.clip(np.ceil(at.max(axis=0) + margin) + 1, low + 1, size).astype(int)
        mask = np.zeros((high - low)[::-1], np.uint8)
        lines = [fixed_point(line - low) for line in lines]
        if width is None:
            cv2.fillPoly(mask, lines, 255, cv2.LINE_AA, SHIFT)
        else:
            cv2.polylines(mask, lines, False, 255, max(1, round(width * self.density)), cv2.LINE_AA, SHIFT)
            opacity *= min(1.0, width * self.density)  # a line thinner than a pixel covers part of it
        share: np.ndarray = mask.astype(np.float32) * (opacity / 255)
        if sigma > 0.3:
            share = cv2.GaussianBlur(share, (0, 0), sigma)
        if clip is not None:
            bounds = np.zeros_like(mask)
            cv2.fillPoly(bounds, [fixed_point(head.pixel(clip, self.density) - low)], 255, cv2.LINE_AA, SHIFT)
            share *= bounds / np.float32(255)
        part = self.pixels[low[1] : high[1], low[0] : high[0]]
        part += share[..., None] * (np.asarray(color, np.float32) - part)
