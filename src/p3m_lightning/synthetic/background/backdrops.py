"""Flat backgrounds: cloths, lights, leaves, walls, shapes, textures; and the shapes that scenes are drawn with."""

from __future__ import annotations

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.clothes import draw_color
from p3m_lightning.synthetic.painting.plate import SHIFT, fixed_point
from p3m_lightning.synthetic.painting.shading import noise


def ramp(side: int, top: np.ndarray, bottom: np.ndarray, power: float = 1.0) -> np.ndarray:
    """Return a vertical gradient, float32 (side, side, 3)."""
    t = np.linspace(0, 1, side, dtype=np.float32)[:, None, None] ** power
    return np.broadcast_to(top * (1 - t) + bottom * t, (side, side, 3)).astype(np.float32)


def polygon(picture: np.ndarray, points: np.ndarray | list, color: np.ndarray) -> None:
    """Fill a polygon whose points (N, 2) are in sides of the image, with smooth edges."""
    cv2.fillPoly(
        picture,
        [fixed_point(np.asarray(points, float) * picture.shape[0])],
        [float(c) for c in color],
        cv2.LINE_AA,
        SHIFT,
    )


def rectangle(picture: np.ndarray, x: float, y: float, width: float, height: float, color: np.ndarray) -> None:
    """Fill an upright rectangle, in sides of the image."""
    polygon(picture, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], color)


def studio(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint a lit cloth, plain or mottled."""
    color = draw_color(rng) * 0.8 + rng.uniform(0, 50)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    cx, cy = rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.7)
    spot = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.1, 0.6))[..., None]
    cloud = noise(rng, (side, side), rng.uniform(2, 8), 4)[..., None] * rng.uniform(0, 0.12)
    return color * (0.55 + 0.55 * spot + cloud)


def lights(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint lights at night, far out of focus: disks with brighter rims."""
    picture = np.ascontiguousarray(ramp(side, draw_color(rng) * 0.15 + 5, draw_color(rng) * 0.25 + 8))
    glow = np.zeros_like(picture)
    radius = rng.uniform(0.008, 0.045)
    for _ in range(rng.integers(25, 120)):
        disk = np.zeros_like(picture)
        color = (draw_color(rng) * 0.5 + 130) * rng.uniform(0.15, 0.8)
        center = rng.normal([0.5, rng.choice([0.35, 0.6])], [0.4, 0.2]) * side
        size = radius * side * rng.uniform(0.6, 1.3)
        x0, y0 = np.maximum(np.floor(center - size - 2).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(center + size + 3).astype(int), side)
        if x1 <= x0 or y1 <= y0:
            continue
        disk = np.zeros((y1 - y0, x1 - x0), np.uint8)
        at = fixed_point(center - (x0, y0)).tolist()
        cv2.circle(disk, at, round(size * 16), 190, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(disk, at, round(size * 16), 255, max(1, round(size * 0.12)), cv2.LINE_AA, SHIFT)
        glow[y0:y1, x0:x1] += disk[..., None] * (color / 255).astype(np.float32)
    return picture + glow


def leaves(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint foliage, darker in its depth, with gaps to the sky."""
    base = rng.choice([[58, 92, 40], [120, 90, 40], [40, 70, 60], [110, 130, 60]]).astype(float)
    picture = (base * (0.45 + 0.25 * noise(rng, (side, side), 5, 3)[..., None])).clip(0, 255).astype(np.uint8)
    t = np.linspace(0, np.pi, 7)
    blade = np.concatenate(
        [np.column_stack([np.cos(t), 0.3 * np.sin(t)]), np.column_stack([-np.cos(t), -0.3 * np.sin(t)])]
    )
    size = rng.uniform(0.02, 0.07)
    for k in range(420):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        bright = (0.35 + 0.9 * k / 420) * rng.uniform(0.7, 1.3)
        leaf = blade @ turn * size * rng.uniform(0.5, 1.2) + rng.uniform(-0.05, 1.05, 2)
        polygon(picture, leaf, np.clip(base * bright + rng.normal(0, 10, 3), 0, 255))
    for _ in range(rng.integers(0, 30)):
        cv2.circle(
            picture,
            tuple(int(v) for v in rng.uniform(0, side, 2)),
            int(rng.uniform(1, 0.02 * side)),
            (250, 250, 225),
            -1,
            cv2.LINE_AA,
        )
    return picture


def bricks(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint a brick wall."""
    color = rng.choice([[152, 84, 66], [196, 188, 178], [96, 92, 92]]).astype(float)
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = color * 0.4 + 100
    height = rng.uniform(0.025, 0.06)
    width = height * rng.uniform(2, 3)
    for row in range(int(1 / height) + 1):
        for column in range(-1, int(1 / width) + 1):
            tone = np.clip(color * rng.normal(1, 0.1), 0, 255)
            rectangle(picture, (column + 0.5 * (row % 2)) * width, row * height, width * 0.95, height * 0.88, tone)
    rough = 1 + 0.08 * noise(rng, (side, side), 70, 3) + 0.15 * noise(rng, (side, side), 2, 2)
    return picture * rough[..., None]


def planks(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint a wall of planks with grain."""
    color = rng.choice([[158, 116, 76], [112, 82, 58], [190, 180, 164], [84, 92, 98]]).astype(float)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    count = rng.integers(4, 12)
    index = np.minimum((x * count).astype(int), count - 1)
    tones, shifts = rng.normal(1, 0.12, count), rng.uniform(0, 9, count)
    grain = np.sin((x * 90 + 2.5 * noise(rng, (side, side), 4, 3) + 3 * y + shifts[index]) * 2.2) * 0.06
    gap = np.clip(np.minimum((x * count) % 1, 1 - (x * count) % 1) * 40, 0.35, 1)
    picture = color * ((tones[index] + grain) * gap)[..., None]
    return np.ascontiguousarray(picture if rng.random() < 0.6 else picture.transpose(1, 0, 2))


def shapes(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint paper cuts in many colors."""
    picture = np.ascontiguousarray(ramp(side, draw_color(rng), draw_color(rng))).astype(np.uint8)
    for _ in range(rng.integers(8, 50)):
        center, size = rng.uniform(0, 1, 2), rng.uniform(0.02, 0.22)
        corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        polygon(picture, center + size * np.column_stack([np.cos(corners), np.sin(corners)]), draw_color(rng))
    return picture


def texture(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint two colors blending into each other."""
    a, b = draw_color(rng), draw_color(rng)
    share = 1 / (1 + np.exp(-rng.uniform(2, 9) * noise(rng, (side, side), rng.uniform(3, 25), 5)))
    return a + share[..., None] * (b - a)
