"""The body below the head: neck, torso, arms, hands, legs, in clothes of many kinds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from p3m_lightning.data.synthetic.clothes import Cloth, Frame, draw_cloth, draw_color
from p3m_lightning.data.synthetic.plate import Plate, spline, tube
from p3m_lightning.data.synthetic.shading import Light, soft_shadow, solid
from p3m_lightning.data.synthetic.view import SUBSURFACE

NECKLINES = {
    "crew": [(0.5, 1.3), (0.38, 1.52), (0.2, 1.64), (0, 1.68)],
    "scoop": [(0.66, 1.4), (0.56, 1.75), (0.32, 2.05), (0, 2.15)],
    "vee": [(0.58, 1.34), (0.4, 1.85), (0.2, 2.3), (0, 2.75)],
    "boat": [(1.0, 1.55), (0.7, 1.68), (0.35, 1.74), (0, 1.76)],
    "shirt": [(0.46, 1.3), (0.3, 1.6), (0.12, 1.85), (0, 2.0)],
    "high": [(0.5, 1.25), (0.38, 1.42), (0.2, 1.5), (0, 1.52)],
}
"""Right half of the opening, from the shoulder to the middle, in units."""

GARMENTS = {
    "tee": ("crew scoop vee", (0.35, 0.6)),
    "longsleeve": ("crew scoop boat vee", (1.75, 2)),
    "sweater": ("crew high", (1.85, 2)),
    "shirt": ("shirt", (1.2, 2)),
    "blazer": ("vee", (1.9, 2)),
    "hoodie": ("high crew", (1.9, 2)),
    "tank": ("scoop vee", (0, 0)),
    "dress": ("scoop boat vee", (0, 0.4)),
}
"""Garment -> its necklines, and how far the sleeves go: 0 bare, 1 elbow, 2 wrist."""


class Body(NamedTuple):
    """Measures of one body, in units, and what it wears."""

    shoulder: float  # half width
    waist: float
    hip: float
    girth: float  # factor of limbs
    neck: float  # half width
    garment: str
    neckline: str
    sleeve: float
    upper: Cloth
    lower: Cloth
    under: Cloth
    skirt: bool
    arms: tuple[np.ndarray, np.ndarray]  # left and right in the image: shoulder, elbow, wrist, (3, 2)
    stance: float  # distance of the feet


ARM_POSES = {
    "hang": ((2.3, 4.9), (2.2, 7.1)),
    "front": ((2.35, 4.7), (0.9, 6.3)),
    "hip": ((3.1, 4.5), (1.75, 6.0)),
    "hold": ((2.35, 4.75), (0.75, 3.9)),
    "raise": ((2.75, 4.0), (1.75, 1.75)),
    "away": ((3.0, 4.2), (3.9, 6.0)),
}
"""Pose -> elbow and wrist of the right arm."""


def draw_body(rng: np.random.Generator, feminine: float, holding: bool) -> Body:
    """Draw a body; `holding` brings the right hand before the chest."""
    garment = str(rng.choice(list(GARMENTS), p=_odds(feminine)))
    necklines, sleeve = GARMENTS[garment]
    girth = float(np.clip(rng.normal(1, 0.1), 0.82, 1.3)) - 0.1 * feminine
    shoulder = rng.uniform(1.8, 2.05) - 0.3 * feminine
    poses = rng.choice(list(ARM_POSES), 2, p=[0.5, 0.16, 0.12, 0.08, 0.06, 0.08])
    arms = []
    for side, pose in zip((-1, 1), (poses[0], "hold" if holding else poses[1]), strict=True):
        elbow, wrist = (np.array(p) + rng.normal(0, 0.18, 2) for p in ARM_POSES[pose])
        arms.append(np.array([(shoulder - 0.27, 2.3), elbow - (2.0 - shoulder, 0), wrist]) * (side, 1))
    color = draw_color(rng)
    knit = (
        "knit" if garment == "sweater" else "plain" if garment in ("blazer", "hoodie") and rng.random() < 0.7 else None
    )
    return Body(
        shoulder=shoulder,
        waist=rng.uniform(1.2, 1.4) * girth - 0.15 * feminine,
        hip=rng.uniform(1.35, 1.5) * (0.5 + 0.5 * girth) + 0.06 * feminine,
        girth=girth,
        neck=0.5 * girth**0.5 - 0.06 * feminine,
        garment=garment,
        neckline=str(rng.choice(necklines.split())),
        sleeve=rng.uniform(*sleeve),
        upper=draw_cloth(rng, color, knit),
        lower=draw_cloth(rng, None, "denim" if rng.random() < 0.4 else "plain"),
        under=draw_cloth(rng, np.array([235, 235, 235]) * rng.uniform(0.6, 1), "plain"),
        skirt=bool(feminine > 0.55 and (garment == "dress" or rng.random() < 0.25)),
        arms=tuple(arms),
        stance=rng.uniform(0.5, 1.3),
    )


def _odds(feminine: float) -> np.ndarray:
    weights = np.array([5, 3, 3, 3 + 1 * (1 - feminine), 3.5 - 2 * feminine, 2.5, 0.6 + 1.6 * feminine, 3 * feminine])
    return weights / weights.sum()


def paint_legs(plate: Plate, frame: Frame, body: Body, skin: np.ndarray, light: Light) -> None:
    """Legs, skirt or trousers, and shoes; nothing if the picture ends above them."""
    if frame.place([(0, 6.6)])[0, 1] > plate.side + 2 * frame.unit:
        return
    cloth = body.upper if body.garment == "dress" else body.lower
    for side in (-1, 1):
        foot = side * body.stance * 0.55
        line = spline([(side * body.hip * 0.52, 6.9), (side * 0.62 + foot * 0.25, 10.6), (foot + side * 0.25, 14.2)])
        bare = tube(frame.place(line), np.array([0.66, 0.52, 0.36, 0.38, 0.2]) * body.girth * frame.unit)
        solid(plate, bare, skin, light, wrap=SUBSURFACE)
        shoe = spline([(-0.24, 13.95), (0.24, 13.95), (0.36, 14.55), (0.1, 14.8), (-0.2, 14.75)], closed=True)
        solid(plate, frame.place(shoe * (side, 1) + (foot + side * 0.25, 0)), body.under.second * 0.4, light)
        if not body.skirt:
            widths = np.array([0.8, 0.76, 0.6, 0.54, 0.46, 0.44]) * body.girth * frame.unit
            leg = tube(frame.place(line[:-1]), widths)
            solid(plate, leg, cloth.painter(frame), light, folds=cloth.folds)
    if body.skirt:
        flare, hem = 1.2 + 0.25 * body.stance, 9.4 + 2.5 * (body.stance - 0.5)
        half = [(body.waist, 5.0), (body.hip, 6.8), (body.hip * flare, hem), (body.hip * flare * 0.6, hem + 0.12)]
        _symmetric(plate, frame, half, cloth, light)
    else:
        seat = [(body.waist, 5.2), (body.hip + 0.04, 6.9), (body.hip - 0.15, 7.6), (0.25, 8.0)]
        _symmetric(plate, frame, seat, cloth, light)


def _symmetric(plate: Plate, frame: Frame, half: list[tuple[float, float]], cloth: Cloth, light: Light) -> None:
    outline = spline([(0, half[0][1]), *half, (0, half[-1][1])])
    outline = np.concatenate([outline, (outline * (-1, 1))[::-1]])
    solid(plate, frame.place(outline), cloth.painter(frame), light, reach=0.8, folds=cloth.folds)


def paint_neck(plate: Plate, frame: Frame, body: Body, chin: np.ndarray, skin: np.ndarray, light: Light) -> None:
    """Neck from under the chin (body point) down to the upper chest, with the head's shadow on it."""
    n, s = body.neck, body.shoulder
    top = np.array([0.6 * chin[0], 0.15])
    side = [(n, 1.2), (n * 1.12, 1.5), (s * 0.62, 1.72), (s * 0.93, 1.98), (s * 0.98, 2.6), (s * 0.7, 3.6)]
    right = np.array([tuple(top - (-n * 0.95, 0)), tuple(top * (0.5, 1) + (n, 0.55)), *side])
    left = np.array([tuple(top - (n * 0.95, 0)), tuple(top * (0.5, 1) + (-n, 0.55)), *((-x, y) for x, y in side)])
    outline = np.concatenate([spline(right), spline(left)[::-1]])
    whole = [frame.place(outline)]
    if body.sleeve <= 0.05:
        whole += [part for index in (0, 1) for part in _limb(frame, body, index, 0, 0, 2)]
    solid(plate, whole, skin * (0.97, 0.95, 0.95), light, bulge=0.9, reach=0.5, wrap=SUBSURFACE)
    for slope in (-1, 1):
        tendon = frame.place(spline([(slope * n * 0.7, 0.9), (slope * n * 0.45, 1.3), (slope * 0.14, 1.72)]))
        soft_shadow(plate, tube(tendon, [0.03 * frame.unit]), 0.15, 0.05 * frame.unit)
    shade = spline([(-n - 0.1, 0.4), (n + 0.1, 0.4), (n, 1.05), (0, 1.3), (-n, 1.05)], closed=True)
    soft_shadow(plate, frame.place(shade + chin * (0.5, 0)), 0.5, 0.12 * frame.unit)


