"""Windows of training crops, drawn as in P3M's loader, in both of its versions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from p3m_lightning.ops import elliptic_kernel, trimap_from_alpha
from p3m_lightning.schema import UNKNOWN, InputError

RULES = ("2021", "2024")
BLOCK = 16
TRIES = 200  # then unknown pixels are so rare that the trimap of the whole matte is faster


class Window(NamedTuple):
    """A rectangle of an image in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return rows and columns to index an array (H, W, ...) with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def check_rule(rule: str) -> str:
    """Return `rule`, one of RULES.

    Raises:
        InputError: it is not one of RULES.
    """
    if str(rule) not in RULES:
        raise InputError(f"rule: {rule!r} is not one of {', '.join(RULES)}")
    return str(rule)


def choose_side(shape: tuple[int, int], sides: Sequence[int], rule: str, generator: np.random.Generator) -> int:
    """Draw the side of the square window.

    A side that does not fit (2021: that is not strictly smaller than the shorter side of the image) is replaced by the
    smallest of `sides`, and if that does not fit either, by the shorter side of the image, where the published code
    fails.

    Args:
        shape: height and width of the image.
        sides: sides to choose from with equal probability.
        rule: "2021" or "2024".
        generator: source of the draw.
    """
    shorter = min(shape)
    fits = shorter - 1 if rule == "2021" else shorter
    side = int(generator.choice(sides))
    if side > fits:
        side = min(sides)
    return min(side, shorter)


def choose_window(
    alpha: np.ndarray, side: int, kernel: int | None, rule: str, generator: np.random.Generator
) -> Window:
    """Draw the place of a window of `side` x `side`.

    2021: the drawn pixel is the TOP LEFT corner, so an unknown pixel drawn on purpose lies in the corner; windows that
    touch the bottom or right border are never drawn. 2024: the drawn pixel is the center, and the window is shifted
    back into the image. If there is no unknown pixel, any pixel is drawn.

    Args:
        alpha: the matte, uint8 or uint16 (H, W), full range.
        side: at most the shorter side of the image.
        kernel: draw among the unknown pixels of the trimap made with this kernel size; None draws among all pixels.
        rule: "2021" or "2024".
        generator: source of the draw.
    """
    room = (alpha.shape[0] - side, alpha.shape[1] - side)
    bounds = (max(room[0], 1), max(room[1], 1)) if rule == "2021" else alpha.shape
    pixel = draw_unknown(alpha, kernel, bounds, generator) if kernel else None
    row, column = pixel or (int(generator.integers(bounds[0])), int(generator.integers(bounds[1])))
    if rule == "2024":
        row, column = (min(max(at - side // 2, 0), most) for at, most in zip((row, column), room, strict=True))
    return Window(row, column, side, side)


def draw_unknown(
    alpha: np.ndarray, kernel: int, bounds: tuple[int, int], generator: np.random.Generator
) -> tuple[int, int] | None:
    """Draw one of the unknown pixels above and left of `bounds`, uniformly; None if there are none.

    The trimap of the whole matte would take longer than the rest of the sample. So pixels are drawn from the blocks
    that may contain unknown ones, each is tested under the structuring element alone, and the first unknown one is
    returned: every unknown pixel is equally likely.

    Args:
        alpha: the matte, uint8 or uint16 (H, W), full range.
        kernel: size of the structuring element of the trimap.
        bounds: rows and columns to draw among, from the top left.
        generator: source of the draw.
    """
    blocks = _mixed_blocks(alpha, kernel, bounds)
    if not len(blocks):
        return None
    for _ in range(TRIES):
        top, left = blocks[generator.integers(len(blocks))]
        row, column = int(top + generator.integers(BLOCK)), int(left + generator.integers(BLOCK))
        if row < bounds[0] and column < bounds[1] and _is_unknown(alpha, kernel, row, column):
            return row, column
    candidates = np.flatnonzero(trimap_from_alpha(alpha, kernel)[: bounds[0], : bounds[1]] == UNKNOWN)
    return divmod(int(generator.choice(candidates)), bounds[1]) if candidates.size else None


def _mixed_blocks(alpha: np.ndarray, kernel: int, bounds: tuple[int, int]) -> np.ndarray:
    """Return the top left corners (N, 2) of blocks within whose kernel reach the matte is neither all 0 nor all 255."""
    reach = np.ones(2 * (1 + 2 * math.ceil(kernel // 2 / BLOCK),), np.uint8)
    nothing = cv2.dilate(_by_block(alpha, np.maximum), reach) == 0
    everything = cv2.erode(_by_block(alpha, np.minimum), reach) == np.iinfo(alpha.dtype).max
    rows, columns = (math.ceil(bound / BLOCK) for bound in bounds)
    return np.argwhere(~(nothing | everything)[:rows, :columns]) * BLOCK


def _by_block(alpha: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """Return the largest or smallest value of every BLOCK x BLOCK block; those at the border may be incomplete."""
    for _ in range(2):  # rows, then columns of the transposed
        whole = len(alpha) // BLOCK * BLOCK
        blocks = extreme.reduce(alpha[:whole].reshape(-1, BLOCK, alpha.shape[1]), axis=1)
        cut = [extreme.reduce(alpha[whole:], axis=0)] if whole < len(alpha) else []
        alpha = np.ascontiguousarray(np.vstack([blocks, *cut]).T)
    return alpha


def _is_unknown(alpha: np.ndarray, kernel: int, row: int, column: int) -> bool:
    """Return whether the structuring element at a pixel covers anything but all 0 or all 255."""
    top, left = row - kernel // 2, column - kernel // 2
    inside = tuple(slice(max(0, -at), max(0, -at) + kernel) for at in (top, left))
    seen = alpha[max(top, 0) : top + kernel, max(left, 0) : left + kernel]
    seen = seen[elliptic_kernel(kernel)[inside][: seen.shape[0], : seen.shape[1]] > 0]
    return bool(seen.max() > 0 and seen.min() < np.iinfo(alpha.dtype).max)
