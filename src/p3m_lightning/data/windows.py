"""Where a training crop lies: the draws of P3M's loader, in both generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from p3m_lightning.schema import UNKNOWN, InputError

RULES = ("2021", "2024")


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


def choose_window(trimap: np.ndarray, side: int, on_unknown: bool, rule: str, generator: np.random.Generator) -> Window:
    """Draw the place of a window of `side` x `side`.

    2021: the drawn pixel is the TOP LEFT corner, so an unknown pixel drawn on purpose lies in the corner; windows that
    touch the bottom or right border are never drawn. 2024: the drawn pixel is the center, and the window is pushed
    back into the image. Without an unknown pixel to draw, any pixel is.

    Args:
        trimap: (H, W) of trimap classes.
        side: at most the shorter side of the image.
        on_unknown: draw among the unknown pixels only.
        rule: "2021" or "2024".
        generator: source of the draw.
    """
    height, width = trimap.shape
    room = (height - side, width - side)
    if rule == "2021":
        rows, columns = max(room[0], 1), max(room[1], 1)
    else:
        rows, columns = height, width
    row, column = _draw_pixel(trimap[:rows, :columns], on_unknown, generator)
    if rule == "2024":
        row, column = (min(max(at - side // 2, 0), most) for at, most in zip((row, column), room, strict=True))
    return Window(row, column, side, side)


def _draw_pixel(trimap: np.ndarray, on_unknown: bool, generator: np.random.Generator) -> tuple[int, int]:
    if on_unknown:
        candidates = np.flatnonzero(trimap == UNKNOWN)
        if candidates.size:
            row, column = divmod(int(generator.choice(candidates)), trimap.shape[1])
            return row, column
    return int(generator.integers(trimap.shape[0])), int(generator.integers(trimap.shape[1]))
