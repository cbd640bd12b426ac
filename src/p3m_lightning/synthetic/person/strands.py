"""Strands on a plate: lit, sorted from far to near, each with its own coverage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from p3m_lightning.synthetic.painting.plate import Plate, fixed_point
from p3m_lightning.synthetic.painting.shading import Light
from p3m_lightning.synthetic.person.head import SKULL_CENTER, SKULL_RADII, Pose
from p3m_lightning.synthetic.person.view import View

PIECES = 6
"""Pieces of a strand, each of four steps and one color."""
POINTS = 4 * PIECES + 1
SHADES = 12
LAYERS = 5
MASS = 500
"""Number of broad strands under the fine ones."""


class Strands(NamedTuple):
    """Strands in head space, with the properties for their color."""

    points: np.ndarray  # (n, POINTS, 3)
    tone: np.ndarray  # (n,), brightness of each
    loose: np.ndarray  # (n,) bool: single hairs, thinner than a pixel


def hairline(azimuth: np.ndarray, raised: float = 0.0) -> np.ndarray:
    """Return y of the hairline at azimuths 0 (front) to pi (nape); temples, sideburns, over the ears, neck."""
    azimuths = [0, 0.5, 0.85, 1.1, 1.35, 1.5, 1.75, 2.1, 2.6, np.pi]
    heights = [-0.6, -0.58, -0.46, -0.26, 0.06, 0.1, -0.1, 0.25, 0.5, 0.55]
    return np.interp(np.abs(azimuth), azimuths, heights) - raised * np.clip(1.3 - np.abs(azimuth), 0, 1)


def away_from_skull(points: np.ndarray) -> np.ndarray:
    """Return unit directions (..., 3) away from the skull at points (..., 3)."""
    normal = (points - SKULL_CENTER) / SKULL_RADII**2
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)


def paint_strands(
    plate: Plate, strands: Strands, pose: Pose, light: Light, color: np.ndarray, view: View | None, front: bool
) -> None:
    """Draw the strands in front of or behind the middle of the head.

    Args:
        plate: to draw on.
        strands: in head space.
        pose: of the head.
        light: the lamp.
        color: RGB (3,) in 0..255.
        view: of the head, which hides strands; None hides nothing.
        front: draw strands in front of the middle of the head, else those behind.
    """
    points = pose.view(strands.points)
    shade = _sheen(strands, pose, light)
    firm, loose = np.flatnonzero(~strands.loose), np.flatnonzero(strands.loose)
    # below the strands are broader, darker ones, kept inside the outline and off the hairline
    roots = strands.points[firm, 0]
    azimuth = np.arctan2(roots[:, 0] / SKULL_RADII[0], (roots[:, 2] - SKULL_CENTER[2]) / SKULL_RADII[2])
    mass = firm[roots[:, 1] < hairline(azimuth) - 0.22][:MASS]
    sunk = pose.view(SKULL_CENTER + (strands.points[mass] - SKULL_CENTER) * 0.95)
    _paint_pieces(plate, sunk, 0.6 * shade[mass], color, 0.018 * pose.unit, view, front, PIECES - 2)
    _paint_pieces(plate, points[firm], shade[firm], color, 0.0035 * pose.unit, view, front, PIECES - 1)
    veil = Plate(plate.side)  # tips and single hairs are thinner than a pixel of the plate
    _paint_pieces(veil, points[firm], shade[firm], color, 1, view, front, PIECES, PIECES - 1)
    _paint_pieces(veil, points[loose], shade[loose], color, 1, view, front)
    plate.over(veil, 0.45)


def _paint_pieces(
    plate: Plate,
    points: np.ndarray,
    shade: np.ndarray,
    color: np.ndarray,
    width: float,
    view: View | None,
    front: bool,
    stop: int = PIECES,
    start: int = 0,
) -> None:
    """Split strands (n, POINTS, 3) in view space into pieces, `start` to `stop`, and draw the visible ones."""
    pieces, depths, shades = [], [], []
    stride = 1 if width < 2 else 2  # broad lines are slow, and need no detail
    for index in range(start, stop):
        piece = points[:, 4 * index : 4 * index + 5]
        depth = piece[..., 2].mean(axis=1)
        seen = (depth > -0.05) == front
        if front and view is not None:
            seen &= _unhidden(view, piece[:, 2])
        pieces += list(fixed_point(piece[seen][:, ::stride, :2]))
        depths.append(depth[seen])
        shades.append(shade[seen, index])
    if pieces:
        _draw(plate, pieces, np.concatenate(depths), np.concatenate(shades), color, width)


def _unhidden(view: View, points: np.ndarray) -> np.ndarray:
    at = np.floor((points[:, :2] - view.corner) / view.step).astype(int)
    inside = ((at >= 0) & (at < view.depth.shape[0])).all(axis=1)
    at = np.clip(at, 0, view.depth.shape[0] - 1)
    return ~inside | (points[:, 2] > view.depth[at[:, 1], at[:, 0]] - 0.08)


def _sheen(strands: Strands, pose: Pose, light: Light) -> np.ndarray:
    """Return brightness (n, pieces): hair shines across its direction (Kajiya and Kay 1989) and is darker inside."""
    turn = pose.rotation.astype(np.float32)
    lamp = light.direction.astype(np.float32)
    half = lamp - np.array([0, 0, -1], np.float32)
    half /= np.linalg.norm(half)
    middle = strands.points[:, 2::4]
    run = (strands.points[:, 4::4] - strands.points[:, :-4:4]) @ turn.T
    run /= np.maximum(np.linalg.norm(run, axis=-1, keepdims=True), 1e-6)
    lit = np.clip((away_from_skull(middle) @ (turn.T @ lamp) + 0.5) / 1.5, 0, 1)
    gloss = np.clip(1 - (run @ half) ** 2, 0, 1) ** 24
    diffuse = np.sqrt(np.clip(1 - (run @ lamp) ** 2, 0, 1))
    radius = np.linalg.norm((middle - SKULL_CENTER) / SKULL_RADII, axis=-1)
    inner = np.interp(radius, [0.95, 1.2], [0.7, 1.0])
    strength = float(light.key.mean()) * lit
    return (float(light.ambient.mean()) * inner + strength * (0.6 * diffuse + 0.6 * gloss)) * strands.tone[:, None]


def _draw(
    plate: Plate, pieces: list[np.ndarray], depths: np.ndarray, shades: np.ndarray, color: np.ndarray, width: float
) -> None:
    """Draw polylines from far to near, one call per layer and shade."""
    rank = np.argsort(np.argsort(depths)) * LAYERS // len(depths)
    level = np.clip((shades / 1.5 * SHADES).astype(int), 0, SHADES - 1)
    key = rank * SHADES + level
    order = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[order], np.arange(LAYERS * SHADES + 1))
    for k in range(LAYERS * SHADES):
        group = order[bounds[k] : bounds[k + 1]]
        if len(group):
            bright = (k % SHADES + 0.5) / SHADES * 1.5
            plate.stroke([pieces[i] for i in group], color * bright + 14 * max(0.0, bright - 0.8), width)
