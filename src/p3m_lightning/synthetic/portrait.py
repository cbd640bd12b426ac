"""Rendering of one portrait from a seed."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np

from p3m_lightning.schema import InputError
from p3m_lightning.synthetic.background.scene import paint_scene
from p3m_lightning.synthetic.camera import cast_shadow, composite, develop, draw_shot, expose
from p3m_lightning.synthetic.painting.plate import Plate
from p3m_lightning.synthetic.painting.shading import draw_light
from p3m_lightning.synthetic.person.figure import FRAMINGS, draw_person, paint_person

SMALLEST = 64
"""Side in pixels from which every figure can be painted."""

OVERSAMPLING = 2
"""Factor by which the figure is painted larger than the image, in addition to antialiased drawing."""


SHADOW_ODDS = 0.5
"""Share of walls close behind that show the figure's shadow."""


class Portrait(NamedTuple):
    """A photograph with its layers: image = alpha * foreground + (1 - alpha) * background + noise."""

    image: np.ndarray  # uint8 (H, W, 3), RGB
    alpha: np.ndarray  # uint8 (H, W), 0 background to 255 foreground
    foreground: np.ndarray  # uint8 (H, W, 3), defined everywhere, continued smoothly where alpha is 0
    background: np.ndarray  # uint8 (H, W, 3), defined everywhere
    landmarks: np.ndarray  # float64 (68, 2), x and y in pixels, 300-W order
    noise: float  # standard deviation of the noise in levels
    quality: int  # JPEG quality the photograph is to be stored with, 80 to 95


def render_portrait(seed: int, size: int = 512, framing: str | None = None) -> Portrait:
    """Render the portrait of a seed; the same arguments give the same pixels.

    Args:
        seed: any number of 0 or more.
        size: side of the square image in pixels, `SMALLEST` or more.
        framing: visible part of the person, a key of `figure.FRAMINGS`; None for any.

    Raises:
        InputError: another seed, size or framing.
    """
    for name, number, least in (("seed", seed, 0), ("size", size, SMALLEST)):
        if not isinstance(number, Integral) or int(number) < least:
            raise InputError(f"{name}={number}: give a whole number from {least} up")
    if framing is not None and framing not in FRAMINGS:
        raise InputError(f"framing={framing}: choose from {', '.join(FRAMINGS)}")
    rng = np.random.default_rng(seed)
    light, shot = draw_light(rng), draw_shot(rng, size)
    plate = Plate(OVERSAMPLING * size)
    person = draw_person(rng, plate.side, framing)
    landmarks = paint_person(rng, plate, person, light)
    scene, wall = paint_scene(rng, size)
    if wall and rng.random() < SHADOW_ODDS:
        scene = cast_shadow(rng, scene, plate.pixels, light.direction, rng.uniform(0.15, 0.5))
    alpha, foreground, background = develop(plate.pixels, scene, shot)
    image = expose(rng, composite(alpha, foreground, background), shot)
    # the corner of a plate pixel is a quarter of an image pixel off its center
    points = (landmarks + 0.5) / OVERSAMPLING - 0.5
    return Portrait(image, alpha, foreground, background, points, shot.noise, shot.quality)
