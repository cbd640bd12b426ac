"""Cloth: colors, patterns and folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.frame import Frame
from p3m_lightning.synthetic.painting.plate import Window
from p3m_lightning.synthetic.painting.shading import noise

TEXTURE = 256
"""Side of the noise tiles that patterns are made from."""


class Cloth(NamedTuple):
    """A fabric: two colors, RGB (3,) in 0..255, a pattern, and tiles of noise to make it from."""

    color: np.ndarray
    second: np.ndarray
    pattern: str
    scale: float  # size of the pattern in units
    angle: float
    tile: np.ndarray  # float32 (TEXTURE, TEXTURE), smooth
    folds: np.ndarray  # float32 (h, w), relief in half widths of the garment

    def painter(self, frame: Frame) -> Callable[[Window], np.ndarray]:
        """Return a function from a window to its colors, float32 (h, w, 3), for `shading.solid`."""

        def paint(window: Window) -> np.ndarray:
            x, y = frame.local(window, 2)
            drift = _sample(self.tile, x / 5, y / 5) * 0.08
            c, s = np.cos(self.angle), np.sin(self.angle)
            across, along = (c * x + s * y + drift) / self.scale, (c * y - s * x + drift) / self.scale
            share = PATTERNS[self.pattern](across, along, self.tile)[..., None]
            weave = 1 + 0.05 * _sample(self.tile, x * 2.3, y * 2.3)[..., None]
            color = (self.color + share * (self.second - self.color)).astype(np.float32) * weave
            rows, columns = window
            return cv2.resize(color, (columns.stop - columns.start, rows.stop - rows.start))

        return paint


def _sample(tile: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sample a tile at coordinates where it fills 0 to 1 and continues mirrored."""
    side = np.float32(TEXTURE - 1)
    at_x, at_y = (v.astype(np.float32) * side for v in (x, y))
    return cv2.remap(tile, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def _wave(values: np.ndarray, sharp: float = 6, bias: float = 0.0) -> np.ndarray:
    return np.clip(np.sin(2 * np.pi * values) * sharp + bias + 0.5, 0, 1)


def _dots(a: np.ndarray, b: np.ndarray, _: np.ndarray) -> np.ndarray:
    row = np.floor(b)
    radius = np.hypot((a + 0.5 * (row % 2)) % 1 - 0.5, b % 1 - 0.5)
    return np.clip((0.3 - radius) * 14, 0, 1)


PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "plain": lambda a, b, tile: 0.12 * _sample(tile, a / 4, b / 4),
    "stripes": lambda a, b, tile: _wave(b),
    "pinstripes": lambda a, b, tile: 0.7 * _wave(a, 8, -6.5),
    "checks": lambda a, b, tile: 0.4 * _wave(a, 6) + 0.4 * _wave(b, 6) + 0.2 * _wave(2 * a, 8, -6),
    "dots": _dots,
    "print": lambda a, b, tile: np.clip(_sample(tile, a / 3, b / 3) * 9 - 1.5, 0, 1),
    "knit": lambda a, b, tile: 0.22 * _wave(2.5 * b + 0.35 * np.abs((5 * a) % 2 - 1), 1) + 0.1 * _sample(tile, a, b),
    "denim": lambda a, b, tile: 0.25 * _wave(9 * (a + b), 1) + 0.35 * _sample(tile, a / 2, b / 2),
}
_ODDS = {"plain": 9, "stripes": 2, "pinstripes": 1, "checks": 2, "dots": 1, "print": 1.5, "knit": 3, "denim": 1}


def draw_color(rng: np.random.Generator) -> np.ndarray:
    """Draw a color for cloth or a thing: often muted, sometimes strong, dark or white; RGB (3,) in 0..255."""
    hue, strength = rng.uniform(0, 1), rng.beta(1.3, 2.8)
    value = 235 * rng.beta(1.6, 1.6) + 15
    if rng.random() < 0.3:
        strength *= 0.15
    ramp = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return value * (1 - strength + strength * ramp)


def draw_cloth(rng: np.random.Generator, color: np.ndarray | None = None, pattern: str | None = None) -> Cloth:
    """Draw a fabric; color and pattern may be given."""
    color = draw_color(rng) if color is None else color
    pattern = pattern or str(rng.choice(list(_ODDS), p=np.array(list(_ODDS.values())) / sum(_ODDS.values())))
    second = draw_color(rng) if pattern not in ("plain", "knit", "denim") else color * rng.uniform(0.5, 1.4)
    angle = rng.uniform(-0.15, 0.15)
    scale = rng.uniform(0.35, 0.9)
    tile = noise(rng, (TEXTURE, TEXTURE), rng.uniform(8, 20), 5)
    return Cloth(color, second, pattern, scale, angle, tile, _folds(rng))


def _folds(rng: np.random.Generator) -> np.ndarray:
    """Return a relief of wrinkles: ridged noise, stretched in one direction."""
    waves = noise(rng, (96, 96), rng.uniform(3, 6), 3)
    slant: np.ndarray = cv2.getRotationMatrix2D((48, 48), rng.uniform(-60, 60), 1.0)
    slant[:, 0] *= rng.uniform(0.35, 0.8)
    waves = cv2.warpAffine(waves, slant, (96, 96), borderMode=cv2.BORDER_REFLECT)
    return (0.5 - np.abs(waves)) * np.float32(rng.uniform(0.03, 0.11))
