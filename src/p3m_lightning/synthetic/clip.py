"""Moving portraits: clips with exactly known mattes in every frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.schema import InputError
from p3m_lightning.synthetic.camera import composite
from p3m_lightning.synthetic.portrait import render_portrait

MARGIN = 1.3
"""Side of the rendered portrait relative to the longer side of a frame, which leaves room for motion."""

PAN, ZOOM, TURN = 0.05, 0.05, 3.0
"""Largest movement of a window: as a part of the frame's longer side, as a part of its scale, in degrees."""

PERIODS = (30, 120)
"""Periods of motions in frames, from the fastest to the slowest."""

FACE = 0.45
"""Height of the face as a part of the frame's."""


class ClipFrame(NamedTuple):
    """One frame with its layers: image = alpha * foreground + (1 - alpha) * background + noise."""

    image: np.ndarray  # uint8 (H, W, 3), RGB
    alpha: np.ndarray  # uint8 (H, W), 0 background to 255 foreground
    foreground: np.ndarray  # uint8 (H, W, 3), defined everywhere
    background: np.ndarray  # uint8 (H, W, 3), defined everywhere
    motion: np.ndarray  # float32 (H, W, 2), motion of the subject at each pixel to the next frame, x and y in pixels


def render_clip(
    seed: int, frames: int = 30, size: tuple[int, int] = (288, 512), moving_background: bool = True
) -> Iterator[ClipFrame]:
    """Render a clip: person and background move slightly, each on its own; the noise differs in every frame.

    Args:
        seed: any number of 0 or more; the person is that of `render_portrait` with the same seed.
        frames: length of the clip.
        size: (height, width) in pixels.
        moving_background: whether the background moves too.

    Raises:
        InputError: no frame, or sides below 32 pixels.
    """
    if frames < 1 or min(size) < 32:
        raise InputError(f"clip of {frames} frames, {size[1]} x {size[0]} pixels: give 1 frame and 32 pixels or more")
    portrait = render_portrait(seed, round(MARGIN * max(size)))
    rng = np.random.default_rng([seed, 1])
    face = portrait.landmarks.mean(axis=0)
    center = (face[0], face[1] + (0.5 - FACE) * size[0])
    person, scene = (_Path.draw(rng, size, portrait.alpha.shape[0], center) for _ in range(2))
    layers = np.dstack([portrait.foreground, portrait.alpha])
    for number in range(frames):
        window = person.window(number)
        seen = _look(layers, window, size)
        foreground, alpha = seen[..., :3], seen[..., 3]
        background = _look(portrait.background, scene.window(number if moving_background else 0), size)
        picture = composite(alpha, foreground, background)
        noise = rng.normal(0, portrait.noise, picture.shape)
        image = np.rint(np.clip(picture + noise, 0, 255)).astype(np.uint8)
        yield ClipFrame(image, alpha, foreground, background, _motion(window, person.window(number + 1), size))


class _Path(NamedTuple):
    """Movement of a window over the plate, with each of its four parameters a sum of two waves."""

    size: tuple[int, int]
    center: np.ndarray  # (2,), x and y on the plate
    amplitudes: np.ndarray  # (4, 2): x, y, zoom, turn
    periods: np.ndarray  # (4, 2), frames
    phases: np.ndarray  # (4, 2)

    @classmethod
    def draw(cls, rng: np.random.Generator, size: tuple[int, int], side: int, center: tuple[float, float]) -> _Path:
        """Draw a path whose windows stay on a plate of `side` pixels, near `center`."""
        reach = (1 + ZOOM) / 2 * (np.array(size[::-1]) + np.sin(np.radians(TURN)) * np.array(size)) + PAN * max(size)
        limits = np.array([PAN * max(size), PAN * max(size), ZOOM, np.radians(TURN)])
        shares = rng.uniform(0.3, 0.7, (4, 1))
        return cls(
            size,
            np.clip(center, reach, side - 1 - reach),
            limits[:, None] * np.hstack([shares, 1 - shares]) * rng.uniform(0.6, 1, (4, 1)),
            rng.uniform(*PERIODS, (4, 2)),
            rng.uniform(0, 2 * np.pi, (4, 2)),
        )

    def window(self, number: int) -> np.ndarray:
        """Return the matrix (2, 3) that maps pixels of frame `number` to the plate."""
        waves = self.amplitudes * np.sin(2 * np.pi * number / self.periods + self.phases)
        x, y, zoom, turn = waves.sum(axis=1)
        linear = (1 + zoom) * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = (np.array(self.size[::-1]) - 1) / 2
        return np.column_stack([linear, self.center + np.array([x, y]) - linear @ middle])


def _look(plate: np.ndarray, window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plate, window, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _motion(window: np.ndarray, later: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the displacement of each pixel from one window to another."""
    step = cv2.invertAffineTransform(later)[:, :2]
    linear = step @ window[:, :2] - np.eye(2)
    shift = step @ (window[:, 2] - later[:, 2])
    pixels = np.dstack(np.meshgrid(np.arange(size[1]), np.arange(size[0])))
    return (pixels @ linear.T + shift).astype(np.float32)
