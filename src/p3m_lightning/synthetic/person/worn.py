"""Things on the head besides face and hair: ears, beards, glasses, hats, headscarves."""

from __future__ import annotations

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.clothes import Cloth
from p3m_lightning.synthetic.painting.plate import Plate, fixed_point, polygon_cover, tube
from p3m_lightning.synthetic.painting.shading import Light, soft_shadow, solid
from p3m_lightning.synthetic.person import head
from p3m_lightning.synthetic.person.easel import Easel
from p3m_lightning.synthetic.person.head import SKULL_CENTER, SKULL_RADII, Face, Pose, Relief
from p3m_lightning.synthetic.person.strands import POINTS, Strands
from p3m_lightning.synthetic.person.view import SUBSURFACE

HATS = ("cap", "beanie", "brim", "scarf", "veil")


def paint_ear(plate: Plate, pose: Pose, side: int, skin: np.ndarray, light: Light) -> None:
    """Paint one ear: a shell standing off the head by a third of a right angle, its rim and its hollow."""
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    out, down = np.array([side * 0.75, 0, -0.66]), np.array([0, 1.0, 0])

    def ring(size: float, cx: float = 0.0, cy: float = 0.0) -> np.ndarray:
        a = (0.11 + 0.125 * np.cos(t) * (1 - 0.3 * np.sin(t))) * size + cx
        b = 0.225 * np.sin(t) * size + cy + 0.1
        base = np.array([side * 0.7, 0, -0.04])
        return pose.view(base + a[:, None] * out + b[:, None] * down)[:, :2]

    solid(plate, ring(1), skin * (1.0, 0.9, 0.88), light, reach=0.6, wrap=SUBSURFACE)
    soft_shadow(plate, ring(0.62, 0.03, -0.02), 0.35, 0.03 * pose.unit)
    soft_shadow(plate, ring(0.3, 0.02, 0.02), 0.4, 0.025 * pose.unit)


def grow_beard(
    rng: np.random.Generator, face: Face, relief: Relief, count: int, length: float, chin_only: bool
) -> Strands:
    """Return the hair of cheeks, chin and upper lip, combed down and outward; sparser toward the cheeks."""
    found = np.empty((0, 2))
    lip = (face.nose_y + face.mouth_y - face.lip_upper) / 2 + 0.025
    while len(found) < count:
        spots = rng.uniform((-0.68, 0.3), (0.68, 1.0), (4 * count, 2))
        x, y = np.abs(spots[:, 0]), spots[:, 1]
        edge = rng.normal(0, 0.025, len(spots))
        jaw = y > 0.86 - 0.9 * np.clip(x - 0.15, 0, 0.5) + edge
        if chin_only:
            jaw = np.hypot(x / 0.24, (y - 0.92) / 0.17) < 1 + 5 * edge
        # a mustache sinks toward the corners of the mouth and thins out there
        moustache = np.abs(y - lip - 0.35 * np.clip(x - 0.08, 0, 1) + edge) < 0.045 - 0.08 * np.clip(x - 0.12, 0, 1)
        moustache &= (x < face.mouth_width * 1.15) & (x > 0.012)
        beside_mouth = np.hypot(x / (face.mouth_width * 1.1), (y - face.mouth_y) / 0.11) > 1
        inside = x < 0.96 * head.half_width(face, y)
        found = np.concatenate([found, spots[inside & ((jaw & beside_mouth) | moustache)]])
    roots = head.lift(relief, found[:count])
    upper = (roots[:, 1] < face.mouth_y)[:, None]
    heading = roots * (0.55, 0.2, 0.5) + (0, 0.75, 0.1) + rng.normal(0, 0.22, roots.shape)
    heading = np.where(upper, heading * (1, 0.6, 1) + np.sign(roots) * (0.9, 0, 0), heading)
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    reach = (
        length
        * rng.uniform(0.5, 1.1, (count, 1))
        * np.where(upper, min(1, 0.14 / length), np.interp(roots[:, 1:2], [0.5, 0.9], [0.5, 1]))
    )
    t = np.linspace(0, 1, POINTS)[None, :, None]
    bend = np.array([0, 0.5, 0]) * t**2 + rng.normal(0, 0.12, (count, 1, 3)) * np.sin(3 * t)
    points = roots[:, None] + reach[:, None] * (t * heading[:, None] + bend * t)
    tone = 1 + 0.2 * rng.standard_normal(count, np.float32)
    return Strands(points.astype(np.float32), tone, rng.random(count) < 0.15)


