"""Backgrounds of portraits: choice and defocus."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from p3m_lightning.synthetic.background import backdrops, places
from p3m_lightning.synthetic.painting.plate import SHIFT, fixed_point

SIDE = 512
"""Backgrounds are painted with sides of at most this many pixels; the camera blurs most of them anyway."""

SCENES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "studio": backdrops.studio,
    "lights": backdrops.lights,
    "room": places.room,
    "street": places.street,
    "landscape": places.landscape,
    "leaves": backdrops.leaves,
    "bricks": backdrops.bricks,
    "planks": backdrops.planks,
    "shapes": backdrops.shapes,
    "texture": backdrops.texture,
}
_ODDS = {
    "studio": 3, "lights": 1.5, "room": 3.5, "street": 2.5, "landscape": 2.5,
    "leaves": 2, "bricks": 1, "planks": 0.8, "shapes": 0.7, "texture": 1,
}  # fmt: skip
WALLS = ("studio", "room", "bricks", "planks", "texture")


def paint_scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, bool]:
    """Paint a background, float32 (size, size, 3), RGB in 0..255; also return whether shadows fall on it."""
    kind = str(rng.choice(list(SCENES), p=np.array(list(_ODDS.values())) / sum(_ODDS.values())))
    side = min(size, SIDE)
    picture: np.ndarray = SCENES[kind](rng, side).astype(np.float32)
    focus = rng.choice([0.0, 0.004, 0.01, 0.02], p=[0.25, 0.3, 0.3, 0.15]) * side
    if focus:
        picture = defocus(picture, focus)
    if side < size:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 0, 255), kind in WALLS


def defocus(picture: np.ndarray, radius: float) -> np.ndarray:
    """Blur with a disk, as a lens does; preserving the energy of bright spots."""
    size = picture.shape[1::-1]
    light: np.ndarray = np.power(np.clip(picture, 0, 255) / np.float32(255), np.float32(2.2))
    if radius > 4:  # half the size suffices for such a blur
        light, radius = cv2.resize(light, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), radius / 2
    side = 2 * int(np.ceil(radius)) + 1
    disk = np.zeros((side, side), np.float32)
    cv2.circle(
        disk, fixed_point(np.array([side / 2 - 0.5] * 2)).tolist(), round(radius * 16), 1.0, -1, cv2.LINE_8, SHIFT
    )
    light = cv2.filter2D(light, -1, disk / disk.sum(), borderType=cv2.BORDER_REFLECT)
    if light.shape[1::-1] != size:
        light = cv2.resize(light, size, interpolation=cv2.INTER_CUBIC)
    return np.power(np.maximum(light, 0), np.float32(1 / 2.2)) * 255
