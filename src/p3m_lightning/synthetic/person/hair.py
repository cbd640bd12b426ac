"""Growing hair: guide strands bend from the scalp by comb and gravity, and thousands of strands follow them."""

from __future__ import annotations

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.plate import spline
from p3m_lightning.synthetic.person.haircuts import Style
from p3m_lightning.synthetic.person.head import SKULL_CENTER, SKULL_RADII, Relief, pixel_maps
from p3m_lightning.synthetic.person.strands import POINTS, Strands, away_from_skull, hairline
from p3m_lightning.synthetic.person.view import View

GUIDES = 160
_WANDER = spline(np.eye(5), steps=6).astype(np.float32)
"""Smooth curves (POINTS, 5) through random knots."""


def scalp_roots(rng: np.random.Generator, count: int, raised: float) -> np.ndarray:
    """Draw `count` points of the scalp, spread evenly, (n, 3) on the unit sphere of the skull."""
    found = np.empty((0, 3), np.float32)
    while len(found) < count:
        ball = rng.standard_normal((3 * count, 3), np.float32)
        ball /= np.linalg.norm(ball, axis=1, keepdims=True)
        spots = ball * SKULL_RADII + SKULL_CENTER
        line = hairline(np.arctan2(ball[:, 0], ball[:, 2]), raised) + rng.normal(0, 0.02, len(ball))
        found = np.concatenate([found, ball[spots[:, 1] < line]])
    return found[:count]


def grow(rng: np.random.Generator, style: Style, count: int) -> Strands:
    """Grow hair: guides bend by comb and gravity, kept off skull and face, and strands follow guides."""
    guides = scalp_roots(rng, GUIDES, style.hairline)
    paths = _guide_paths(rng, style, guides)
    roots = scalp_roots(rng, count, style.hairline)
    # a strand follows approximately the nearest guide, so that neighbors separate into locks
    blurred = roots + np.float32(0.06) * rng.standard_normal(roots.shape, np.float32)
    own = (blurred @ guides.T).argmax(axis=1)
    t = np.linspace(0, 1, POINTS, dtype=np.float32)[:, None]
    points = paths[own] + ((roots - guides[own]) * SKULL_RADII)[:, None] * (1 - np.float32(style.clump) * t**0.8)
    points = points[:, :1] + (points - points[:, :1]) * _uniform(rng, 0.75, 1.08, (count, 1, 1))
    loose = rng.random(count) < style.flyaway
    points += _curls(rng, style, own, t)
    knots = rng.standard_normal((count, 3, _WANDER.shape[1]), np.float32)
    strength = np.float32(style.mess * style.length**0.6) * np.where(loose, np.float32(1.7), np.float32(1))
    points += (knots @ _WANDER.T).transpose(0, 2, 1) * t * strength[:, None, None]
    points[loose] += away_from_skull(points[loose]) * np.float32(0.16) * t
    if style.guard:
        stays = rng.random(count) < 0.97
        side = np.where(paths[own, 0, 0] > style.part, 1.0, -1.0)[:, None]
        points[stays] = _beside_face(points[stays], side[stays], style.guard * rng.uniform(0.9, 1.1, (stays.sum(), 1)))
    tone = (1 + 0.16 * rng.normal(size=GUIDES))[own] * (1 + 0.12 * rng.normal(size=count))
    return Strands(points, tone.astype(np.float32), loose)


def _uniform(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    return np.float32(low) + np.float32(high - low) * rng.random(shape, np.float32)


def _guide_paths(rng: np.random.Generator, style: Style, roots: np.ndarray) -> np.ndarray:
    position = roots * SKULL_RADII + SKULL_CENTER
    side = np.where(position[:, 0] > style.part, 1.0, -1.0)
    comb = np.array(style.comb) * np.ones((len(roots), 1))
    comb[:, 0] *= side
    away = away_from_skull(position)
    comb += rng.normal(0, 0.1 + style.mess, position.shape)
    comb -= away * (comb * away).sum(axis=1, keepdims=True)
    heading = style.lift * away + comb / np.maximum(np.linalg.norm(comb, axis=1, keepdims=True), 0.3)
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    lengths = style.length * rng.uniform(0.85, 1.1, (len(roots), 1))
    if style.guard == 0:  # short cuts thin out toward ears and neck
        lengths = lengths * np.interp(position[:, 1:2], [-0.5, 0.2], [1, 0.45])
    path = [position]
    for _ in range(POINTS - 1):
        heading = heading + style.gravity * np.array([0, 1.0, 0])
        heading /= np.linalg.norm(heading, axis=1, keepdims=True)
        moved = _outside(path[-1] + heading * lengths / (POINTS - 1), style.volume, style.spread)
        moved = _beside_face(moved, side, style.guard)
        heading = 0.6 * heading + 0.4 * (moved - path[-1]) / (lengths / (POINTS - 1))
        path.append(moved)
    return np.stack(path, axis=1).astype(np.float32)


def _beside_face(points: np.ndarray, side: np.ndarray, guard: float | np.ndarray) -> np.ndarray:
    """Push points that would hang over the face to their own side; less so on neck and chest."""
    free = guard * np.interp(points[..., 1], [-0.62, -0.3, 0.7, 1.2, 2.2], [0, 1, 0.95, 0.75, 0.35])
    free = free * (points[..., 2] > -0.1)
    points[..., 0] = side * np.maximum(side * points[..., 0], free)
    return points


def _outside(points: np.ndarray, volume: float, spread: float) -> np.ndarray:
    """Keep points between `volume` and `volume + spread` skulls; below its middle the skull is a column."""
    offset = points - SKULL_CENTER
    offset[:, 1] = np.minimum(offset[:, 1], 0)
    distance = np.maximum(np.linalg.norm(offset / SKULL_RADII, axis=1, keepdims=True), 1e-6)
    inner = volume * np.interp(points[:, 1:2], [0.3, 1.1], [1, 0.75])
    outer = (volume + spread) * np.interp(points[:, 1:2], [1.2, 2.0, 3.0], [1, 1.35, 1.7])
    return points + offset * (np.clip(distance, inner, outer) / distance - 1)


def _curls(rng: np.random.Generator, style: Style, own: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return offsets (n, POINTS, 3) of a helix per strand, in phase within a lock."""
    count, along = len(own), t[None, :, 0]
    phase = _uniform(rng, 0, 2 * np.pi, (GUIDES,))[own] + 0.5 * rng.standard_normal(count, np.float32)
    turns = np.float32(style.turns) * _uniform(rng, 0.8, 1.2, (GUIDES,))[own]
    angle = phase[:, None] + np.float32(2 * np.pi) * turns[:, None] * along
    radius = np.float32(style.curl) * np.minimum(1, 3 * along) * _uniform(rng, 0.6, 1.3, (count, 1))
    return np.stack([radius * np.cos(angle), 0.5 * radius * np.sin(2 * angle), radius * np.sin(angle)], axis=-1)


def scalp_cover(view: View, relief: Relief, raised: float) -> np.ndarray:
    """Return the share of hair close to the skin at the visible points of a head, (h, w) in [0, 1]."""
    both = np.dstack([relief.front, -relief.back])
    surfaces = cv2.remap(both, *pixel_maps(view.u, view.v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    depth = np.where(view.rear, surfaces[..., 1], surfaces[..., 0]) - SKULL_CENTER[2]
    line = hairline(np.arctan2(view.u / SKULL_RADII[0], depth / SKULL_RADII[2]), raised)
    return np.clip((line - view.v) / 0.06 + 0.5, 0, 1).astype(np.float32)