def _limb(frame: Frame, body: Body, index: int, loose: float, since: float, until: float) -> list[np.ndarray]:
    """Outlines of an arm in pixels between two places on it (0 shoulder, 1 elbow, 2 wrist), `loose` units wider."""
    joints = frame.place(body.arms[index])
    widths = (np.array([0.4, 0.4, 0.34, 0.33, 0.25, 0.19]) * body.girth + loose) * frame.unit
    parts = []
    for bone, own in ((0, widths[:3]), (1, widths[2:])):
        share = np.linspace(max(since - bone, 0), min(until - bone, 1), 8)
        if share[-1] - share[0] > 0.05:
            line = joints[bone] + share[:, None] * (joints[bone + 1] - joints[bone])
            parts.append(tube(line, np.interp(share, np.linspace(0, 1, len(own)), own)))
    return parts


def torso_outline(body: Body) -> np.ndarray:
    """Body points (N, 2) around the garment of the trunk, its neckline cut in."""
    opening = spline(NECKLINES[body.neckline])
    s, w, h = body.shoulder, body.waist, body.hip
    inner = 0.72 * s if body.garment == "tank" else s
    side = spline(
        [(0.4 * inner + 0.35, 1.62), (inner * 0.9, 1.84), (inner, 2.2), (s * 0.86, 3.5), (w, 5.2), (h, 6.9), (h, 7.3)]
    )
    right = np.concatenate([opening[::-1], side])
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def paint_torso(plate: Plate, frame: Frame, body: Body, light: Light) -> None:
    """The garment of the trunk with its collar, lapels, buttons, hood."""
    outline = torso_outline(body)
    unit = frame.unit
    if body.garment == "blazer":
        inner = body._replace(neckline="shirt")
        solid(
            plate,
            frame.place(torso_outline(inner)),
            body.under.painter(frame),
            light,
            reach=0.5,
            folds=body.under.folds,
        )
        _shirt_front(plate, frame, body, body.under, light)
    soft_shadow(plate, frame.place(outline - (0, 0.04)), 0.35, 0.05 * unit)
    whole = [frame.place(outline)]
    if body.sleeve > 0.05:  # arms emerge from the garment without a seam
        whole += [part for index in (0, 1) for part in _limb(frame, body, index, 0.06, 0, min(body.sleeve, 1))]
    solid(plate, whole, body.upper.painter(frame), light, bulge=0.8, reach=0.55, folds=body.upper.folds)
    seam = spline(NECKLINES[body.neckline])
    seam = np.concatenate([seam, (seam * (-1, 1))[-2::-1]])
    if body.garment in ("tee", "longsleeve", "sweater", "dress", "tank"):
        wide = 0.13 if body.garment == "sweater" else 0.05
        solid(plate, tube(frame.place(seam), [wide * unit]), body.upper.color * 0.9, light)
    elif body.garment == "shirt":
        _shirt_front(plate, frame, body, body.upper, light)
    elif body.garment == "hoodie":
        solid(
            plate,
            tube(frame.place(seam * (1.25, 1) + (0, 0.06)), np.array([0.2, 0.3, 0.2]) * unit),
            body.upper.color,
            light,
        )
        for side in (-1, 1):
            cord = spline([(side * 0.22, 1.75), (side * 0.3, 2.3), (side * 0.26, 2.9)])
            solid(plate, tube(frame.place(cord), [0.035 * unit]), body.under.color, light)
    else:
        _lapels(plate, frame, body, light)
    if body.neckline == "high" and body.garment == "sweater":
        roll = spline([(-0.52, 0.95), (-0.3, 1.12), (0, 1.18), (0.3, 1.12), (0.52, 0.95)])
        solid(plate, tube(frame.place(roll - (0, -0.25)), [0.27 * unit]), body.upper.painter(frame), light)


