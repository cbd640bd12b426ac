"""Windows of training crops: the draws of P3M's loader, in both generations."""

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
TRIES = 200  # until unknown pixels are so rare that the trimap of the whole matte is quicker


class Window(NamedTuple):
    """A rectangle of an image in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns to index an array (H, W, ...) with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def check_rule(rule: str) -> str:
    """Return `rule`, one of RULES.

    Raises:
        InputError: another word.
    """
    if str(rule) not in RULES:
        raise InputError(f"rule: {rule!r} is not one of {', '.join(RULES)}")
    return str(rule)


def choose_side(shape: tuple[int, int], sides: Sequence[int], rule: str, generator: np.random.Generator) -> int:
    """Draw the side of the square window.

    A side that does not fit (2021: that is not strictly smaller than the shorter side of the image) is replaced by the
    smallest of `sides`, and where that does not fit either, by the shorter side of the image; the published code fails
    there.

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
    touch the bottom or right border are never drawn. 2024: the drawn pixel is the center, and the window is pushed
    back into the image. Where no unknown pixel can be drawn, any pixel is.

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
    """Draw one of the unknown pixels above and left of `bounds`, all alike; None where there is none.

    The trimap of the whole matte would take longer than all the rest of a sample. So pixels are drawn among the blocks
    that may hold unknown ones, each is looked at under the structuring element alone, and the first unknown one is
    taken: every unknown pixel is as likely as any other.

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
    """Top left corners (N, 2) of the blocks within the kernel's reach of which the matte is not all 0 nor all 255."""
    reach = np.ones(2 * (1 + 2 * math.ceil(kernel // 2 / BLOCK),), np.uint8)
    nothing = cv2.dilate(_by_block(alpha, np.maximum), reach) == 0
    everything = cv2.erode(_by_block(alpha, np.minimum), reach) == np.iinfo(alpha.dtype).max
    rows, columns = (math.ceil(bound / BLOCK) for bound in bounds)
    return np.argwhere(~(nothing | everything)[:rows, :columns]) * BLOCK


def _by_block(alpha: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """Largest or smallest value of every block of BLOCK x BLOCK pixels; those at the border may be cut."""
    for _ in range(2):  # rows, then columns of the transposed
        whole = len(alpha) // BLOCK * BLOCK
        blocks = extreme.reduce(alpha[:whole].reshape(-1, BLOCK, alpha.shape[1]), axis=1)
        cut = [extreme.reduce(alpha[whole:], axis=0)] if whole < len(alpha) else []
        alpha = np.ascontiguousarray(np.vstack([blocks, *cut]).T)
    return alpha


def _is_unknown(alpha: np.ndarray, kernel: int, row: int, column: int) -> bool:
    """Tell whether the structuring element, laid at a pixel, covers more than 0 only or 255 only."""
    top, left = row - kernel // 2, column - kernel // 2
    inside = tuple(slice(max(0, -at), max(0, -at) + kernel) for at in (top, left))
    seen = alpha[max(top, 0) : top + kernel, max(left, 0) : left + kernel]
    seen = seen[elliptic_kernel(kernel)[inside][: seen.shape[0], : seen.shape[1]] > 0]
    return bool(seen.max() > 0 and seen.min() < np.iinfo(alpha.dtype).max)
