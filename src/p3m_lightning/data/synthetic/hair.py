"""Hair as it grows: guide strands from the scalp, thousands of strands along them, each with its own coverage."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.data.synthetic.head import LOW, RELIEF, SKULL_CENTER, SKULL_RADII, Pose, Relief
from p3m_lightning.data.synthetic.plate import Plate, fixed_point, spline
from p3m_lightning.data.synthetic.shading import Light
from p3m_lightning.data.synthetic.view import View

PIECES = 6
"""Pieces of a strand, each of four steps and one color."""
POINTS = 4 * PIECES + 1
GUIDES = 160
SHADES = 12
LAYERS = 5
MASS = 500
"""Broad strands under the fine ones."""


class Style(NamedTuple):
    """How hair is cut and worn; lengths in units of head space."""

    length: float
    comb: tuple[float, float, float]  # direction laid over the roots, x away from the parting
    lift: float  # how steeply hair leaves the scalp
    gravity: float
    part: float  # x of the parting
    volume: float  # inner side of the hair, in skulls
    spread: float  # how much further its outer side may go
    curl: float  # radius of the curls
    turns: float  # curls along a strand
    clump: float  # 0 to 1, how much strands draw together towards the tip
    mess: float  # wandering of single strands
    flyaway: float  # share of loose strands
    hairline: float  # height of the hairline above the usual
    guard: float  # half width of the face that hair leaves free, 0 lets it fall


def draw_style(rng: np.random.Generator, feminine: float) -> Style | None:
    """Draw a haircut, None for a bald head; all between the extremes of a dozen cuts."""
    long = rng.random() < 0.15 + 0.65 * feminine
    if not long and rng.random() < 0.06:
        return None
    base = {
        "part": rng.uniform(-0.35, 0.35) if rng.random() < 0.7 else rng.choice([-0.45, 0.45]),
        "hairline": rng.normal(0, 0.04) if feminine > 0.4 else rng.normal(0.04, 0.06),
        "mess": abs(rng.normal(0.05, 0.035)) + 0.015,
        "flyaway": rng.uniform(0.01, 0.07),
        "clump": rng.uniform(0.2, 0.85),
    }
    kind = rng.choice(list(_LONG if long else _SHORT))
    low, high = (_LONG if long else _SHORT)[kind]
    drawn = {name: rng.uniform(a, b) for (name, a), b in zip(low.items(), high.values(), strict=True)}
    if kind in ("afro", "ringlets", "tousled"):
        base["clump"] *= 0.5
    comb = rng.normal(_COMBS[kind], 0.12)
    return Style(comb=tuple(comb), **base, **drawn)


_COMBS = {
    "straight": (0.6, 0.1, -0.1),
    "wavy": (0.6, 0.0, -0.1),
    "curly": (0.5, -0.1, 0.0),
    "bob": (0.7, 0.2, 0.0),
    "up": (0.25, -0.4, -1.0),
    "crop": (0.1, -0.2, 0.1),
    "side": (0.9, -0.1, 0.25),
    "back": (0.2, -0.5, -0.7),
    "fringe": (0.3, 0.1, 0.8),
    "tousled": (0.2, -0.3, 0.3),
    "ringlets": (0.0, -0.3, 0.2),
    "afro": (0.0, 0.0, 0.0),
}
_KEYS = ("length", "lift", "gravity", "volume", "spread", "curl", "turns", "guard")


def _cuts(table: dict[str, tuple[tuple[float, float], ...]]) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    return {
        kind: tuple(dict(zip(_KEYS, (pair[end] for pair in pairs), strict=True)) for end in (0, 1))
        for kind, pairs in table.items()
    }


_LONG = _cuts(
    {  #            length      lift         gravity       volume        spread        curl          turns   guard
        "straight": (
            (2.2, 4.8),
            (0.1, 0.25),
            (0.25, 0.4),
            (1.03, 1.08),
            (0.06, 0.14),
            (0.0, 0.01),
            (1, 2),
            (0.5, 0.62),
        ),
        "wavy": ((2.2, 4.6), (0.2, 0.4), (0.2, 0.3), (1.05, 1.12), (0.1, 0.22), (0.03, 0.07), (2, 3.5), (0.5, 0.62)),
        "curly": ((1.8, 3.6), (0.4, 0.8), (0.15, 0.25), (1.06, 1.16), (0.25, 0.5), (0.05, 0.08), (4, 5.5), (0.5, 0.62)),
        "bob": ((1.3, 1.9), (0.1, 0.4), (0.2, 0.4), (1.04, 1.1), (0.08, 0.2), (0.0, 0.03), (1, 2), (0.52, 0.64)),
        "up": ((1.0, 1.3), (0.02, 0.1), (0.0, 0.03), (1.02, 1.05), (0.02, 0.05), (0.0, 0.01), (1, 2), (0.0, 0.0)),
    }
)
_SHORT = _cuts(
    {
        "crop": ((0.1, 0.25), (0.4, 1.0), (0.02, 0.1), (1.01, 1.02), (0.1, 0.2), (0.0, 0.01), (1, 2), (0.0, 0.0)),
        "side": ((0.4, 0.8), (0.2, 0.5), (0.06, 0.12), (1.03, 1.07), (0.06, 0.14), (0.0, 0.02), (1, 2), (0.0, 0.0)),
        "back": ((0.5, 1.0), (0.2, 0.5), (0.02, 0.06), (1.03, 1.07), (0.08, 0.18), (0.0, 0.02), (1, 2), (0.0, 0.0)),
        "fringe": ((0.5, 0.8), (0.2, 0.5), (0.08, 0.16), (1.03, 1.08), (0.06, 0.14), (0.0, 0.03), (1, 2), (0.0, 0.0)),
        "tousled": ((0.35, 0.7), (0.5, 1.0), (0.04, 0.1), (1.03, 1.08), (0.15, 0.3), (0.02, 0.05), (1, 3), (0.0, 0.0)),
        "ringlets": ((0.5, 0.9), (0.7, 1.1), (0.05, 0.12), (1.04, 1.1), (0.2, 0.4), (0.04, 0.06), (3, 4.5), (0.0, 0.0)),
        "afro": ((0.35, 0.9), (1.4, 1.8), (0.0, 0.02), (1.0, 1.05), (2.0, 3.0), (0.03, 0.05), (4, 5.5), (0.0, 0.0)),
    }
)


_WANDER = spline(np.eye(5), steps=6).astype(np.float32)
"""Smooth curves (POINTS, 5) through random knots."""


class Strands(NamedTuple):
    """Strands in head space and what their color needs."""

    points: np.ndarray  # (n, POINTS, 3)
    tone: np.ndarray  # (n,), brightness of each
    loose: np.ndarray  # (n,) bool: single hairs, thinner than a pixel


def hairline(azimuth: np.ndarray, raised: float = 0.0) -> np.ndarray:
    """Height y of the hairline at azimuths 0 (front) to pi (nape); temples, sideburns, over the ears, neck."""
    azimuths = [0, 0.5, 0.85, 1.1, 1.35, 1.5, 1.75, 2.1, 2.6, np.pi]
    heights = [-0.6, -0.58, -0.46, -0.26, 0.06, 0.1, -0.1, 0.25, 0.5, 0.55]
    return np.interp(np.abs(azimuth), azimuths, heights) - raised * np.clip(1.3 - np.abs(azimuth), 0, 1)


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
    """Grow hair: guides bend from the scalp to comb and gravity, kept off skull and face; strands follow guides."""
    guides = scalp_roots(rng, GUIDES, style.hairline)
    paths = _guide_paths(rng, style, guides)
    roots = scalp_roots(rng, count, style.hairline)
    # a strand follows one of its nearest guides, so that neighbors part into locks
    near = np.argpartition(-(roots @ guides.T), 3, axis=1)[:, :3]
    own = near[np.arange(count), rng.integers(0, 3, count)]
    t = np.linspace(0, 1, POINTS, dtype=np.float32)[:, None]
    points = paths[own] + ((roots - guides[own]) * SKULL_RADII)[:, None] * (1 - np.float32(style.clump) * t**0.8)
    points = points[:, :1] + (points - points[:, :1]) * _uniform(rng, 0.75, 1.08, (count, 1, 1))
    loose = rng.random(count) < style.flyaway
    points += _curls(rng, style, own, t)
    knots = rng.standard_normal((count, 3, _WANDER.shape[1]), np.float32)
    strength = np.float32(style.mess * style.length**0.6) * np.where(loose, np.float32(1.7), np.float32(1))
    points += (knots @ _WANDER.T).transpose(0, 2, 1) * t * strength[:, None, None]
    points[loose] += _away(points[loose]) * np.float32(0.16) * t
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
    away = _away(position)
    comb += rng.normal(0, 0.1 + style.mess, position.shape)
    comb -= away * (comb * away).sum(axis=1, keepdims=True)
    heading = style.lift * away + comb / np.maximum(np.linalg.norm(comb, axis=1, keepdims=True), 0.3)
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    lengths = style.length * rng.uniform(0.85, 1.1, (len(roots), 1))
    if style.guard == 0:  # short cuts thin out towards ears and neck
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
    """Push what would hang over the face to its own side; less so on the neck and chest."""
    free = guard * np.interp(points[..., 1], [-0.62, -0.3, 0.7, 1.2, 2.2], [0, 1, 0.95, 0.75, 0.35])
    free = free * (points[..., 2] > -0.1)
    points[..., 0] = side * np.maximum(side * points[..., 0], free)
    return points


def _away(points: np.ndarray) -> np.ndarray:
    normal = (points - SKULL_CENTER) / SKULL_RADII**2
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)


def _outside(points: np.ndarray, volume: float, spread: float) -> np.ndarray:
    """Keep points between `volume` and `volume + spread` skulls; below its middle the skull is a column."""
    offset = points - SKULL_CENTER
    offset[:, 1] = np.minimum(offset[:, 1], 0)
    distance = np.maximum(np.linalg.norm(offset / SKULL_RADII, axis=1, keepdims=True), 1e-6)
    inner = volume * np.interp(points[:, 1:2], [0.3, 1.1], [1, 0.75])
    outer = (volume + spread) * np.interp(points[:, 1:2], [1.2, 2.0, 3.0], [1, 1.35, 1.7])
    return points + offset * (np.clip(distance, inner, outer) / distance - 1)


def _curls(rng: np.random.Generator, style: Style, own: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Offsets (n, POINTS, 3) of a helix per strand, in step within a lock."""
    count, along = len(own), t[None, :, 0]
    phase = _uniform(rng, 0, 2 * np.pi, (GUIDES,))[own] + 0.5 * rng.standard_normal(count, np.float32)
    turns = np.float32(style.turns) * _uniform(rng, 0.8, 1.2, (GUIDES,))[own]
    angle = phase[:, None] + np.float32(2 * np.pi) * turns[:, None] * along
    radius = np.float32(style.curl) * np.minimum(1, 3 * along) * _uniform(rng, 0.6, 1.3, (count, 1))
    return np.stack([radius * np.cos(angle), 0.5 * radius * np.sin(2 * angle), radius * np.sin(angle)], axis=-1)


