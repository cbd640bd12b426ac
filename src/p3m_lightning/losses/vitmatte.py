"""The loss of ViTMatte (Yao et al. 2024), for networks that take a trimap."""

from __future__ import annotations

import torch.nn.functional as nnf
from torch import Tensor

from p3m_lightning.losses.alpha import sobel
from p3m_lightning.losses.base import Loss, require_one_shape
from p3m_lightning.ops.pyramid import binomial_pyramid
from p3m_lightning.schema import UNKNOWN, MattingOutput, Sample


def region_mean(values: Tensor, region: Tensor) -> Tensor:
    """Return the mean of `values` over the bool `region`, 0 for an empty one; (N, 1, H, W) each."""
    return (values * region).sum() / region.sum().clamp(min=1)


def weighted_laplacian_loss(alpha: Tensor, target: Tensor, levels: int = 5) -> Tensor:
    """Compare mattes in binomial levels, the k-th (from 0) weighted by 2^k / levels, as RVM (Lin et al. 2022) does.

    Args:
        alpha: (N, 1, H, W) in [0, 1], both sides at least 2^(levels + 1).
        target: the same.
        levels: number of levels; the residual is left out.

    Example:
        >>> import torch
        >>> matte = torch.rand(1, 1, 64, 64)
        >>> weighted_laplacian_loss(matte, matte)
        tensor(0.)
    """
    require_one_shape({"alpha": alpha, "target": target})
    pairs = zip(binomial_pyramid(alpha, levels), binomial_pyramid(target, levels), strict=True)
    return sum(2**k * nnf.l1_loss(ours, theirs) for k, (ours, theirs) in enumerate(pairs)) / levels


def flat_gradient_loss(alpha: Tensor, target: Tensor, region: Tensor, flatness: float = 0.01) -> Tensor:
    """Compare Sobel derivatives in a region, and keep those of the prediction small (Dai et al. 2022).

    Args:
        alpha: (N, 1, H, W) in [0, 1].
        target: the same.
        region: bool (N, 1, H, W).
        flatness: weight of the prediction's own derivatives.

    Returns:
        Scalar: mean over the region of |dx a - dx t| + |dy a - dy t| + flatness (|dx a| + |dy a|).

    Example:
        >>> import torch
        >>> flat = torch.zeros(1, 1, 8, 8)
        >>> flat_gradient_loss(flat, flat, flat == 0)
        tensor(0.)
    """
    require_one_shape({"alpha": alpha, "target": target, "region": region})
    pairs = list(zip(sobel(alpha, "constant"), sobel(target, "constant"), strict=True))
    (dx, true_dx), (dy, true_dy) = pairs
    difference = (dx - true_dx).abs() + (dy - true_dy).abs()
    size = dx.abs() + dy.abs()
    return region_mean(difference + flatness * size, region)


class ViTMatteLoss(Loss):
    """`unknown` and `known` absolute errors, each a mean over its own region, `laplacian` and `gradient` penalty.

    Computed on the network's own matte (`detail`), since known pixels are replaced in the final one.
    """

    names = ("unknown", "known", "laplacian", "gradient")

    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the four terms."""
        alpha = output.alpha if output.detail is None else output.detail
        target, unknown = batch["alpha"], batch["trimap"] == UNKNOWN
        error = (alpha - target).abs()
        return {
            "unknown": region_mean(error, unknown),
            "known": region_mean(error, ~unknown),
            "laplacian": weighted_laplacian_loss(alpha, target),
            "gradient": flat_gradient_loss(alpha, target, unknown),
        }
