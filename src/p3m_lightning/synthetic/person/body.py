"""A body below the head: measures, poses, neck, arms, hands and legs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from p3m_lightning.synthetic.painting.clothes import Cloth, draw_cloth, draw_color
from p3m_lightning.synthetic.painting.plate import spline, tube
from p3m_lightning.synthetic.person.easel import Easel

GARMENTS = {
    "tee": ("crew scoop vee", (0.35, 0.6)),
    "longsleeve": ("crew scoop boat vee", (1.75, 2)),
    "sweater": ("crew high", (1.85, 2)),
    "shirt": ("shirt", (1.2, 2)),
    "blazer": ("vee", (1.9, 2)),
    "hoodie": ("crew", (1.9, 2)),
    "tank": ("scoop vee", (0, 0)),
    "dress": ("scoop boat vee", (0, 0.4)),
}
"""Garment -> its necklines, and the reach of its sleeves: 0 bare, 1 elbow, 2 wrist."""

ARM_POSES = {
    "hang": ((2.3, 4.9), (2.2, 7.1)),
    "front": ((2.35, 4.7), (0.9, 6.3)),
    "hip": ((3.1, 4.5), (1.75, 6.0)),
    "hold": ((2.35, 4.75), (0.75, 3.9)),
    "raise": ((2.75, 4.0), (1.75, 1.75)),
    "away": ((3.0, 4.2), (3.9, 6.0)),
}
"""Pose -> elbow and wrist of the right arm."""
ARM_POSE_ODDS = (0.5, 0.16, 0.12, 0.08, 0.06, 0.08)
ARM_WIDTHS = np.array([0.4, 0.4, 0.34, 0.33, 0.25, 0.19])
"""Half widths of an arm from shoulder to wrist; the elbow is between the third and the fourth."""


class Body(NamedTuple):
    """Measures of one body, in units of half a head, and its clothes."""

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
    fur: np.ndarray | None  # color of a fur collar
    skirt: bool
    arms: tuple[np.ndarray, np.ndarray]  # left and right in the image: shoulder, elbow, wrist, (3, 2)
    stance: float  # distance of the feet


def draw_body(rng: np.random.Generator, feminine: float, holding: bool) -> Body:
    """Draw a body; with `holding`, the right hand is in front of the chest."""
    garment = str(rng.choice(list(GARMENTS), p=_odds(feminine)))
    necklines, sleeve = GARMENTS[garment]
    girth = float(np.clip(rng.normal(1, 0.1), 0.82, 1.3)) - 0.1 * feminine
    shoulder = rng.uniform(1.8, 2.05) - 0.3 * feminine
    length = rng.uniform(*sleeve)
    pattern = {"sweater": "knit", "blazer": "plain", "hoodie": "plain"}.get(garment)
    return Body(
        shoulder=shoulder,
        waist=rng.uniform(1.2, 1.4) * girth - 0.15 * feminine,
        hip=rng.uniform(1.35, 1.5) * (0.5 + 0.5 * girth) + 0.06 * feminine,
        girth=girth,
        neck=0.5 * girth**0.5 - 0.06 * feminine,
        garment=garment,
        neckline=str(rng.choice(necklines.split())),
        sleeve=length if length > 0.3 else 0.0,
        upper=draw_cloth(rng, None, pattern if rng.random() < 0.75 else None),
        lower=draw_cloth(rng, None, "denim" if rng.random() < 0.4 else "plain"),
        under=draw_cloth(rng, np.array([235, 235, 235]) * rng.uniform(0.6, 1), "plain"),
        fur=draw_color(rng) * 0.6 + 60 if garment in ("blazer", "hoodie") and rng.random() < 0.2 else None,
        skirt=bool(feminine > 0.55 and (garment == "dress" or rng.random() < 0.25)),
        arms=_draw_arms(rng, shoulder, holding),
        stance=rng.uniform(0.5, 1.3),
    )


def _odds(feminine: float) -> np.ndarray:
    weights = np.array([5, 3, 3, 4 - feminine, 3.5 - 2 * feminine, 2.5, 0.6 + 1.6 * feminine, 3 * feminine])
    return weights / weights.sum()


def _draw_arms(rng: np.random.Generator, shoulder: float, holding: bool) -> tuple[np.ndarray, np.ndarray]:
    poses = [str(pose) for pose in rng.choice(list(ARM_POSES), 2, p=ARM_POSE_ODDS)]
    if holding:
        poses[1] = "hold"
    arms = []
    for side, pose in zip((-1, 1), poses, strict=True):
        elbow, wrist = (np.array(place) + rng.normal(0, 0.18, 2) for place in ARM_POSES[pose])
        arms.append(np.array([(shoulder - 0.27, 2.3), elbow - (2.0 - shoulder, 0), wrist]) * (side, 1))
    return arms[0], arms[1]


def paint_legs(easel: Easel, body: Body, skin: np.ndarray) -> None:
    """Paint legs, skirt or trousers, and shoes; nothing if the image ends above them."""
    if easel.frame.place([(0, 6.6)])[0, 1] > easel.plate.side + 2 * easel.frame.unit:
        return
    trousers = []
    for side in (-1, 1):
        foot = side * body.stance * 0.55
        line = spline([(side * body.hip * 0.52, 6.9), (side * 0.62 + foot * 0.25, 10.6), (foot + side * 0.25, 14.2)])
        easel.skin(tube(line, np.array([0.66, 0.52, 0.36, 0.38, 0.2]) * body.girth), skin)
        shoe = spline([(-0.24, 13.95), (0.24, 13.95), (0.36, 14.55), (0.1, 14.8), (-0.2, 14.75)], closed=True)
        easel.solid(shoe * (side, 1) - (-foot - side * 0.25, 0), body.under.second * 0.4)
        trousers.append(tube(line[:-1], np.array([0.8, 0.76, 0.6, 0.54, 0.46, 0.44]) * body.girth))
    if body.skirt:
        flare, hem = 1.2 + 0.25 * body.stance, 9.4 + 2.5 * (body.stance - 0.5)
        half = [(body.waist, 5.0), (body.hip, 6.8), (body.hip * flare, hem), (body.hip * flare * 0.6, hem + 0.12)]
        easel.solid(_mirrored(half), body.upper if body.garment == "dress" else body.lower, reach=0.8)
    else:
        seat = [(body.waist, 5.2), (body.hip + 0.04, 6.9), (body.hip - 0.1, 7.8), (0.25, 8.0)]
        easel.solid([_mirrored(seat), *trousers], body.lower, reach=0.6)
        easel.shadow(tube(spline([(0, 7.4), (0.02, 9.0), (0, 14)]), [0.02, 0.12]), 0.3, 0.12)


def _mirrored(half: list[tuple[float, float]]) -> np.ndarray:
    right = spline([(0, half[0][1]), *half, (0, half[-1][1])])
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def paint_neck(easel: Easel, body: Body, chin: float, skin: np.ndarray) -> None:
    """Paint the neck, from the chin, `chin` off the middle, to the upper chest, with the shadow of the head."""
    n, s = body.neck, body.shoulder
    side = [(n, 1.2), (n * 1.12, 1.5), (s * 0.62, 1.72), (s * 0.93, 1.98), (s * 0.98, 2.6), (s * 0.7, 3.6)]
    halves = [
        spline([(0.6 * chin + way * 0.95 * n, 0.15), (0.3 * chin + way * n, 0.55), *((way * x, y) for x, y in side)])
        for way in (1, -1)
    ]
    whole = [np.concatenate([halves[0], halves[1][::-1]])]
    if body.sleeve <= 0.05:
        whole += arm_parts(body, 0) + arm_parts(body, 1)
    easel.skin(whole, skin * (0.97, 0.95, 0.95), bulge=0.9, reach=0.5)
    for way in (-1, 1):
        tendon = spline([(way * n * 0.7, 0.9), (way * n * 0.45, 1.3), (way * 0.14, 1.72)])
        easel.shadow(tube(tendon, [0.03]), 0.15, 0.05)
    shade = spline([(-n - 0.1, 0.4), (n + 0.1, 0.4), (n, 1.1), (0, 1.4), (-n, 1.1)], closed=True)
    easel.shadow(shade - (-0.5 * chin, 0), 0.5, 0.12)


def arm_parts(body: Body, index: int, loose: float = 0, since: float = 0, until: float = 2) -> list[np.ndarray]:
    """Return outlines of an arm between two positions (0 shoulder, 1 elbow, 2 wrist), `loose` units wider than bare."""
    joints = body.arms[index]
    widths = ARM_WIDTHS * body.girth + loose
    parts = []
    for bone, own in ((0, widths[:3]), (1, widths[2:])):
        share = np.linspace(max(since - bone, 0), min(until - bone, 1), 8)
        if share[-1] - share[0] > 0.05:
            line = joints[bone] + share[:, None] * (joints[bone + 1] - joints[bone])
            parts.append(tube(line, np.interp(share, np.linspace(0, 1, len(own)), own)))
    return parts


def paint_arm(easel: Easel, body: Body, index: int, skin: np.ndarray) -> None:
    """Paint one arm with its sleeve; hands are painted separately, since things go under their fingers."""
    # the trunk includes the upper arms, so that the arm fades in from the shoulder without a seam
    fade = easel.frame.place(body.arms[index][:1])[0], 0.3 * easel.frame.unit
    for part in arm_parts(body, index):
        shadow = part - 0.1 * easel.light.direction[:2]
        easel.shadow(shadow[shadow[:, 1] > body.arms[index][0, 1] + 0.4], 0.25, 0.12)
    bare = arm_parts(body, index, 0, max(0.0, body.sleeve - 0.05))
    if bare:
        easel.skin(bare, skin, fade=fade)
    if body.sleeve > 0.05:
        easel.solid(arm_parts(body, index, 0.06, 0, body.sleeve), body.upper, folds=1.4, fade=fade)


def paint_hand(easel: Easel, body: Body, index: int, skin: np.ndarray, grip: float) -> None:
    """Paint one hand at the end of its arm: palm, thumb, four fingers; `grip` 0 is open, 1 closed around something."""
    _, elbow, wrist = body.arms[index]
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    across = np.array([-along[1], along[0]]) * (1 if index == 0 else -1)
    size = 0.92 * body.girth**0.5

    def at(*places: tuple[float, float]) -> np.ndarray:
        return wrist + np.array(places) @ np.array([along, across]) * size

    palm = at((-0.15, -0.17), (0.2, -0.24), (0.52, -0.22), (0.55, 0.22), (0.2, 0.26), (-0.15, 0.17))
    easel.skin(spline(palm, closed=True), skin)
    bend = 0.12 * grip
    for k, length in enumerate((0.38, 0.46, 0.5, 0.42)):
        root, length = -0.165 + 0.115 * k, length * (1 - 0.45 * grip)
        tip = (0.5 + length, root * (1 - 0.3 * grip) + bend)
        finger = spline(at((0.45, root), (0.45 + 0.6 * length, root + bend), tip))
        easel.skin(tube(finger, np.array([0.07, 0.062, 0.05]) * size), skin * 0.98)
    thumb = spline(at((0.1, 0.2), (0.32, 0.34), (0.55, 0.34 - 0.25 * grip)))
    easel.skin(tube(thumb, np.array([0.1, 0.08, 0.06]) * size), skin)
