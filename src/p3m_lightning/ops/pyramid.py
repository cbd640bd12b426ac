"""Laplacian pyramids for losses; two different ones are in use in the field."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor

from p3m_lightning.schema import InputError

Taps = tuple[float, float, float]
"""Weights of a symmetric kernel of five: its ends, their neighbors, the center."""

_SHARE = 1 / (10 * (1 + 2 * math.exp(-1) + 2 * math.exp(-4)))  # the sum of two Gaussians over a 5 x 5 square is one
BELL: Taps = (math.exp(-4) * _SHARE, math.exp(-1) * _SHARE, _SHARE)
BOX: Taps = (1.0, 1.0, 1.0)
BINOMIAL: Taps = (1 / 16, 4 / 16, 6 / 16)


def average_pyramid(maps: Tensor, levels: int = 5) -> list[Tensor]:
    """Decompose `maps` as P3M's losses do: difference from a smoothed copy, then the average of 2 x 2 smoothed pixels.

    The 5 x 5 kernel is the normalized sum (not product) of two Gaussians exp(-x^2), borders are repeated, and an odd
    last row or column is dropped on the way to the next level.

    Args:
        maps: float (N, C, H, W), both sides at least 2^levels.
        levels: number of differences.

    Returns:
        `levels` differences, the k-th (N, C, H / 2^k, W / 2^k), and the low-pass residual as the last entry.

    Raises:
        InputError: a side is too small.

    Example:
        >>> import torch
        >>> [tuple(level.shape[-2:]) for level in average_pyramid(torch.rand(1, 1, 32, 64), levels=3)]
        [(32, 64), (16, 32), (8, 16), (4, 8)]
    """
    _demand_side(maps, 2**levels, levels)
    pyramid = []
    for _ in range(levels):
        padded = nnf.pad(maps, (2, 2, 2, 2), mode="replicate")
        # the sum is separable term by term: a Gaussian down and a box across, and vice versa
        smooth = _across(_down(padded, BELL), BOX) + _across(_down(padded, BOX), BELL)
        pyramid.append(maps - smooth)
        maps = nnf.avg_pool2d(smooth, 2)
    return [*pyramid, maps]


def binomial_pyramid(maps: Tensor, levels: int) -> list[Tensor]:
    """Decompose `maps` after Burt and Adelson (1983): difference from the enlarged copy of every second smoothed pixel.

    The 5 x 5 kernel is the product of two binomials [1 4 6 4 1] / 16, borders are mirrored, and an odd last row or
    column is dropped before each level.

    Args:
        maps: float (N, C, H, W), both sides at least 2^(levels + 1).
        levels: number of differences.

    Returns:
        `levels` differences, the k-th (N, C, H / 2^k, W / 2^k); the low-pass residual is left out.

    Raises:
        InputError: a side is too small.

    Example:
        >>> import torch
        >>> [tuple(level.shape[-2:]) for level in binomial_pyramid(torch.rand(1, 1, 32, 64), levels=3)]
        [(32, 64), (16, 32), (8, 16)]
    """
    _demand_side(maps, 2 ** (levels + 1), levels)
    pyramid = []
    for _ in range(levels):
        height, width = maps.shape[-2:]
        maps = maps[..., : height - height % 2, : width - width % 2]
        small = _binomial(maps)[..., ::2, ::2]
        spread = torch.zeros_like(maps)
        spread[..., ::2, ::2] = small
        pyramid.append(maps - 4 * _binomial(spread))
        maps = small
    return pyramid


def _binomial(maps: Tensor) -> Tensor:
    padded = nnf.pad(maps, (2, 2, 2, 2), mode="reflect")
    return _across(_down(padded, BINOMIAL), BINOMIAL)


def _down(maps: Tensor, weights: Taps) -> Tensor:
    """Filter (N, C, H + 4, W) along its columns with a symmetric kernel of five, faster than by convolution."""
    outer, inner, center = weights
    rows = maps.shape[-2] - 4
    above, before, here, after, below = (maps.narrow(-2, k, rows) for k in range(5))
    return outer * (above + below) + inner * (before + after) + center * here


def _across(maps: Tensor, weights: Taps) -> Tensor:
    """Filter (N, C, H, W + 4) along its rows, as `_down` does."""
    outer, inner, center = weights
    columns = maps.shape[-1] - 4
    first, before, here, after, last = (maps.narrow(-1, k, columns) for k in range(5))
    return outer * (first + last) + inner * (before + after) + center * here


def _demand_side(maps: Tensor, least: int, levels: int) -> None:
    height, width = maps.shape[-2:]
    if min(height, width) < least:
        raise InputError(f"{height} x {width} pixels: a pyramid of {levels} levels needs sides of at least {least}")
