"""Random faults of mattes, like those of networks and people, to train the quality head on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import cv2
import numpy as np

from p3m_lightning.schema import InputError

Corruption = Callable[[np.ndarray, np.ndarray, Random], np.ndarray]
"""(alpha float32 (H, W) in [0, 1], image uint8 (H, W, 3), draws) -> alpha; sizes are shares of the shorter side."""


def binary(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Binarize the matte like a mask, without hair."""
    return (alpha > draws.uniform(0.2, 0.8)).astype(np.float32)


def blurred(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Blur the edge, like an enlarged matte of a small network."""
    return cv2.GaussianBlur(alpha, (0, 0), _length(alpha, draws, 0.002, 0.04))


def shifted(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Shift, rotate and stretch slightly, like the matte of another frame."""
    height, width = alpha.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), draws.uniform(-4, 4), 1 + draws.uniform(-0.04, 0.04))
    reach, angle = _length(alpha, draws, 0.004, 0.1), draws.uniform(0, 2 * math.pi)
    turn[:, 2] += np.array([reach * math.cos(angle), reach * math.sin(angle)])
    return np.clip(cv2.warpAffine(alpha, turn, (width, height), borderMode=cv2.BORDER_REPLICATE), 0, 1)


def grown(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Move the edge outward or inward."""
    side = 2 * round(_length(alpha, draws, 0.003, 0.03)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return (cv2.dilate if draws.random() < 0.5 else cv2.erode)(alpha, kernel)


def holes(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Remove pieces of the person, some only partly."""
    remains = draws.choice([0.0, 0.0, draws.random()])
    return alpha * (1 - (1 - remains) * _blobs(alpha, draws, alpha > 0.5))


def lost_part(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Remove a region of one color, such as a sleeve in front of a similar wall."""
    return alpha * (1 - _alike(image, draws, alpha > 0.5))


def taken_along(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Add a region of one color, such as a flag, a chair or a door."""
    return np.maximum(alpha, _alike(image, draws, alpha < 0.5))


def added_blobs(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Add pieces of the background."""
    return np.maximum(alpha, draws.choice([1.0, 1.0, draws.random()]) * _blobs(alpha, draws, alpha < 0.5))


def cut_off(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Remove everything on one side of a line, such as an arm or the lower half."""
    height, width = alpha.shape
    angle, depth = draws.uniform(0, 2 * math.pi), draws.uniform(0.05, 0.5)
    y, x = np.mgrid[0:height, 0:width]
    along = (x - width / 2) * math.cos(angle) + (y - height / 2) * math.sin(angle)
    inside = along[alpha > 0.5]
    edge = np.quantile(inside, 1 - depth) if inside.size else 0.0
    return alpha * np.clip((edge - along) / 3 + 0.5, 0, 1).astype(np.float32)


def hazy(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Make nothing certain: background above 0, the person below 1."""
    low, high = draws.choice([(0, 1), (draws.uniform(0, 0.3), 1)])[0], draws.uniform(0.6, 1)
    return np.clip(low + (high - low) * alpha ** math.exp(draws.uniform(-0.7, 0.7)), 0, 1).astype(np.float32)


def coarse(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Reduce strongly and enlarge again."""
    height, width = alpha.shape
    side = _length(alpha, draws, 0.01, 0.08)
    small = cv2.resize(alpha, (max(2, round(width / side)), max(2, round(height / side))), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=draws.choice([cv2.INTER_LINEAR, cv2.INTER_NEAREST]))


def replaced(alpha: np.ndarray, image: np.ndarray, draws: Random) -> np.ndarray:
    """Replace the matte by a wrong one: mirrored and shifted, empty, full, or inverted."""
    kind = draws.choice(["other", "other", "other", "empty", "full", "inverted"])
    if kind == "other":
        return shifted(np.ascontiguousarray(alpha[:, ::-1]), image, draws)
    return {"empty": 0 * alpha, "full": 0 * alpha + 1, "inverted": 1 - alpha}[kind]


CORRUPTIONS: dict[str, Corruption] = {
    function.__name__: function
    for function in (
        binary,
        blurred,
        shifted,
        grown,
        holes,
        lost_part,
        taken_along,
        added_blobs,
        cut_off,
        hazy,
        coarse,
        replaced,
    )
}
"""Name -> fault."""


def corrupt(
    alpha: np.ndarray, image: np.ndarray, draws: Random, kinds: Sequence[str] | None = None, most: int = 3
) -> np.ndarray:
    """Apply up to `most` faults, drawn among `kinds`, one after another.

    Args:
        alpha: float32 (H, W) in [0, 1].
        image: uint8 (H, W, 3), for faults that depend on colors.
        draws: source of randomness.
        kinds: keys of CORRUPTIONS; all of them by default.
        most: largest number; from none to this many are applied.

    Returns:
        float32 (H, W) in [0, 1].

    Raises:
        InputError: an unknown kind.
    """
    names = list(kinds or CORRUPTIONS)
    unknown = [name for name in names if name not in CORRUPTIONS]
    if unknown:
        raise InputError(f"corruptions: {', '.join(unknown)}: choose from {', '.join(CORRUPTIONS)}")
    for name in draws.sample(names, min(draws.randint(0, most), len(names))):
        alpha = np.clip(CORRUPTIONS[name](alpha, image, draws), 0, 1)  # blurring can exceed 1 by rounding
    return alpha


def _length(alpha: np.ndarray, draws: Random, least: float, most: float) -> float:
    """Draw a length in pixels, uniform on a logarithmic scale."""
    share = math.exp(draws.uniform(math.log(least), math.log(most)))
    return max(0.3, share * min(alpha.shape))


def _place(inside: np.ndarray, draws: Random) -> tuple[int, int]:
    """Draw a pixel (x, y) where `inside` is true; anywhere if nowhere."""
    found = np.flatnonzero(inside)
    index = int(found[draws.randrange(found.size)]) if found.size else draws.randrange(inside.size)
    return index % inside.shape[1], index // inside.shape[1]


def _blobs(alpha: np.ndarray, draws: Random, inside: np.ndarray) -> np.ndarray:
    """Draw one to four ellipses or boxes with edges of random softness around places inside; float32 (H, W)."""
    drawn = np.zeros(alpha.shape, np.float32)
    for _ in range(draws.randint(1, 4)):
        place = _place(inside, draws)
        axes = tuple(max(1, round(_length(alpha, draws, 0.01, 0.2))) for _ in range(2))
        if draws.random() < 0.7:
            cv2.ellipse(drawn, place, axes, draws.uniform(0, 180), 0, 360, 1.0, -1)
        else:
            corners = cv2.boxPoints((place, (2 * axes[0], 2 * axes[1]), draws.uniform(0, 90)))
            cv2.fillPoly(drawn, [corners.astype(np.int32)], 1.0)
    return cv2.GaussianBlur(drawn, (0, 0), draws.uniform(0.3, 3))


def _alike(image: np.ndarray, draws: Random, inside: np.ndarray) -> np.ndarray:
    """Return the region of similar color around a place inside, at most half of the image; float32 (H, W)."""
    height, width = image.shape[:2]
    smooth = cv2.medianBlur(np.ascontiguousarray(image), 5)
    for _ in range(4):
        mask = np.zeros((height + 2, width + 2), np.uint8)
        reach = (draws.uniform(4, 24),) * 3
        flags = 4 | (255 << 8) | cv2.FLOODFILL_MASK_ONLY | draws.choice([0, cv2.FLOODFILL_FIXED_RANGE])
        cv2.floodFill(smooth, mask, _place(inside, draws), 0, reach, reach, flags)
        found = mask[1:-1, 1:-1] > 0
        found &= inside
        if 0.002 < found.mean() < 0.5:
            break
    closed = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return cv2.GaussianBlur(closed.astype(np.float32), (0, 0), 0.8)
