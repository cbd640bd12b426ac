"""Things in a hand: they belong to the foreground, and some let light through."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from p3m_lightning.synthetic.painting.clothes import draw_color
from p3m_lightning.synthetic.painting.plate import Plate, fixed_point, polygon_cover, spline, tube
from p3m_lightning.synthetic.painting.shading import Light, solid

Place = Callable[[object], np.ndarray]
"""Maps units around the hand (x right, y down) to pixels of the plate."""


def paint_thing(
    rng: np.random.Generator, plate: Plate, kind: str, hand: np.ndarray, unit: float, angle: float, light: Light
) -> None:
    """Paint one of `THINGS` at the hand (2,), turned clockwise by `angle` radians, `unit` pixels per unit."""
    c, s = np.cos(angle), np.sin(angle)

    def place(points: object) -> np.ndarray:
        return np.asarray(points, float) @ np.array([[c, s], [-s, c]]) * unit + hand

    THINGS[kind](rng, plate, place, unit, light)


def _ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.column_stack([cx + rx * np.cos(t), cy + ry * np.sin(t)])


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _glass(plate: Plate, outline: np.ndarray, color: np.ndarray, opacity: float) -> None:
    window = plate.window(outline)
    if window is not None:
        plate.lay(window, color, polygon_cover(outline, window) * np.float32(opacity))


def _mug(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    color = draw_color(rng)
    handle = place(spline([(0.4, -0.3), (0.75, -0.25), (0.7, 0.2), (0.4, 0.25)]))
    solid(plate, tube(handle, [0.07 * unit]), color, light)
    solid(plate, place([(-0.42, -0.5), (0.42, -0.5), (0.38, 0.45), (0, 0.5), (-0.38, 0.45)]), color, light, reach=1)
    solid(plate, place(_ellipse(0, -0.5, 0.42, 0.09)), color * 0.5, light, bulge=0.2)


def _phone(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    body = rng.choice([20.0, 60.0, 220.0]) * np.ones(3)
    solid(plate, place(_box(-0.27, -0.75, 0.27, 0.4)), body, light, bulge=0.15, reach=0.2)
    solid(plate, place(_ellipse(0.14, -0.6, 0.07, 0.07)), body * 0.3, light)
    solid(plate, place(_ellipse(0.14, -0.42, 0.07, 0.07)), body * 0.3, light)


def _book(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    color = draw_color(rng)
    solid(plate, place(_box(-0.55, -0.86, 0.62, 0.58)), np.array([230, 224, 208]), light, bulge=0.1, reach=0.1)
    solid(plate, place(_box(-0.6, -0.9, 0.56, 0.54)), color, light, bulge=0.1, reach=0.1)
    solid(plate, place(_box(-0.42, -0.66, 0.38, -0.45)), color * 0.4 + 130, light, bulge=0)
    solid(plate, place(_box(-0.42, -0.2, 0.38, 0.3)), draw_color(rng), light, bulge=0)


def _flowers(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    petal = draw_color(rng) * 0.5 + 120
    for tip in rng.normal([0, -1.0], [0.42, 0.3], (9, 2)):
        stem = place(spline([(0, 0.5), (tip[0] * 0.2, -0.2), tip]))
        plate.stroke([fixed_point(stem)], (70, 110, 50), 0.035 * unit)
        for _ in range(3):
            leaf = spline(
                [tip * rng.uniform(0.3, 0.8), tip * 0.6 + rng.normal(0, 0.15, 2), tip * 0.9 + rng.normal(0, 0.2, 2)]
            )
            solid(plate, tube(place(leaf), np.array([0.01, 0.06, 0.01]) * unit), np.array([62, 112, 54]), light)
        turn, size = rng.uniform(0, 6), rng.uniform(0.12, 0.2)
        for k in range(6):
            way = np.array([np.cos(turn + k * 1.047), np.sin(turn + k * 1.047)])
            solid(
                plate,
                tube(place([tip, tip + way * size, tip + way * size * 1.6]), np.array([0.03, 0.1, 0.04]) * unit),
                petal,
                light,
            )
        solid(plate, place(_ellipse(tip[0], tip[1], 0.07, 0.07)), np.array([225, 180, 60]), light)


def _wine(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    bowl = np.array([(-0.3, -1.1), (-0.36, -0.75), (-0.22, -0.4), (0, -0.3), (0.22, -0.4), (0.36, -0.75), (0.3, -1.1)])
    drink = np.array([(-0.35, -0.72), (-0.22, -0.4), (0, -0.3), (0.22, -0.4), (0.35, -0.72)])
    _glass(plate, place(spline(bowl)), np.array([225, 232, 236]), 0.28)
    _glass(plate, place(drink), rng.choice([[120, 18, 40], [226, 196, 110]]), 0.8)
    _glass(plate, place(_box(-0.03, -0.3, 0.03, 0.6)), np.array([225, 232, 236]), 0.55)
    _glass(plate, place(_ellipse(0, 0.62, 0.3, 0.07)), np.array([225, 232, 236]), 0.45)
    plate.stroke([fixed_point(place(spline(bowl)))], (240, 244, 246), 1)


def _balloon(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    top = np.array([rng.uniform(-0.6, 0.6), -3.6])
    plate.stroke([fixed_point(place(spline([(0, 0), (0.15, -1.2), top - (0, -1.0)])))], (225, 225, 225), 0.02 * unit)
    shape = place(
        spline([top + p for p in ((0, -0.95), (0.75, -0.45), (0.5, 0.5), (0, 1.0), (-0.5, 0.5), (-0.75, -0.45))], True)
    )
    shell = Plate(plate.side)
    solid(shell, shape, draw_color(rng) * 0.7 + 60, light)
    plate.over(shell, rng.uniform(0.55, 0.95))


def _umbrella(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    solid(plate, tube(place([(0, 0.6), (0, -6.2)]), [0.04 * unit]), np.array([60, 50, 45]), light)
    reach = 3.1
    rim = [(reach * x, -5.2 + 0.14 * abs(np.sin(3 * np.pi * x))) for x in np.linspace(1, -1, 25)]
    roof = [(reach * np.sin(a), -5.2 - 1.3 * np.cos(a)) for a in np.linspace(-np.pi / 2, np.pi / 2, 20)]
    shell = Plate(plate.side)
    solid(shell, place([*roof, *rim]), draw_color(rng), light, reach=0.8)
    plate.over(shell, rng.choice([1.0, 1.0, 0.75]))


def _ball(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    radius = rng.uniform(0.4, 0.75)
    color = draw_color(rng) * 0.8 + 40
    solid(plate, place(_ellipse(0, -radius * 0.5, radius, radius)), color, light)
    for k in (-0.5, 0, 0.5):
        seam = [
            (radius * np.sin(a) * (k + 0.02), -radius * 0.5 + radius * np.cos(a)) for a in np.linspace(0, np.pi, 15)
        ]
        plate.stroke([fixed_point(place(seam))], color * 0.35, 0.02 * unit)


def _tablet(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    solid(plate, place(_box(-0.95, -0.75, 0.95, 0.5)), np.array([205, 206, 210]), light, bulge=0.1, reach=0.08)
    solid(plate, place(_ellipse(0, -0.12, 0.12, 0.12)), np.array([160, 160, 165]), light, bulge=0.1)


def _microphone(rng: np.random.Generator, plate: Plate, place: Place, unit: float, light: Light) -> None:
    solid(plate, tube(place([(0, 0.7), (0, -0.55)]), np.array([0.1, 0.13]) * unit), np.array([36, 36, 40]), light)
    solid(plate, place(_ellipse(0, -0.75, 0.22, 0.25)), np.array([120, 120, 126]), light)


THINGS: dict[str, Callable[[np.random.Generator, Plate, Place, float, Light], None]] = {
    "mug": _mug,
    "phone": _phone,
    "book": _book,
    "flowers": _flowers,
    "wine": _wine,
    "balloon": _balloon,
    "umbrella": _umbrella,
    "ball": _ball,
    "tablet": _tablet,
    "microphone": _microphone,
}
