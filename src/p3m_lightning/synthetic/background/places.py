"""Places behind a person: rooms with things in them, streets, landscapes."""

from __future__ import annotations

import numpy as np

from p3m_lightning.synthetic.background.backdrops import polygon, ramp, rectangle
from p3m_lightning.synthetic.painting.clothes import draw_color
from p3m_lightning.synthetic.painting.shading import noise


def room(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint a room: wall, floor, and windows, pictures, shelves, doors, curtains, lamps."""
    wall = draw_color(rng) * 0.4 + rng.uniform(70, 140)
    picture = np.ascontiguousarray(ramp(side, wall * 1.08, wall * 0.88)).astype(np.uint8)
    horizon = rng.uniform(0.6, 0.95)
    rectangle(picture, 0, horizon, 1, 1, np.array([150, 110, 78]) * rng.uniform(0.5, 1.2))
    rectangle(picture, 0, horizon - 0.025, 1, 0.025, np.minimum(wall * 1.25, 250))
    for _ in range(rng.integers(2, 6)):
        things = (_window, _frame, _shelf, _door, _curtain, _lamp)
        things[rng.integers(len(things))](rng, picture, rng.uniform(-0.1, 0.9), horizon)
    shade = noise(rng, (side, side), 2, 2)[..., None] * 0.12 + 1
    return picture * shade


def _window(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    width, height, y = rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.5), rng.uniform(0.0, 0.15)
    rectangle(picture, x - 0.015, y - 0.015, width + 0.03, height + 0.03, np.array([228, 226, 222]))
    sky = np.array([190, 214, 236]) * rng.uniform(0.5, 1.08)
    columns = rng.integers(1, 4)
    for i in range(columns):
        for j in range(2):
            cell = (width / columns, height / 2)
            rectangle(picture, x + i * cell[0] + 0.006, y + j * cell[1] + 0.006, cell[0] - 0.012, cell[1] - 0.012, sky)
    tree = np.array(
        [
            (x, y + height),
            (x + 0.2 * width, y + 0.6 * height),
            (x + 0.6 * width, y + 0.75 * height),
            (x + 0.7 * width, y + height),
        ]
    )
    polygon(picture, tree, np.array([90, 120, 84]))


def _frame(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    width, height, y = rng.uniform(0.1, 0.25), rng.uniform(0.1, 0.28), rng.uniform(0.05, 0.3)
    rectangle(picture, x, y, width, height, draw_color(rng) * 0.4)
    rectangle(picture, x + 0.012, y + 0.012, width - 0.024, height - 0.024, np.array([235, 232, 225]))
    for _ in range(6):
        cx, cy = x + rng.uniform(0.2, 0.7) * width, y + rng.uniform(0.2, 0.7) * height
        rectangle(picture, cx, cy, width * rng.uniform(0.05, 0.25), height * rng.uniform(0.05, 0.25), draw_color(rng))


def _shelf(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    width, rows, top = rng.uniform(0.25, 0.5), rng.integers(2, 6), rng.uniform(0.05, 0.3)
    step = (horizon - top) / rows
    wood = np.array([110, 76, 50]) * rng.uniform(0.5, 1.6)
    rectangle(picture, x, top, width, horizon - top, wood * 0.55)
    for row in range(rows):
        at = x + 0.012
        while at < x + width - 0.03:
            wide, high = rng.uniform(0.01, 0.035), step * rng.uniform(0.5, 0.82)
            if rng.random() < 0.9:
                rectangle(picture, at, top + (row + 1) * step - high - 0.012, wide, high, draw_color(rng))
            at += wide + 0.002
        rectangle(picture, x, top + (row + 1) * step - 0.012, width, 0.014, wood)


def _door(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    color = draw_color(rng) * 0.3 + rng.uniform(60, 160)
    width = rng.uniform(0.2, 0.3)
    rectangle(picture, x - 0.015, 0.08, width + 0.03, horizon - 0.08, np.minimum(color * 1.25, 250))
    rectangle(picture, x, 0.1, width, horizon - 0.1, color)
    for y in (0.15, 0.5):
        rectangle(picture, x + 0.15 * width, y * horizon + 0.03, 0.7 * width, 0.32 * horizon, color * 0.85)


def _curtain(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    color, width, folds = draw_color(rng) * 0.7 + 40, rng.uniform(0.1, 0.25), rng.integers(5, 14)
    for k in range(folds):
        bright = 0.75 + 0.3 * np.sin(k * 2.4) ** 2
        rectangle(
            picture, x + k * width / folds, 0, width / folds + 0.003, horizon + 0.03, np.minimum(color * bright, 255)
        )


def _lamp(rng: np.random.Generator, picture: np.ndarray, x: float, horizon: float) -> None:
    y = rng.uniform(0.05, 0.4)
    polygon(picture, [(x + 0.04, y), (x + 0.1, y), (x + 0.14, y + 0.1), (x, y + 0.1)], np.array([250, 226, 170]))
    rectangle(picture, x + 0.067, y + 0.1, 0.006, max(0.0, horizon - y - 0.1), np.array([50, 46, 42]))


def street(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint houses with windows along a street, by day or night."""
    day = rng.random() < 0.65
    sky = np.array([170, 198, 228]) if day else np.array([24, 28, 46])
    picture = np.ascontiguousarray(ramp(side, sky * 0.85, sky * 1.1)).clip(0, 255).astype(np.uint8)
    ground = rng.uniform(0.6, 0.9)
    for layer in range(2):
        x = -0.1
        while x < 1:
            width, top = rng.uniform(0.1, 0.28), ground - rng.uniform(0.2, 0.75) * (1 - 0.3 * layer)
            wall = (draw_color(rng) * 0.35 + rng.uniform(50, 130)) * (1 if day else 0.35)
            rectangle(picture, x, top, width, ground - top, wall)
            lit = np.array([250, 220, 150]) if not day else wall * 0.6
            step = rng.uniform(0.025, 0.05)
            for i in range(int(width / step) - 1):
                for j in range(int((ground - top) / step) - 1):
                    if rng.random() < (0.9 if day else 0.5):
                        rectangle(picture, x + (i + 0.6) * step, top + (j + 0.6) * step, step * 0.5, step * 0.6, lit)
            x += width + rng.uniform(-0.02, 0.06)
    rectangle(picture, 0, ground, 1, 1, np.array([112, 110, 108]) * (1 if day else 0.4))
    polygon(picture, [(0.3, 1), (0.48, ground), (0.52, ground), (0.7, 1)], np.array([90, 90, 92]) * (1 if day else 0.4))
    return picture * (1 + 0.025 * noise(rng, (side, side), 40, 3)[..., None])


def landscape(rng: np.random.Generator, side: int) -> np.ndarray:
    """Paint sky and clouds, mountains, and meadow, sand, water or snow."""
    sunset = rng.random() < 0.35
    top, low = (
        (np.array([88, 98, 150]), np.array([246, 170, 110]))
        if sunset
        else (np.array([98, 152, 214]), np.array([214, 228, 240]))
    )
    picture = np.ascontiguousarray(ramp(side, top, low))
    clouds = np.clip(noise(rng, (side, side), 4, 5) - rng.uniform(0, 0.7), 0, 1)[..., None] * 0.9
    picture = (picture * (1 - clouds) + clouds * 250).astype(np.uint8)
    horizon, x = rng.uniform(0.45, 0.7), np.linspace(0, 1, 60)
    for k in range(3):
        ridge = horizon - 0.12 * (2 - k) / 2 + 0.08 * np.interp(x, np.linspace(0, 1, 9), rng.uniform(-1, 1, 9))
        far = np.array([126, 150, 172]) * (2 - k) / 2 + np.array([78, 108, 58]) * k / 2
        polygon(picture, [*zip(x, ridge, strict=True), (1, 1), (0, 1)], far * (0.6 if sunset else 1))
    base = rng.choice([[96, 124, 62], [198, 178, 134], [60, 110, 140], [224, 228, 232]]) * (0.6 if sunset else 1.0)
    rectangle(picture, 0, horizon + 0.06, 1, 1, base)
    grain = noise(rng, (side, side), 60, 3)
    grain[: int((horizon + 0.06) * side)] *= 0.2
    return picture * (1 + 0.13 * grain[..., None])