def paint_glasses(rng: np.random.Generator, plate: Plate, pose: Pose, face: Face, relief: Relief) -> None:
    """Paint glasses or sunglasses: frames in front of the eyes, lenses with tint and gloss, temples to the ears."""
    dark = rng.random() < 0.35
    color = rng.choice([25, 60, 120, 190]) * np.array([1, rng.uniform(0.7, 1), rng.uniform(0.5, 1)])
    width, height = rng.uniform(0.2, 0.235), rng.uniform(0.13, 0.2)
    power, line = rng.uniform(2, 4), rng.uniform(0.012, 0.035)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    circle = np.column_stack([np.cos(t), np.sin(t)])
    shape = np.sign(circle) * np.abs(circle) ** (2 / power) * (width, height)
    depth = float(head.lift(relief, np.array([[0.0, 0.02]]))[0, 2]) + 0.04
    thick = max(1.0, 2 * line * pose.unit)
    lines = []
    for side in (-1, 1):
        rim = np.column_stack([shape - (-side * (face.eye_x + 0.02), -0.03), np.full(len(t), depth - 0.02)])
        rim = pose.view(rim)[:, :2]
        _lens(plate, rim, dark, color)
        lines.append(np.concatenate([rim, rim[:1]]))
        bow = np.array(
            [
                (side * (face.eye_x + 0.02 + width), -0.02, depth - 0.03),
                (side * 0.79, -0.05, 0.1),
                (side * 0.78, -0.03, -0.1),
            ]
        )
        if side * pose.rotation[0, 2] < 0.12:  # the far temple is hidden by the head
            lines.append(pose.view(bow)[:, :2])
    bridge = [(x, -0.02 - 0.03 * (1 - (x / 0.11) ** 2), depth + 0.03) for x in np.linspace(-0.11, 0.11, 5)]
    lines.append(pose.view(np.array(bridge))[:, :2])
    plate.stroke([fixed_point(line) for line in lines], color, thick)


def _lens(plate: Plate, rim: np.ndarray, dark: bool, color: np.ndarray) -> None:
    window = plate.window(rim)
    if window is None:
        return
    cover = polygon_cover(rim, window)
    slope = np.linspace(-1, 1, cover.shape[1])[None] + np.linspace(-1, 1, cover.shape[0])[:, None]
    gleam = np.exp(-(((slope - 0.2) / 0.35) ** 2))[..., None].astype(np.float32)
    opacity = np.float32(0.88 if dark else 0.1)
    plate.lay(
        window, color * 0.5 + gleam * (60 if dark else 160), cover * (opacity + (0.0 if dark else 0.1) * gleam[..., 0])
    )


def _hull(points: np.ndarray) -> np.ndarray:
    return cv2.convexHull(points[:, :2].astype(np.float32))[:, 0].astype(float)


def _dome(grown: float, low: float, tilt: float) -> np.ndarray:
    """Return points of the skull enlarged by a factor, above a plane at height `low` that sinks backward by `tilt`."""
    azimuth, polar = np.meshgrid(np.linspace(0, 2 * np.pi, 40), np.linspace(0, np.pi, 60))
    ball = np.stack([np.sin(polar) * np.sin(azimuth), -np.cos(polar), np.sin(polar) * np.cos(azimuth)], -1).reshape(
        -1, 3
    )
    points = ball * SKULL_RADII * grown + SKULL_CENTER
    return points[points[:, 1] < low - tilt * points[:, 2]]


def _ring(grown: float, low: float, tilt: float, reach: float = 1.0) -> np.ndarray:
    """Return the section of that plane and the skull, (60, 3) from behind around to behind; `reach` widens it."""
    azimuth = np.linspace(-np.pi, np.pi, 60)
    y = np.full(60, low)
    for _ in range(3):
        radius = np.sqrt(np.maximum(1 - ((y - SKULL_CENTER[1]) / (SKULL_RADII[1] * grown)) ** 2, 0.05)) * grown
        z = radius * np.cos(azimuth) * SKULL_RADII[2] + SKULL_CENTER[2]
        y = low - tilt * z
    x = radius * np.sin(azimuth) * SKULL_RADII[0]
    return np.column_stack([reach * x, y, reach * (z - SKULL_CENTER[2]) + SKULL_CENTER[2]])