def _shirt_front(plate: Plate, frame: Frame, body: Body, cloth: Cloth, light: Light) -> None:
    unit = frame.unit
    for side in (-1, 1):
        wing = [(0.5, 1.1), (0.62, 1.35), (0.5, 1.95), (0.1, 1.72), (0.28, 1.5)]
        wing = frame.place(np.array(wing) * (side, 1))
        soft_shadow(plate, wing + 0.04 * unit, 0.3, 0.05 * unit)
        solid(plate, wing, cloth.painter(frame), light, bulge=0.4)
    if body.garment == "blazer" and body.girth > 0.95:
        tie = [(-0.13, 1.7), (0.13, 1.7), (0.09, 1.95), (0.2, 4.2), (0, 4.5), (-0.2, 4.2), (-0.09, 1.95)]
        solid(plate, frame.place(tie), body.lower.second, light, bulge=0.5)
        return
    placket = np.array([(0, 1.95), (0.03, 4.5), (0, 7.2)])
    soft_shadow(plate, tube(frame.place(placket - (-0.1, 0)), [0.02 * unit]), 0.35, 0.02 * unit)
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for k in range(7):
        button = np.column_stack([np.cos(turn), np.sin(turn)]) * 0.045 + (0.0, 2.1 + 0.75 * k)
        solid(plate, frame.place(button), cloth.second * 0.5 + 90, light)


