"""Backgrounds: studios, rooms, streets, landscapes, leaves, lights; busy and plain, sharp and out of focus."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from p3m_lightning.data.synthetic.clothes import draw_color
from p3m_lightning.data.synthetic.plate import SHIFT, fixed_point
from p3m_lightning.data.synthetic.shading import noise

SIDE = 512
"""Backgrounds are painted at this many pixels a side at most; the camera blurs most of them anyway."""


def paint_scene(rng: np.random.Generator, size: int) -> np.ndarray:
    """Paint a background, float32 (size, size, 3), RGB in 0..255."""
    kind = str(rng.choice(list(SCENES), p=np.array(list(_ODDS.values())) / sum(_ODDS.values())))
    side = min(size, SIDE)
    picture = SCENES[kind](rng, side).astype(np.float32)
    focus = rng.choice([0.0, 0.004, 0.01, 0.02], p=[0.25, 0.3, 0.3, 0.15]) * side
    if focus:
        picture = defocus(picture, focus)
    if side < size:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 255)


def defocus(picture: np.ndarray, radius: float) -> np.ndarray:
    """Blur with a disk, as a lens does; bright spots keep their weight."""
    side = 2 * int(np.ceil(radius)) + 1
    disk = np.zeros((side, side), np.float32)
    cv2.circle(disk, fixed_point(np.array([side / 2 - 0.5] * 2)), round(radius * 16), 1.0, -1, cv2.LINE_8, SHIFT)
    light = np.power(picture / np.float32(255), np.float32(2.2))
    light = cv2.filter2D(light, -1, disk / disk.sum(), borderType=cv2.BORDER_REFLECT)
    return np.power(np.maximum(light, 0), np.float32(1 / 2.2)) * 255


def _ramp(side: int, top: np.ndarray, bottom: np.ndarray, power: float = 1.0) -> np.ndarray:
    t = np.linspace(0, 1, side, dtype=np.float32)[:, None, None] ** power
    return np.broadcast_to(top * (1 - t) + bottom * t, (side, side, 3)).astype(np.float32)


def _polygon(picture: np.ndarray, points: np.ndarray | list, color: np.ndarray) -> None:
    cv2.fillPoly(
        picture,
        [fixed_point(np.asarray(points, float) * picture.shape[0])],
        [float(c) for c in color],
        cv2.LINE_AA,
        SHIFT,
    )


def _rectangle(picture: np.ndarray, x: float, y: float, width: float, height: float, color: np.ndarray) -> None:
    _polygon(picture, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], color)


def _studio(rng: np.random.Generator, side: int) -> np.ndarray:
    color = draw_color(rng) * 0.8 + rng.uniform(0, 50)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    cx, cy = rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.7)
    spot = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.1, 0.6))[..., None]
    cloud = noise(rng, (side, side), rng.uniform(2, 8), 4)[..., None] * rng.uniform(0, 0.12)
    return color * (0.55 + 0.55 * spot + cloud)


def _lights(rng: np.random.Generator, side: int) -> np.ndarray:
    picture = np.ascontiguousarray(_ramp(side, draw_color(rng) * 0.15 + 5, draw_color(rng) * 0.25 + 8))
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
        at = fixed_point(center - (x0, y0))
        cv2.circle(disk, at, round(size * 16), 190, -1, cv2.LINE_AA, SHIFT)
        cv2.circle(disk, at, round(size * 16), 255, max(1, round(size * 0.12)), cv2.LINE_AA, SHIFT)
        glow[y0:y1, x0:x1] += disk[..., None] * (color / 255).astype(np.float32)
    return picture + glow


def _room(rng: np.random.Generator, side: int) -> np.ndarray:
    wall = draw_color(rng) * 0.4 + rng.uniform(70, 140)
    picture = np.ascontiguousarray(_ramp(side, wall * 1.08, wall * 0.88)).astype(np.uint8)
    horizon = rng.uniform(0.6, 0.95)
    _rectangle(picture, 0, horizon, 1, 1, np.array([150, 110, 78]) * rng.uniform(0.5, 1.2))
    _rectangle(picture, 0, horizon - 0.025, 1, 0.025, np.minimum(wall * 1.25, 250))
    for _ in range(rng.integers(2, 6)):
        thing = rng.choice([_window, _frame, _shelf, _door, _curtain, _lamp])
        thing(rng, picture, rng.uniform(-0.1, 0.9), horizon)
    shade = noise(rng, (side, side), 2, 2)[..., None] * 0.12 + 1
    return picture * shade


def _window(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    width, height, y = rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.5), rng.uniform(0.0, 0.15)
    _rectangle(picture, x - 0.015, y - 0.015, width + 0.03, height + 0.03, np.array([228, 226, 222]))
    sky = np.array([190, 214, 236]) * rng.uniform(0.5, 1.08)
    columns = rng.integers(1, 4)
    for i in range(columns):
        for j in range(2):
            cell = (width / columns, height / 2)
            _rectangle(picture, x + i * cell[0] + 0.006, y + j * cell[1] + 0.006, cell[0] - 0.012, cell[1] - 0.012, sky)
    tree = np.array(
        [
            (x, y + height),
            (x + 0.2 * width, y + 0.6 * height),
            (x + 0.6 * width, y + 0.75 * height),
            (x + 0.7 * width, y + height),
        ]
    )
    _polygon(picture, tree, np.array([90, 120, 84]))


def _frame(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    width, height, y = rng.uniform(0.1, 0.25), rng.uniform(0.1, 0.28), rng.uniform(0.05, 0.3)
    _rectangle(picture, x, y, width, height, draw_color(rng) * 0.4)
    _rectangle(picture, x + 0.012, y + 0.012, width - 0.024, height - 0.024, np.array([235, 232, 225]))
    for _ in range(6):
        cx, cy = x + rng.uniform(0.2, 0.7) * width, y + rng.uniform(0.2, 0.7) * height
        _rectangle(picture, cx, cy, width * rng.uniform(0.05, 0.25), height * rng.uniform(0.05, 0.25), draw_color(rng))


def _shelf(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    width, rows, top = rng.uniform(0.25, 0.5), rng.integers(2, 6), rng.uniform(0.05, 0.3)
    step = (horizon - top) / rows
    wood = np.array([110, 76, 50]) * rng.uniform(0.5, 1.6)
    _rectangle(picture, x, top, width, horizon - top, wood * 0.55)
    for row in range(rows):
        at = x + 0.012
        while at < x + width - 0.03:
            wide, high = rng.uniform(0.01, 0.035), step * rng.uniform(0.5, 0.82)
            if rng.random() < 0.9:
                _rectangle(picture, at, top + (row + 1) * step - high - 0.012, wide, high, draw_color(rng))
            at += wide + 0.002
        _rectangle(picture, x, top + (row + 1) * step - 0.012, width, 0.014, wood)


def _door(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    color = draw_color(rng) * 0.3 + rng.uniform(60, 160)
    width = rng.uniform(0.2, 0.3)
    _rectangle(picture, x - 0.015, 0.08, width + 0.03, horizon - 0.08, np.minimum(color * 1.25, 250))
    _rectangle(picture, x, 0.1, width, horizon - 0.1, color)
    for y in (0.15, 0.5):
        _rectangle(picture, x + 0.15 * width, y * horizon + 0.03, 0.7 * width, 0.32 * horizon, color * 0.85)


def _curtain(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    color, width, folds = draw_color(rng) * 0.7 + 40, rng.uniform(0.1, 0.25), rng.integers(5, 14)
    for k in range(folds):
        bright = 0.75 + 0.3 * np.sin(k * 2.4) ** 2
        _rectangle(
            picture, x + k * width / folds, 0, width / folds + 0.003, horizon + 0.03, np.minimum(color * bright, 255)
        )


def _lamp(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    y = rng.uniform(0.05, 0.4)
    _polygon(picture, [(x + 0.04, y), (x + 0.1, y), (x + 0.14, y + 0.1), (x, y + 0.1)], np.array([250, 226, 170]))
    _rectangle(picture, x + 0.067, y + 0.1, 0.006, max(0.0, horizon - y - 0.1), np.array([50, 46, 42]))


def _street(rng: np.random.Generator, side: int) -> np.ndarray:
    day = rng.random() < 0.65
    sky = np.array([170, 198, 228]) if day else np.array([24, 28, 46])
    picture = np.ascontiguousarray(_ramp(side, sky * 0.85, sky * 1.1)).clip(0, 255).astype(np.uint8)
    ground = rng.uniform(0.6, 0.9)
    for layer in range(2):
        x = -0.1
        while x < 1:
            width, top = rng.uniform(0.1, 0.28), ground - rng.uniform(0.2, 0.75) * (1 - 0.3 * layer)
            wall = (draw_color(rng) * 0.35 + rng.uniform(50, 130)) * (1 if day else 0.35)
            _rectangle(picture, x, top, width, ground - top, wall)
            lit = np.array([250, 220, 150]) if not day else wall * 0.6
            step = rng.uniform(0.025, 0.05)
            for i in range(int(width / step) - 1):
                for j in range(int((ground - top) / step) - 1):
                    if rng.random() < (0.9 if day else 0.5):
                        _rectangle(picture, x + (i + 0.6) * step, top + (j + 0.6) * step, step * 0.5, step * 0.6, lit)
            x += width + rng.uniform(-0.02, 0.06)
    _rectangle(picture, 0, ground, 1, 1, np.array([112, 110, 108]) * (1 if day else 0.4))
    _polygon(
        picture, [(0.3, 1), (0.48, ground), (0.52, ground), (0.7, 1)], np.array([90, 90, 92]) * (1 if day else 0.4)
    )
    return picture * (1 + 0.025 * noise(rng, (side, side), 40, 3)[..., None])


def _landscape(rng: np.random.Generator, side: int) -> np.ndarray:
    sunset = rng.random() < 0.35
    top, low = (
        (np.array([88, 98, 150]), np.array([246, 170, 110]))
        if sunset
        else (np.array([98, 152, 214]), np.array([214, 228, 240]))
    )
    picture = np.ascontiguousarray(_ramp(side, top, low))
    clouds = np.clip(noise(rng, (side, side), 4, 5) - rng.uniform(0, 0.7), 0, 1)[..., None] * 0.9
    picture = (picture * (1 - clouds) + clouds * 250).astype(np.uint8)
    horizon, x = rng.uniform(0.45, 0.7), np.linspace(0, 1, 60)
    for k in range(3):
        ridge = horizon - 0.12 * (2 - k) / 2 + 0.08 * np.interp(x, np.linspace(0, 1, 9), rng.uniform(-1, 1, 9))
        far = np.array([126, 150, 172]) * (2 - k) / 2 + np.array([78, 108, 58]) * k / 2
        _polygon(picture, [*zip(x, ridge, strict=True), (1, 1), (0, 1)], far * (0.6 if sunset else 1))
    base = rng.choice([[96, 124, 62], [198, 178, 134], [60, 110, 140], [224, 228, 232]]) * (0.6 if sunset else 1.0)
    _rectangle(picture, 0, horizon + 0.06, 1, 1, base)
    grain = noise(rng, (side, side), 60, 3)
    grain[: int((horizon + 0.06) * side)] *= 0.2
    return picture * (1 + 0.13 * grain[..., None])


def _leaves(rng: np.random.Generator, side: int) -> np.ndarray:
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
        _polygon(picture, leaf, np.clip(base * bright + rng.normal(0, 10, 3), 0, 255))
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


def _bricks(rng: np.random.Generator, side: int) -> np.ndarray:
    color = rng.choice([[152, 84, 66], [196, 188, 178], [96, 92, 92]]).astype(float)
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = color * 0.4 + 100
    height = rng.uniform(0.025, 0.06)
    width = height * rng.uniform(2, 3)
    for row in range(int(1 / height) + 1):
        for column in range(-1, int(1 / width) + 1):
            tone = np.clip(color * rng.normal(1, 0.1), 0, 255)
            _rectangle(picture, (column + 0.5 * (row % 2)) * width, row * height, width * 0.95, height * 0.88, tone)
    rough = 1 + 0.08 * noise(rng, (side, side), 70, 3) + 0.15 * noise(rng, (side, side), 2, 2)
    return picture * rough[..., None]


def _planks(rng: np.random.Generator, side: int) -> np.ndarray:
    color = rng.choice([[158, 116, 76], [112, 82, 58], [190, 180, 164], [84, 92, 98]]).astype(float)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    count = rng.integers(4, 12)
    index = np.minimum((x * count).astype(int), count - 1)
    tones, shifts = rng.normal(1, 0.12, count), rng.uniform(0, 9, count)
    grain = np.sin((x * 90 + 2.5 * noise(rng, (side, side), 4, 3) + 3 * y + shifts[index]) * 2.2) * 0.06
    gap = np.clip(np.minimum((x * count) % 1, 1 - (x * count) % 1) * 40, 0.35, 1)
    picture = color * ((tones[index] + grain) * gap)[..., None]
    return np.ascontiguousarray(picture if rng.random() < 0.6 else picture.transpose(1, 0, 2))


def _shapes(rng: np.random.Generator, side: int) -> np.ndarray:
    picture = np.ascontiguousarray(_ramp(side, draw_color(rng), draw_color(rng))).astype(np.uint8)
    for _ in range(rng.integers(8, 50)):
        center, size = rng.uniform(0, 1, 2), rng.uniform(0.02, 0.22)
        corners = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        _polygon(picture, center + size * np.column_stack([np.cos(corners), np.sin(corners)]), draw_color(rng))
    return picture


def _texture(rng: np.random.Generator, side: int) -> np.ndarray:
    a, b = draw_color(rng), draw_color(rng)
    share = 1 / (1 + np.exp(-rng.uniform(2, 9) * noise(rng, (side, side), rng.uniform(3, 25), 5)))
    return a + share[..., None] * (b - a)


SCENES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "studio": _studio,
    "lights": _lights,
    "room": _room,
    "street": _street,
    "landscape": _landscape,
    "leaves": _leaves,
    "bricks": _bricks,
    "planks": _planks,
    "shapes": _shapes,
    "texture": _texture,
}
_ODDS = {
    "studio": 3, "lights": 1.5, "room": 3.5, "street": 2.5, "landscape": 2.5,
    "leaves": 2, "bricks": 1, "planks": 0.8, "shapes": 0.7, "texture": 1,
}  # fmt: skip
