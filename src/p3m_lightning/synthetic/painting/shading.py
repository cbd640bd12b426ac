"""Light, relief and noise, which turn flat outlines into things with volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.plate import SHIFT, Plate, Window, fixed_point, polygon_cover

RELIEF_SIDE = 200
"""Relief is smooth: it is computed with sides of at most this many pixels and enlarged."""


class Light(NamedTuple):
    """One lamp and ambient light; axes x right, y down, z to the viewer."""

    direction: np.ndarray  # unit (3,), toward the lamp
    key: np.ndarray  # RGB (3,), strength of the lamp
    ambient: np.ndarray  # RGB (3,), the rest

    def on(self, normals: np.ndarray, wrap: float | np.ndarray = 0.25) -> np.ndarray:
        """Return light arriving at surfaces, (..., 3) RGB factors for unit normals; `wrap` softens the terminator."""
        facing = normals @ self.direction.astype(np.float32)
        facing = facing[..., None]
        return self.ambient + self.key * np.clip((facing + wrap) / (1 + np.asarray(wrap)), 0, 1)


def draw_light(rng: np.random.Generator) -> Light:
    """Draw a lamp: mostly from above, from either side, warm, white or cold."""
    azimuth, height = rng.uniform(-1.25, 1.25), rng.uniform(0.1, 0.9)
    direction = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)])
    warmth = rng.normal(0, 0.05)
    tint = np.array([1 + warmth, 1, 1 - warmth])
    ambient = rng.uniform(0.38, 0.62)
    return Light(direction, (1.1 - ambient) * tint, ambient * (2 - tint))


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int = 3) -> np.ndarray:
    """Return fractal noise, float32 `shape`, about -1 to 1; `cells` waves across the longer side at the coarsest."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight, mass = 1.0, 0.0
    for _ in range(octaves):
        rows = max(2, round(cells * height / max(shape)) + 1)
        columns = max(2, round(cells * width / max(shape)) + 1)
        lattice = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        total += weight * cv2.resize(lattice, (width, height), interpolation=cv2.INTER_CUBIC)
        mass += weight**2
        weight, cells = weight / 2, cells * 2
        if cells > max(shape) / 2:
            break
    return total / np.float32(mass**0.5)


def unit_normals(heights: np.ndarray) -> np.ndarray:
    """Return unit normals (H, W, 3) of a relief (H, W) whose heights are in pixels."""
    normals = np.empty((*heights.shape, 3), np.float32)
    normals[..., 0] = -cv2.Sobel(heights, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    normals[..., 1] = -cv2.Sobel(heights, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    normals[..., 2] = 1
    return normals / np.linalg.norm(normals, axis=2, keepdims=True)


def solid(
    plate: Plate,
    outline: np.ndarray | list[np.ndarray],
    albedo: np.ndarray | Callable[[Window], np.ndarray],
    light: Light,
    *,
    bulge: float = 1.0,
    reach: float = 1.0,
    folds: np.ndarray | None = None,
    wrap: float | np.ndarray = 0.25,
    fade: tuple[np.ndarray, float] | None = None,
) -> None:
    """Paint a polygon as a thing with volume: inflated from its outline, and lit.

    Args:
        plate: to paint on.
        outline: polygon (N, 2) in pixels of the plate, or several that form one thing.
        albedo: RGB in 0..255, (3,), or a function from a window to its colors (h, w, 3).
        light: the lamp.
        bulge: height of the relief relative to its half width; 0 is flat.
        reach: extent of the rounding from the outline, 1 up to the middle.
        folds: relief to add, float32 of any size stretched over the outline's box, in half widths.
        wrap: softness of the terminator, a number or RGB.
        fade: a point (2,) and the distance from it over which the thing fades in over existing paint.
    """
    window = plate.window(outline)
    if window is None:
        return
    parts = outline if isinstance(outline, list) else [outline]
    arriving = _arriving(parts, window, light, wrap, bulge, reach, folds)
    cover = polygon_cover(parts, window)
    if fade is not None:
        y, x = np.mgrid[window].astype(np.float32)
        cover *= np.clip(np.hypot(x - fade[0][0], y - fade[0][1]) / np.float32(fade[1]) - 0.4, 0, 1)
    paint = albedo(window) if callable(albedo) else np.asarray(albedo, np.float32)
    plate.lay(window, arriving * paint, cover)


def _arriving(
    parts: list[np.ndarray],
    window: Window,
    light: Light,
    wrap: float | np.ndarray,
    bulge: float,
    reach: float,
    folds: np.ndarray | None,
) -> np.ndarray:
    """Return the light (h, w, 3) on inflated outlines in a window; the relief includes parts outside the plate."""
    corners = np.concatenate(parts)
    low, high = corners.min(axis=0) - 2, corners.max(axis=0) + 2
    scale = min(1.0, RELIEF_SIDE / float((high - low).max()))
    width, height = np.maximum(np.ceil((high - low) * scale).astype(int), 2)
    mask = np.zeros((height, width), np.uint8)
    for part in parts:
        cv2.fillPoly(mask, [fixed_point((part - low) * scale)], 255, shift=SHIFT)
    arriving = light.on(unit_normals(_inflate(mask, bulge, reach, folds)), wrap).astype(np.float32)
    rows, columns = window
    place = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
    place[:, 2] = (np.array([columns.start, rows.start]) - low + 0.5) * scale - 0.5
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(arriving, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def soft_shadow(plate: Plate, outline: np.ndarray, strength: float, blur: float) -> None:
    """Darken the paint under a polygon (N, 2) by up to `strength`, with a border blurred by `blur` pixels."""
    window = plate.window(outline, 2 + 2.5 * blur)
    if window is None:
        return
    rows, columns = window
    scale = min(1.0, 2 / max(blur, 1e-3))  # a blurred mask needs few pixels
    size = (max(2, round((columns.stop - columns.start) * scale)), max(2, round((rows.stop - rows.start) * scale)))
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(mask, [fixed_point((outline - (columns.start, rows.start)) * scale)], 255, cv2.LINE_AA, SHIFT)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.5, blur * scale))
    cover = cv2.resize(mask, (columns.stop - columns.start, rows.stop - rows.start), interpolation=cv2.INTER_LINEAR)
    plate.darken(window, cover.astype(np.float32) / 255, strength)


def _inflate(mask: np.ndarray, bulge: float, reach: float, folds: np.ndarray | None) -> np.ndarray:
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    radius = max(1.0, float(distance.max()) * reach)
    heights = np.sqrt(1 - (1 - np.minimum(distance / radius, 1)) ** 2) * radius * bulge
    if folds is not None:
        heights += cv2.resize(folds, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) * float(distance.max())
    return cv2.GaussianBlur(heights.astype(np.float32), (0, 0), max(1.0, 0.06 * radius))
