"""Painting with coverage: a premultiplied RGBA plate that the figure is drawn on."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

SHIFT = 4
"""Fractional bits of the coordinates handed to OpenCV: drawing is accurate to a sixteenth of a pixel."""

Window = tuple[slice, slice]


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Convert float (..., 2) pixel coordinates to the int32 fixed-point numbers of OpenCV's drawing calls."""
    return np.rint(np.clip(points, -1e5, 1e5) * (1 << SHIFT)).astype(np.int32)


def spline(
    points: Sequence[Sequence[float] | np.ndarray] | np.ndarray, closed: bool = False, steps: int = 8
) -> np.ndarray:
    """Return a smooth curve (Catmull-Rom) through `points` (N, D): float (M, D), `steps` samples per span."""
    knots = np.asarray(points, float)
    ends = (knots[-1:], knots[:2]) if closed else (2 * knots[:1] - knots[1:2], 2 * knots[-1:] - knots[-2:-1])
    knots = np.concatenate([ends[0], knots, ends[1]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (knots[i : len(knots) - 3 + i, None] for i in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, knots.shape[1])
    return curve if closed else np.concatenate([curve, knots[-2:-1]])


def tube(line: np.ndarray, widths: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the outline of a limb: the line (N, 2) thickened to `widths` (half, per point), with rounded ends."""
    line = np.asarray(line, float)
    widths = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(widths)), widths)[:, None]
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    turn = np.linspace(0, np.pi, 9)[1:-1, None]
    end = line[-1] + widths[-1] * (across[-1] * np.cos(turn) + along[-1] * np.sin(turn))
    start = line[0] - widths[0] * (across[0] * np.cos(turn) + along[0] * np.sin(turn))
    return np.concatenate([line + across * widths, end, (line - across * widths)[::-1], start])


class Plate:
    """A square canvas, uint8 (side, side, 4), premultiplied RGBA.

    OpenCV's antialiased lines move a pixel toward the given color by their coverage; on premultiplied RGBA with the
    color (r, g, b, 255) this is exactly compositing opaque paint, so hair can be drawn directly.
    """

    def __init__(self, side: int) -> None:
        self.side = side
        self.pixels = np.zeros((side, side, 4), np.uint8)

    def window(self, points: np.ndarray | list[np.ndarray], margin: float = 2) -> Window | None:
        """Return the bounding box of points (N, 2), or several such sets, on this plate; None if all are outside."""
        points = np.concatenate(points) if isinstance(points, list) else points
        low = np.maximum(np.floor(points.min(axis=0) - margin).astype(int), 0)
        high = np.minimum(np.ceil(points.max(axis=0) + margin).astype(int) + 1, self.side)
        if (high <= low).any():
            return None
        return slice(low[1], high[1]), slice(low[0], high[0])

    def lay(self, window: Window, color: np.ndarray, cover: np.ndarray) -> None:
        """Composite paint over a window.

        Args:
            window: the area.
            color: RGB in 0..255, (3,) or float32 (h, w, 3).
            cover: coverage in [0, 1], float32 (h, w).
        """
        under = self.pixels[window]
        paint = np.empty((*cover.shape, 4), np.float32)
        paint[..., :3] = color
        paint[..., 3] = 255
        paint -= under
        paint *= cover[..., None]
        paint += under
        np.clip(paint, 0, 255, out=paint)
        self.pixels[window] = np.rint(paint, out=paint)

    def over(self, plate: Plate, opacity: float = 1.0) -> None:
        """Composite another plate of the same side over this one."""
        window = plate.painted()
        if window is None:
            return
        top: np.ndarray = plate.pixels[window]
        if opacity < 1:
            top = cv2.convertScaleAbs(top, alpha=opacity)
        through = cv2.merge([255 - top[..., 3]] * 4)
        self.pixels[window] = cv2.add(cv2.multiply(self.pixels[window], through, scale=1 / 255), top)

    def painted(self) -> Window | None:
        """Return the bounding box of the paint; None on an empty plate."""
        x, y, width, height = cv2.boundingRect(self.pixels[..., 3])
        return (slice(y, y + height), slice(x, x + width)) if width else None

    def darken(self, window: Window, cover: np.ndarray, strength: float | np.ndarray) -> None:
        """Multiply the colors in a window by 1 - cover * strength (per channel); keep coverage."""
        under = self.pixels[window]
        under[..., :3] = np.rint(under[..., :3] * (1 - cover[..., None] * np.asarray(strength, np.float32)))

    def stroke(self, lines: Sequence[np.ndarray], color: Sequence[float] | np.ndarray, width: float = 1) -> None:
        """Draw polylines in one opaque color.

        Args:
            lines: each (N, 2), in the fixed-point numbers of `fixed_point`, which is fastest on thousands at once.
            color: RGB in 0..255.
            width: in pixels, at least 1.
        """
        cv2.polylines(self.pixels, lines, False, _ink(color), max(1, round(width)), cv2.LINE_AA, SHIFT)


def polygon_cover(outline: np.ndarray | list[np.ndarray], window: Window) -> np.ndarray:
    """Return the coverage of a polygon (N, 2), or of several together, in a window: float32 (h, w) in [0, 1]."""
    rows, columns = window
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    for part in outline if isinstance(outline, list) else [outline]:
        cv2.fillPoly(mask, [fixed_point(part - (columns.start, rows.start))], 255, cv2.LINE_AA, SHIFT)
    return mask.astype(np.float32) / 255


def _ink(color: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    return (*(min(max(float(channel), 0.0), 255.0) for channel in color), 255.0)
