"""Garments of the trunk: necklines, collars, lapels, hoods, and fur and fluff standing off them."""

from __future__ import annotations

import numpy as np

from p3m_lightning.synthetic.painting.clothes import Cloth
from p3m_lightning.synthetic.painting.plate import Plate, fixed_point, spline, tube
from p3m_lightning.synthetic.person.body import Body, arm_parts
from p3m_lightning.synthetic.person.easel import Easel

NECKLINES = {
    "crew": [(0.54, 1.42), (0.4, 1.56), (0.2, 1.66), (0, 1.7)],
    "scoop": [(0.74, 1.56), (0.6, 1.82), (0.34, 2.08), (0, 2.17)],
    "vee": [(0.66, 1.52), (0.44, 1.9), (0.21, 2.32), (0, 2.75)],
    "boat": [(1.0, 1.62), (0.7, 1.68), (0.35, 1.74), (0, 1.76)],
    "shirt": [(0.46, 1.3), (0.3, 1.6), (0.12, 1.85), (0, 2.0)],
    "high": [(0.5, 1.25), (0.38, 1.42), (0.2, 1.5), (0, 1.52)],
}
"""Right half of the opening, from the shoulder to the middle, in units."""


def torso_outline(body: Body, neckline: str) -> np.ndarray:
    """Return body points (N, 2) around the garment of the trunk, including its neckline."""
    s, w, h = body.shoulder, body.waist, body.hip
    inner = 0.72 * s if body.garment == "tank" else s
    shoulder = [(0.4 * inner + 0.35, 1.62), (inner * 0.9, 1.84), (inner, 2.2)]
    side = spline([*shoulder, (s * 0.86, 3.5), (w, 5.2), (h, 6.9), (h, 7.3)])
    right = np.concatenate([spline(NECKLINES[neckline])[::-1], side])
    return np.concatenate([right, (right * (-1, 1))[::-1]])


def paint_hood(easel: Easel, body: Body) -> None:
    """Paint the back of a hood, behind neck and head."""
    if body.garment == "hoodie":
        back = [(-1.05, 1.8), (-0.95, 1.0), (-0.5, 0.5), (0.5, 0.5), (0.95, 1.0), (1.05, 1.8), (0, 2.1)]
        easel.solid(spline(back, closed=True), body.upper.color * 0.75, reach=0.4)
        easel.shadow(spline([(-0.7, 1.5), (-0.4, 0.8), (0.4, 0.8), (0.7, 1.5), (0, 1.8)], closed=True), 0.5, 0.12)


def paint_torso(rng: np.random.Generator, easel: Easel, body: Body) -> None:
    """Paint the garment of the trunk with its collar, lapels, buttons, hood."""
    if body.garment == "blazer":
        easel.solid(torso_outline(body, "shirt"), body.under, reach=0.5)
        _shirt_front(easel, body, body.under, tie=body.girth > 0.95)
    outline = torso_outline(body, body.neckline)
    easel.shadow(outline - (0, 0.04), 0.35, 0.05)
    whole = [outline]
    if body.sleeve > 0.05:
        whole += [part for index in (0, 1) for part in arm_parts(body, index, 0.06, 0, min(body.sleeve, 1))]
    easel.solid(whole, body.upper, bulge=0.8, reach=0.55)
    if body.garment == "shirt":
        _shirt_front(easel, body, body.upper, tie=False)
    elif body.garment == "blazer":
        _lapels(easel, body)
    elif body.garment == "hoodie":
        _hood_front(easel, body)
    else:
        seam = spline(NECKLINES[body.neckline])
        seam = np.concatenate([seam, (seam * (-1, 1))[-2::-1]])
        easel.rope(seam, [0.13 if body.garment == "sweater" else 0.05], body.upper.color * 0.9)
    if body.neckline == "high":
        roll = spline([(-0.52, 1.2), (-0.3, 1.37), (0, 1.43), (0.3, 1.37), (0.52, 1.2)])
        easel.rope(roll, [0.27], body.upper)
    if body.fur is not None:
        collar = np.array([(1.0, 2.6), (0.95, 1.6), (0.62, 1.15), (-0.62, 1.15), (-0.95, 1.6), (-1.0, 2.6)])
        for half in (spline(collar[:3]), spline(collar[3:])):
            easel.rope(half, [0.2, 0.28], body.fur * 0.7)
            _fur(rng, easel, half, body.fur, 0.42, 700)


