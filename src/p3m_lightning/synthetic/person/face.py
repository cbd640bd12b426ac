"""The face, painted flat: complexion, eyes, brows, nose, mouth, in colors drawn for one person."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.synthetic.painting.mural import Mural
from p3m_lightning.synthetic.painting.plate import spline
from p3m_lightning.synthetic.painting.shading import noise
from p3m_lightning.synthetic.person import head
from p3m_lightning.synthetic.person.head import Face

SKINS = np.array(
    [(246, 212, 190), (238, 196, 168), (226, 178, 144), (207, 155, 118), (178, 124, 88), (141, 93, 64), (102, 66, 46)]
)
HAIRS = np.array(
    [
        (28, 24, 24),  # black
        (38, 28, 24),
        (62, 42, 30),  # brown
        (92, 62, 40),
        (120, 66, 38),  # auburn
        (172, 128, 78),  # blond
        (214, 180, 124),
        (150, 74, 34),  # red
        (160, 158, 156),  # gray
        (214, 212, 208),
        (190, 84, 128),  # dyed
        (70, 96, 150),
    ]
)
HAIR_ODDS = np.array([5, 5, 5, 4, 3, 3, 3, 2, 2, 1.5, 0.5, 0.4])
IRISES = np.array([(70, 44, 26), (92, 60, 34), (112, 92, 52), (92, 118, 84), (88, 122, 156), (120, 134, 146)])


class Look(NamedTuple):
    """Colors of one person, RGB (3,) in 0..255."""

    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    makeup: float  # 0 to 1
    stubble: float  # 0 to 1


def draw_look(rng: np.random.Generator, face: Face) -> Look:
    """Draw the colors of a person."""
    place = rng.uniform(0, len(SKINS) - 1)
    skin = np.array([np.interp(place, range(len(SKINS)), SKINS[:, c]) for c in range(3)])
    skin = skin * (1 + rng.normal(0, 0.03, 3))
    odds = HAIR_ODDS.copy()
    odds[3:8] *= 1 / (1 + max(0, place - 2) ** 2)  # fair hair goes with fair skin
    odds[8:10] *= 0.2 + 5 * face.age**2
    hair = HAIRS[rng.choice(len(HAIRS), p=odds / odds.sum())] * rng.uniform(0.85, 1.15)
    iris = IRISES[rng.integers(0, 2 if place > 3.5 else len(IRISES))]
    makeup = max(0.0, rng.uniform(-0.6, 1)) if face.feminine > 0.55 else 0.0
    natural = skin * (0.86, 0.62, 0.6)
    painted = np.array([rng.uniform(130, 205), rng.uniform(30, 90), rng.uniform(50, 100)])
    share = makeup * rng.uniform(0.2, 0.9)
    stubble = max(0.0, rng.uniform(-0.4, 1)) if face.feminine < 0.4 else 0.0
    return Look(skin, hair, iris, natural * (1 - share) + painted * share, makeup, stubble)


def paint_face(rng: np.random.Generator, face: Face, look: Look, density: float) -> Mural:
    """Paint skin and features over the frontal plane, for a head of `density` pixels per unit."""
    mural = Mural(look.skin, density)
    _complexion(rng, mural, face, look)
    _wrinkles(rng, mural, face, look)
    _nose(mural, face, look)
    _mouth(mural, face, look)
    gaze = rng.normal(0, [0.012, 0.004])
    for side in (-1, 1):
        _eye(rng, mural, face, look, side, gaze)
        _brow(rng, mural, face, look, side)
    return mural


def _complexion(rng: np.random.Generator, mural: Mural, face: Face, look: Look) -> None:
    shape = mural.pixels.shape[:2]
    blotches = noise(rng, shape, 9, 4)[..., None] * np.array([0.025, 0.035, 0.04], np.float32)
    pores = rng.normal(0, 0.02, (shape[0] // 2, shape[1] // 2)).astype(np.float32)
    mural.pixels *= 1 + blotches + cv2.resize(pores, shape[::-1])[..., None]
    cheeks = mural.glow((-0.4, 0.26), (0.2, 0.15)) + mural.glow((0.4, 0.26), (0.2, 0.15))
    flush = (cheeks + mural.glow((0, face.nose_y - 0.06), (0.12, 0.08))) * rng.uniform(0.3, 1 + look.makeup)
    mural.pixels *= 1 - flush[..., None] * np.array([0.0, 0.11, 0.1], np.float32)
    rings = mural.glow((-face.eye_x, 0.08), (0.14, 0.05)) + mural.glow((face.eye_x, 0.08), (0.14, 0.05))
    mural.pixels *= 1 - rings[..., None] * np.array([0.1, 0.13, 0.08], np.float32) * (0.2 + face.age)
    if look.stubble:
        _stubble(rng, mural, face, look)
    if rng.random() < 0.3:
        for _ in range(rng.integers(3, 50)):
            radius = rng.uniform(0.005, 0.012)
            spot = rng.normal([0, 0.2], [0.3, 0.25])
            mural.disk(spot, (radius, radius), look.skin * (0.72, 0.6, 0.52), rng.uniform(0.2, 0.6), 0.003)


def _stubble(rng: np.random.Generator, mural: Mural, face: Face, look: Look) -> None:
    beside = np.abs(mural.x)
    jaw = np.clip((mural.y - 0.62 + 1.1 * np.clip(beside - 0.28, 0, 0.4)) / 0.16, 0, 1)
    moustache = mural.glow((0, (face.nose_y + face.mouth_y) / 2 - 0.01), (face.mouth_width * 0.95, 0.06))
    bare = mural.glow((0, face.mouth_y + 0.02), (face.mouth_width * 0.8, 0.07))
    grain = 0.7 + 0.3 * rng.uniform(-1, 1, jaw.shape).astype(np.float32)
    share = np.maximum(jaw, np.clip(1.6 * moustache, 0, 1)) * (1 - np.clip(1.5 * bare, 0, 1)) * grain
    mural.tint(0.55 * look.stubble * share, 0.55 * look.hair + 0.2 * look.skin)


def _wrinkles(rng: np.random.Generator, mural: Mural, face: Face, look: Look) -> None:
    dark = look.skin * (0.55, 0.4, 0.36)
    fold = min(0.45, 0.06 + 0.2 * face.age + 2.5 * max(face.smile, 0) + 3 * face.opening)
    for side in (-1, 1):
        ends = [(face.nose_width + 0.03, face.nose_y - 0.05), (face.mouth_width + 0.05, face.mouth_y - 0.1)]
        line = spline([*ends, (face.mouth_width + 0.075, face.mouth_y)]) * (side, 1)
        mural.line(line, dark, fold, 0.012, 0.012)
        if face.age > 0.5:
            for slope in (-0.05, 0.01, 0.06):
                corner = face.eye_x + face.eye_width + 0.03
                mural.line(np.array([(side * corner, 0), (side * (corner + 0.1), slope)]), dark, 0.3, 0.008, 0.006)
    if face.age > 0.45:
        for k in range(3):
            level = face.brow_y - 0.13 - 0.09 * k + rng.normal(0, 0.01)
            mural.line(
                spline([(-0.35, level + 0.02), (0, level), (0.35, level + 0.02)]), dark, 0.3 * face.age, 0.008, 0.01
            )


def _nose(mural: Mural, face: Face, look: Look) -> None:
    dark = look.skin * (0.3, 0.18, 0.16)
    for side in (-1, 1):
        wing = [
            (face.nose_width * f, face.nose_y - d) for f, d in ((0.95, 0.12), (1.06, 0.06), (0.95, 0.01), (0.75, 0))
        ]
        mural.line(spline(wing) * (side, 1), dark, 0.3, 0.012, 0.012)
        mural.disk(
            (side * face.nose_width * 0.42, face.nose_y - 0.012), (face.nose_width * 0.25, 0.021), dark, 0.85, 0.008
        )


def _mouth(mural: Mural, face: Face, look: Look) -> None:
    top, upper, lower, bottom = (spline(line) for line in head.lips(face).values())
    mural.area(np.concatenate([top, upper[::-1]]), look.lips * 0.88, 0.8, 0.007)
    mural.area(np.concatenate([lower, bottom[::-1]]), look.lips, 0.8, 0.009)
    mural.disk((0.02, face.mouth_y + face.opening + 0.45 * face.lip_lower), (0.07, 0.012), look.lips + 60, 0.35, 0.012)
    if face.opening:
        inside = np.concatenate([upper, lower[::-1]])
        mural.area(inside, np.array([62, 22, 24]), 1, 0.004)
        row = np.concatenate([upper, upper[::-1] - (0, -1.35 * face.opening)]) * (0.88, 1)
        mural.area(row, np.array([228, 222, 212]), 0.95, 0.005, clip=inside)
        for k in range(-4, 5):
            gap = np.array([(0.042 * k, face.mouth_y - 0.1), (0.042 * k, face.mouth_y + 0.1)])
            mural.line(gap, np.array([150, 130, 120]), 0.35, 0.004, 0.002, clip=row * (0.97, 1))
        mural.line(upper, np.array([80, 30, 30]), 0.6, 0.008, 0.005)
    else:
        mural.line(upper * (1.03, 1), look.lips * (0.38, 0.3, 0.3), 0.85, 0.012, 0.005)
    for side in (-1, 1):
        mural.disk(
            (side * face.mouth_width * 1.02, face.mouth_y - face.smile), (0.018, 0.012), look.skin * 0.45, 0.5, 0.01
        )


def _eye(rng: np.random.Generator, mural: Mural, face: Face, look: Look, side: int, gaze: np.ndarray) -> None:
    upper, lower = (spline(lid) for lid in head.eye_outline(face, side))
    opening = np.concatenate([upper, lower[::-1]])
    middle = np.array([side * face.eye_x, -0.3 * face.eye_height])
    if look.makeup > 0.2:
        shadow = np.array([rng.uniform(60, 150), rng.uniform(50, 90), rng.uniform(60, 120)])
        mural.area(np.concatenate([upper, upper[::-1] - (0, 0.075)]), shadow, 0.5 * look.makeup, 0.025)
    mural.area(opening, np.array([222, 213, 208]), 1, 0.004)
    mural.disk(middle, (0.1, 0.045), np.array([242, 239, 236]), 0.7, 0.02, clip=opening)
    mural.disk(
        upper[-1] * (1, 1) + (side * 0.018, 0.004), (0.018, 0.014), np.array([206, 140, 130]), 0.8, 0.006, clip=opening
    )
    iris, radius = middle + gaze, 0.066
    mural.disk(iris, (radius, radius), look.iris * 0.45, 1, 0.004, clip=opening)
    mural.disk(iris, (radius * 0.84, radius * 0.84), look.iris, 1, 0.008, clip=opening)
    mural.disk(iris - (0, -0.02), (radius * 0.5, radius * 0.4), look.iris * 1.5 + 12, 0.6, 0.012, clip=opening)
    mural.disk(iris, (0.029, 0.029), np.array([12, 9, 8]), 1, 0.004, clip=opening)
    mural.line(upper - (0, -0.016), np.array([30, 18, 16]), 0.55, 0.035, 0.014, clip=opening)
    mural.disk(iris - (0.022, 0.024), (0.013, 0.015), np.array([255, 255, 255]), 0.95, 0.003, clip=opening)
    mural.line(upper, np.array([28, 18, 16]), 0.7 + 0.3 * look.makeup, 0.014 + 0.012 * look.makeup, 0.004)
    mural.line(lower, look.skin * (0.5, 0.35, 0.32), 0.5, 0.008, 0.004)
    crease = upper[3:-3] * (1, 1) - (0, 0.035 + 0.3 * face.eye_height)
    mural.line(crease, look.skin * (0.55, 0.4, 0.36), 0.55, 0.01, 0.006)
    t = np.arange(1, len(upper) - 8, 2)
    reach = (0.018 + 0.03 * face.feminine + 0.02 * look.makeup) * (1 - 0.6 * t / len(upper))
    curl = np.array([(0, 0), (side * 0.4, -0.5), (side * 0.9, -0.75)])
    lashes = list(upper[t][:, None] + reach[:, None, None] * curl)
    mural.line(lashes, np.array([22, 15, 14]), 0.4 + 0.5 * look.makeup, 0.004)


def _brow(rng: np.random.Generator, mural: Mural, face: Face, look: Look, side: int) -> None:
    line = spline(head.brow_line(face, side))
    color = np.clip(look.hair * 0.75, 20, 150) * 0.8 + look.skin * 0.08
    thick = 0.042 - 0.018 * face.feminine
    half = thick * np.interp(np.linspace(0, 1, len(line)), [0, 0.4, 0.9, 1], [0.25, 0.8, 1.1, 0.7])[:, None]
    mural.area(np.concatenate([line - half * (0, 1), (line + half * (0, 1))[::-1]]), color, 0.55, 0.012)
    for shade in (0.6, 0.75, 0.9):
        t = rng.uniform(0, 1, (26, 1))
        at = t * (len(line) - 1)
        base = np.hstack([np.interp(at, range(len(line)), line[:, c]) for c in (0, 1)])
        base[:, 1:] += rng.uniform(-0.3, 1, (26, 1)) * np.interp(at, range(len(line)), half[:, 0])
        lean = np.hstack([side * rng.uniform(0.3, 1.2, (26, 1)), -0.1 - 0.9 * t]) * rng.uniform(0.03, 0.05, (26, 1))
        mural.line(list(np.stack([base, base + lean], axis=1)), color * shade, 0.5, 0.005)
