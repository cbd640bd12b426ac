"""Guided filters: a local linear model of the guide carries a map to its edges (He, Sun and Tang, TPAMI 2013)."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor


def box_mean(maps: Tensor, radius: int) -> Tensor:
    """Average (N, C, H, W) over windows of (2 radius + 1) squared, clipped at the border."""
    side = 2 * radius + 1
    maps = nnf.avg_pool2d(maps, (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return nnf.avg_pool2d(maps, (1, side), stride=1, padding=(0, radius), count_include_pad=False)


def guided_filter(guide: Tensor, target: Tensor, radius: int, eps: float) -> Tensor:
    """Filter `target` so that it is a linear function of `guide` in every window (He et al., eqs. 5 to 8).

    a = cov(guide, target) / (var(guide) + eps), b = mean(target) - a mean(guide), both averaged again over the
    windows that contain a pixel; result = mean(a) guide + mean(b).

    Args:
        guide: float (N, 1, H, W) or (N, C, H, W).
        target: float (N, C, H, W), any range.
        radius: windows are 2 radius + 1 pixels wide, cut at the border.
        eps: smallest variance of the guide that counts as an edge, in squared units of the guide.

    Returns:
        (N, C, H, W); computed in single precision for half-precision inputs.

    Example:
        >>> import torch
        >>> guide = torch.rand(1, 1, 16, 16, dtype=torch.float64)
        >>> filtered = guided_filter(guide, 2 * guide + 1, radius=2, eps=1e-9)  # linear in the guide: it stays
        >>> bool((filtered - (2 * guide + 1)).abs().max() < 1e-4)
        True
    """
    slope, offset = _coefficients(guide, target, radius, eps)
    result = box_mean(slope, radius) * _widened(guide) + box_mean(offset, radius)
    return result.to(target.dtype)


def fast_guided_filter(small_guide: Tensor, small_target: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """Enlarge `small_target` along the edges of `guide`, the layer of Wu et al., CVPR 2018 (arXiv:1803.05619).

    The coefficients of `guided_filter` at the small size, not averaged again, are enlarged bilinearly with aligned
    corners and applied to the full-size guide. (He and Sun, arXiv:1505.00996, do average them.)

    Args:
        small_guide: float (N, 1, h, w) or (N, C, h, w).
        small_target: float (N, C, h, w), any range.
        guide: float (N, 1, H, W) or (N, C, H, W), what `small_guide` was reduced from.
        radius: windows are 2 radius + 1 pixels wide at the small size, cut at the border.
        eps: smallest variance of the guide that counts as an edge, in squared units of the guide.

    Returns:
        (N, C, H, W); computed in single precision for half-precision inputs.

    Example:
        >>> import torch
        >>> guide = torch.rand(1, 1, 64, 48)
        >>> small = guide[..., ::4, ::4]
        >>> fast_guided_filter(small, small, guide, radius=1, eps=1e-4).shape
        torch.Size([1, 1, 64, 48])
    """
    slope, offset = _coefficients(small_guide, small_target, radius, eps)
    guide = _widened(guide)
    return apply_linear(slope, offset, guide, align_corners=True).to(small_target.dtype)


def apply_linear(slope: Tensor, offset: Tensor, guide: Tensor, align_corners: bool) -> Tensor:
    """Return slope guide + offset, (N, C, H, W), after enlarging both (N, C, h, w) bilinearly to the guide's size."""
    size = guide.shape[-2:]
    slope, offset = (
        nnf.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners) for maps in (slope, offset)
    )
    return slope * guide + offset


def _coefficients(guide: Tensor, target: Tensor, radius: int, eps: float) -> tuple[Tensor, Tensor]:
    """Return slope and offset of the best linear function of `guide` in the window around each pixel."""
    guide, target = _widened(guide), _widened(target)
    guide_level, target_level = (maps.mean((-2, -1), keepdim=True) for maps in (guide, target))
    # variances are small differences of large means: subtracting the mean level saves a digit in float32
    guide, target = guide - guide_level, target - target_level
    mean_guide, mean_target = box_mean(guide, radius), box_mean(target, radius)
    covariance = box_mean(guide * target, radius) - mean_guide * mean_target
    variance = box_mean(guide * guide, radius) - mean_guide * mean_guide
    slope = covariance / (variance + eps)
    return slope, mean_target + target_level - slope * (mean_guide + guide_level)


def _widened(maps: Tensor) -> Tensor:
    """Return half precision as float32: variances are small differences of large means."""
    return maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