def _shirt_front(easel: Easel, body: Body, cloth: Cloth, tie: bool) -> None:
    for side in (-1, 1):
        wing = np.array([(0.5, 1.1), (0.62, 1.35), (0.5, 1.95), (0.1, 1.72), (0.28, 1.5)]) * (side, 1)
        easel.shadow(wing - (-0.04, -0.04), 0.3, 0.05)
        easel.solid(wing, cloth, bulge=0.4)
    if tie:
        knot = [(-0.13, 1.7), (0.13, 1.7), (0.09, 1.95), (0.2, 4.2), (0, 4.5), (-0.2, 4.2), (-0.09, 1.95)]
        easel.solid(knot, body.lower.second, bulge=0.5)
        return
    easel.shadow(tube(np.array([(0.1, 1.95), (0.13, 4.5), (0.1, 7.2)]), [0.02]), 0.35, 0.02)
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for k in range(7):
        button = 0.045 * np.column_stack([np.cos(turn), np.sin(turn)])
        easel.solid(button - (0, -2.1 - 0.75 * k), cloth.second * 0.5 + 90)


def _lapels(easel: Easel, body: Body) -> None:
    half = [(0.52, 1.2), (0.85, 1.6), (1.0, 2.3), (0.86, 2.42), (0.95, 2.6), (0.02, 4.3), (0.0, 2.85), (0.3, 2.0)]
    for side in (-1, 1):
        lapel = np.array(half) * (side, 1)
        easel.shadow(lapel - (-0.04, -0.04), 0.35, 0.06)
        easel.solid(lapel, body.upper, bulge=0.35)


def _hood_front(easel: Easel, body: Body) -> None:
    for side in (-1, 1):
        flap = spline([(0.95, 1.2), (0.75, 1.6), (0.4, 1.95), (0.06, 2.2)]) * (side, 1)
        easel.shadow(tube(flap - (0, -0.12), [0.2, 0.3, 0.12]), 0.35, 0.08)
        easel.rope(flap, [0.2, 0.32, 0.28, 0.1], body.upper)
        cord = spline([(side * 0.2, 2.1), (side * 0.3, 2.6), (side * 0.26, 3.2)])
        easel.rope(cord, [0.035], body.under.color)


def _fur(
    rng: np.random.Generator, easel: Easel, line: np.ndarray, color: np.ndarray, length: float, count: int
) -> None:
    """Paint hair standing off a line (N, 2), longer away from the neck, dark below and light above."""
    for shade in (0.55, 0.75, 0.95, 1.15):
        at = rng.uniform(0, len(line) - 1, count // 4)
        roots = np.column_stack([np.interp(at, range(len(line)), line[:, c]) for c in (0, 1)])
        roots += rng.normal(0, 0.12, roots.shape)
        away = roots - (0, 1.6)
        away = away / np.linalg.norm(away, axis=1, keepdims=True) + rng.normal(0, 0.5, roots.shape) - (0, -0.3)
        _strokes(rng, easel, easel.plate, roots, away * length, color * shade * float(easel.light.ambient.mean() + 0.4))


def paint_fluff(rng: np.random.Generator, easel: Easel, body: Body) -> None:
    """Paint loose fibers along the outline of a knitted garment with sleeves."""
    if body.upper.pattern != "knit" or body.sleeve < 1:
        return
    outlines = [torso_outline(body, body.neckline)]
    outlines += [part for index in (0, 1) for part in arm_parts(body, index, 0.06, 0, body.sleeve)]
    veil = Plate(easel.plate.side)
    for outline in outlines:
        roots = outline[rng.integers(0, len(outline), 160)] + rng.normal(0, 0.05, (160, 2))
        _strokes(rng, easel, veil, roots, rng.normal(0, 0.14, (160, 2)), body.upper.color * 0.9)
    easel.plate.over(veil, 0.35)


def _strokes(
    rng: np.random.Generator, easel: Easel, plate: Plate, roots: np.ndarray, runs: np.ndarray, color: np.ndarray
) -> None:
    """Draw curved hairs from `roots` along `runs`, both (N, 2)."""
    t = np.linspace(0, 1, 5)[None, :, None]
    bend = rng.normal(0, 0.3, (len(roots), 1, 1)) * np.stack([-runs[:, 1], runs[:, 0]], axis=1)[:, None]
    points = roots[:, None] + runs[:, None] * t + bend * t**2
    places = easel.frame.place(points.reshape(-1, 2)).reshape(points.shape)
    plate.stroke(list(fixed_point(places)), color)