def paint_hat(rng: np.random.Generator, plate: Plate, pose: Pose, cloth: Cloth, kind: str, light: Light) -> None:
    """Paint a cap, a beanie or a hat with a brim, over the hair."""
    low, tilt = {"cap": (-0.53, 0.14), "beanie": (-0.48, 0.24), "brim": (-0.52, 0.14)}[kind]
    grown = 1.14 if kind == "beanie" else 1.1
    dome, ring = _dome(grown, low, tilt), _ring(grown, low, tilt)
    dome = np.concatenate([dome, ring])
    if kind == "brim":
        dome[:, 1] = np.where(dome[:, 1] < -0.9, dome[:, 1] - 0.2, dome[:, 1])
    front = ring[15:45]
    soft_shadow(plate, _hull(pose.view(front)) - (0, -0.14 * pose.unit), 0.5, 0.08 * pose.unit)
    if kind == "brim":
        brim = _ring(grown, low + 0.03, tilt, rng.uniform(1.5, 2.0))
        brim[:, 1] -= 0.12 * (brim[:, 0] / brim[:, 0].max()) ** 2
        solid(plate, _hull(pose.view(brim)), cloth.color * 0.85, light, bulge=0.15, reach=0.4)
    crown = cloth.color if kind != "beanie" else cloth.second * 0.4 + cloth.color * 0.6
    solid(plate, _hull(pose.view(dome)), crown, light, folds=cloth.folds)
    if kind == "cap":
        visor = front - (0, -0.08, 0)
        visor[:, 2] += rng.uniform(0.45, 0.65) * np.cos(np.linspace(-1.5, 1.5, 30))
        solid(plate, _hull(pose.view(np.concatenate([front, visor]))), cloth.second, light, bulge=0.6)
    else:
        strip = np.concatenate([front, _ring(grown, low - (0.22 if kind == "beanie" else 0.12), tilt)[15:45]])
        solid(plate, _hull(pose.view(strip)), cloth.second, light, bulge=0.6, folds=cloth.folds)


def paint_headscarf(easel: Easel, pose: Pose, cloth: Cloth) -> None:
    """Paint a scarf around head and neck that leaves the face free and ends on the chest."""
    plate, light, unit = easel.plate, easel.light, pose.unit
    hem = easel.frame.place([(-1.15, 1.95), (-0.7, 2.4), (0, 2.65), (0.7, 2.4), (1.15, 1.95)])
    hull = _hull(np.concatenate([pose.view(_dome(1.13, 0.6, 0.0))[:, :2], hem]))
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    face = np.column_stack([0.62 * np.sin(t), 0.22 - 0.84 * np.cos(t), 0.45 - 0.25 * np.abs(np.sin(t))])
    inner = pose.view(face)[:, :2]
    # the face is cut out by tracing it in the opposite direction
    inner = np.roll(inner, -int(np.argmin(np.linalg.norm(inner - hull[0], axis=1))), axis=0)
    if _area(inner) * _area(hull) > 0:
        inner = inner[::-1]
    soft_shadow(plate, hull - (0, -0.08 * unit), 0.3, 0.06 * unit)
    outline = np.concatenate([hull, hull[:1], inner, inner[:1]])
    solid(plate, outline, cloth.color, light, reach=0.8, folds=cloth.folds * 2)
    soft_shadow(plate, tube(np.concatenate([inner, inner[:1]]), [0.03 * unit]), 0.3, 0.04 * unit)


def paint_veil(rng: np.random.Generator, easel: Easel, pose: Pose, cloth: Cloth) -> None:
    """Paint translucent tulle that falls from the head behind the shoulders."""
    shell = Plate(easel.plate.side)
    hem = easel.frame.place([(-2.1, 4.2), (-1.2, 4.6), (1.2, 4.6), (2.1, 4.2)])
    hull = _hull(np.concatenate([pose.view(_dome(1.2, 0.2, -0.25))[:, :2], hem]))
    solid(shell, hull, 0.4 * cloth.color + 140, easel.light, bulge=0.5, reach=0.6, folds=cloth.folds * 3)
    easel.plate.over(shell, rng.uniform(0.25, 0.6))


def _area(outline: np.ndarray) -> float:
    x, y = outline.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def paint_bun(rng: np.random.Generator, plate: Plate, pose: Pose, color: np.ndarray, light: Light) -> None:
    """Paint a knot of hair on the back of the head: coiled strands with loose ends."""
    center, radius = np.array([0, -1.02, -0.35]), rng.uniform(0.22, 0.36)
    solid(
        plate, _hull(pose.view(center + radius * 0.9 * rng.normal(size=(300, 3)).clip(-0.75, 0.75))), color * 0.6, light
    )
    for shade in (0.5, 0.7, 0.85, 1.0):
        lines = []
        for _ in range(60):
            turn = np.linspace(0, rng.uniform(1.5, 4), 14) + rng.uniform(0, 6)
            axis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            size = radius * (1 + abs(rng.normal(0, 0.06)))
            coil = np.outer(np.cos(turn), axis[0]) + np.outer(np.sin(turn), axis[1])
            coil = coil * size + np.linspace(0, 1, 14)[:, None] ** 3 * rng.normal(0, 0.06, 3)
            lines.append(pose.view(center + coil)[:, :2])
        plate.stroke(list(fixed_point(np.array(lines))), color * shade * float((light.key + light.ambient).mean()))