def paint_strands(
    plate: Plate, strands: Strands, pose: Pose, light: Light, color: np.ndarray, view: View | None, front: bool
) -> None:
    """Draw the half of the strands that lies before or behind the middle of the head.

    Args:
        plate: where to.
        strands: in head space.
        pose: of the head.
        light: the lamp.
        color: RGB (3,) in 0..255.
        view: what the head hides; None hides nothing.
        front: draw what lies nearer than the head's middle, else the rest.
    """
    points = pose.view(strands.points)
    shade = _sheen(strands, pose, light)
    firm, loose = np.flatnonzero(~strands.loose), np.flatnonzero(strands.loose)
    # under the strands lies a mass of broader, darker ones, away from the hairline and drawn in: the outline is theirs
    roots = strands.points[firm, 0]
    azimuth = np.arctan2(roots[:, 0] / SKULL_RADII[0], (roots[:, 2] - SKULL_CENTER[2]) / SKULL_RADII[2])
    mass = firm[roots[:, 1] < hairline(azimuth) - 0.22][:MASS]
    sunk = pose.view(SKULL_CENTER + (strands.points[mass] - SKULL_CENTER) * 0.95)
    _paint_pieces(plate, sunk, 0.6 * shade[mass], color, 0.018 * pose.unit, view, front)
    _paint_pieces(plate, points[firm], shade[firm], color, 0.0035 * pose.unit, view, front, PIECES - 1)
    for rows, opacity, first in ((firm, 0.55, PIECES - 1), (loose, 0.38, 0)):  # tips are thinner, and single hairs
        veil = Plate(plate.side)
        _paint_pieces(veil, points[rows], shade[rows], color, 1, view, front, PIECES, first)
        plate.over(veil, opacity)


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
    """Cut strands (n, POINTS, 3) in view space into pieces, `start` to `stop`, and draw those that show."""
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
    """Brightness (n, pieces): hair shines across its run (Kajiya and Kay 1989) and is darker inside."""
    turn = pose.rotation.astype(np.float32)
    lamp = light.direction.astype(np.float32)
    half = lamp - np.float32([0, 0, -1])
    half /= np.linalg.norm(half)
    middle = strands.points[:, 2::4]
    run = (strands.points[:, 4::4] - strands.points[:, :-4:4]) @ turn.T
    run /= np.maximum(np.linalg.norm(run, axis=-1, keepdims=True), 1e-6)
    lit = np.clip((_away(middle) @ (turn.T @ lamp) + 0.5) / 1.5, 0, 1)
    gloss = np.clip(1 - (run @ half) ** 2, 0, 1) ** 24
    diffuse = np.sqrt(np.clip(1 - (run @ lamp) ** 2, 0, 1))
    radius = np.linalg.norm((middle - SKULL_CENTER) / SKULL_RADII, axis=-1)
    inner = np.interp(radius, [0.95, 1.2], [0.7, 1.0])
    strength = float(light.key.mean()) * lit
    return (float(light.ambient.mean()) * inner + strength * (0.6 * diffuse + 0.6 * gloss)) * strands.tone[:, None]


def _draw(
    plate: Plate, pieces: list[np.ndarray], depths: np.ndarray, shades: np.ndarray, color: np.ndarray, width: float
) -> None:
    """Draw polylines from far to near, those of one layer and shade in one go."""
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


def scalp_cover(view: View, relief: Relief, raised: float) -> np.ndarray:
    """How much of the visible points of a head is covered with hair close to the skin, (h, w) in [0, 1]."""
    at = [((c - np.float32(low)) * RELIEF - 0.5) for c, low in ((view.u, LOW[0]), (view.v, LOW[1]))]
    surfaces = cv2.remap(
        np.dstack([relief.front, -relief.back]), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    depth = np.where(view.rear, surfaces[..., 1], surfaces[..., 0]) - SKULL_CENTER[2]
    line = hairline(np.arctan2(view.u / SKULL_RADII[0], depth / SKULL_RADII[2]), raised)
    return np.clip((line - view.v) / 0.06 + 0.5, 0, 1).astype(np.float32)
