"""Laplacian pyramids in which losses compare mattes; the field has two, and they are not the same."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from p3m_lightning.schema import InputError


def average_pyramid(maps: Tensor, levels: int = 5) -> list[Tensor]:
    """Take `maps` apart as the P3M losses do: difference to a smoothed copy, then the average of 2 x 2 smoothed pixels.

    The 5 x 5 kernel is the normalized sum (not product) of two bells exp(-x^2), borders are repeated, and an odd last
    row or column is dropped on the way to the next level.

    Args:
        maps: float (N, C, H, W), both sides at least 2^levels.
        levels: number of differences.

    Returns:
        `levels` differences, the k-th (N, C, H / 2^k, W / 2^k), and the low-pass rest as the last entry.

    Raises:
        InputError: a side is too small.

    Example:
        >>> import torch
        >>> [tuple(level.shape[-2:]) for level in average_pyramid(torch.rand(1, 1, 32, 64), levels=3)]
        [(32, 64), (16, 32), (8, 16), (4, 8)]
    """
    _demand_side(maps, 2**levels, levels)
    bell = torch.exp(-(torch.arange(-2.0, 3.0, dtype=torch.float64) ** 2))
    kernel = bell.unsqueeze(0) + bell.unsqueeze(1)
    kernel = kernel / kernel.sum()
    pyramid = []
    for _ in range(levels):
        smooth = _filtered(maps, kernel, "replicate")
        pyramid.append(maps - smooth)
        maps = nnf.avg_pool2d(smooth, 2)
    return [*pyramid, maps]


def binomial_pyramid(maps: Tensor, levels: int) -> list[Tensor]:
    """Take `maps` apart as Burt and Adelson (1983) do: difference to the enlarged copy of every second smoothed pixel.

    The 5 x 5 kernel is the product of two binomials [1 4 6 4 1] / 16, borders are mirrored, and an odd last row or
    column is dropped before each level.

    Args:
        maps: float (N, C, H, W), both sides at least 2^(levels + 1).
        levels: number of differences.

    Returns:
        `levels` differences, the k-th (N, C, H / 2^k, W / 2^k); the low-pass rest is left out.

    Raises:
        InputError: a side is too small.

    Example:
        >>> import torch
        >>> [tuple(level.shape[-2:]) for level in binomial_pyramid(torch.rand(1, 1, 32, 64), levels=3)]
        [(32, 64), (16, 32), (8, 16)]
    """
    _demand_side(maps, 2 ** (levels + 1), levels)
    binomial = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=torch.float64) / 16
    kernel = binomial.unsqueeze(0) * binomial.unsqueeze(1)
    pyramid = []
    for _ in range(levels):
        height, width = maps.shape[-2:]
        maps = maps[..., : height - height % 2, : width - width % 2]
        small = _filtered(maps, kernel, "reflect")[..., ::2, ::2]
        spread = torch.zeros_like(maps)
        spread[..., ::2, ::2] = small
        pyramid.append(maps - _filtered(spread, 4 * kernel, "reflect"))
        maps = small
    return pyramid


def _filtered(maps: Tensor, kernel: Tensor, border: str) -> Tensor:
    """Apply one 5 x 5 kernel to every channel."""
    batch, channels, height, width = maps.shape
    planes = maps.reshape(batch * channels, 1, height, width)
    planes = nnf.conv2d(nnf.pad(planes, (2, 2, 2, 2), mode=border), kernel.to(maps).view(1, 1, 5, 5))
    return planes.view(batch, channels, height, width)


def _demand_side(maps: Tensor, least: int, levels: int) -> None:
    height, width = maps.shape[-2:]
    if min(height, width) < least:
        raise InputError(f"{height} x {width} pixels: a pyramid of {levels} levels needs sides of at least {least}")