def _lapels(plate: Plate, frame: Frame, body: Body, light: Light) -> None:
    for side in (-1, 1):
        lapel = [(0.52, 1.2), (0.85, 1.6), (1.0, 2.3), (0.86, 2.42), (0.95, 2.6), (0.02, 4.3), (0.0, 2.85), (0.3, 2.0)]
        lapel = frame.place(np.array(lapel) * (side, 1))
        soft_shadow(plate, lapel + 0.04 * frame.unit, 0.35, 0.06 * frame.unit)
        solid(plate, lapel, body.upper.painter(frame), light, bulge=0.35)


def paint_arm(plate: Plate, frame: Frame, body: Body, index: int, skin: np.ndarray, light: Light) -> None:
    """One arm with its sleeve; hands are painted apart, for things go under their fingers."""
    start = frame.place(body.arms[index][:1])[0]
    fade = (start, 0.6 * frame.unit)
    bare = _limb(frame, body, index, 0, max(0.0, body.sleeve - 0.15), 2)
    for part in _limb(frame, body, index, 0, 0, 2):
        shadow = part - light.direction[:2] * 0.1 * frame.unit
        soft_shadow(plate, shadow[shadow[:, 1] > start[1] + 0.4 * frame.unit], 0.25, 0.12 * frame.unit)
    if bare:
        solid(plate, bare, skin, light, wrap=SUBSURFACE, fade=fade)
    if body.sleeve > 0.05:
        sleeve = _limb(frame, body, index, 0.06, 0, body.sleeve)
        solid(plate, sleeve, body.upper.painter(frame), light, folds=body.upper.folds * 1.4, fade=fade)


def paint_hand(plate: Plate, frame: Frame, body: Body, index: int, skin: np.ndarray, light: Light, grip: float) -> None:
    """One hand at the end of its arm: palm, thumb, four fingers; `grip` 0 hangs open, 1 closes around something."""
    _, elbow, wrist = (frame.place([p])[0] for p in body.arms[index])
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    side = -1 if index == 0 else 1
    across = np.array([-along[1], along[0]]) * -side
    size = frame.unit * 0.92 * body.girth**0.5

    def at(a: float, b: float) -> np.ndarray:
        return wrist + (a * along + b * across) * size

    palm = [at(-0.15, -0.17), at(0.2, -0.24), at(0.52, -0.22), at(0.55, 0.22), at(0.2, 0.26), at(-0.15, 0.17)]
    solid(plate, spline(palm, closed=True), skin, light, wrap=SUBSURFACE)
    reach = 1 - 0.45 * grip
    for k in range(4):
        root, length = -0.165 + 0.115 * k, (0.38, 0.46, 0.5, 0.42)[k] * reach
        bend = 0.12 * grip
        finger = spline(
            [at(0.45, root), at(0.45 + 0.6 * length, root + bend), at(0.5 + length, root * (1 - 0.3 * grip) + bend)]
        )
        solid(plate, tube(finger, np.array([0.07, 0.062, 0.05]) * size), skin * 0.98, light, wrap=SUBSURFACE)
    thumb = spline([at(0.1, 0.2), at(0.32, 0.34), at(0.55, 0.34 - 0.25 * grip)])
    solid(plate, tube(thumb, np.array([0.1, 0.08, 0.06]) * size), skin, light, wrap=SUBSURFACE)
