"""Losses on the final matte, for any network: absolute, squared, Laplacian, gradient and composition differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor

from p3m_lightning.losses.base import Loss, colors, require_one_shape
from p3m_lightning.ops.matting import composite, constant
from p3m_lightning.ops.pyramid import average_pyramid
from p3m_lightning.schema import UNKNOWN, InputError, MattingOutput, Sample

EPSILON = 1e-6  # sqrt(d^2 + EPSILON^2) replaces |d| in the P3M, GFM and DIM losses


def alpha_loss(alpha: Tensor, target: Tensor, region: Tensor | None = None) -> Tensor:
    """Compare mattes by sqrt(d^2 + 1e-12), the smooth absolute difference of DIM (Xu et al. 2017, eq. 1) and P3M.

    Args:
        alpha: (N, 1, H, W) in [0, 1].
        target: the same.
        region: bool (N, 1, H, W); None for the whole image.

    Returns:
        Scalar: the mean, or with a region the sum over its pixels divided by their number + 1, as released with P3M
        (every pixel outside still adds 1e-6 to that sum).

    Example:
        >>> import torch
        >>> alpha_loss(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.5))
        tensor(0.5000)
    """
    require_one_shape({"alpha": alpha, "target": target, "region": region})
    if region is None:
        return _smooth_abs(alpha - target).mean()
    return _smooth_abs((alpha - target) * region).sum() / (region.sum() + 1)


def laplacian_loss(alpha: Tensor, target: Tensor, region: Tensor | None = None) -> Tensor:
    """Compare mattes in P3M's pyramid: sum over 5 levels and the residual of the mean absolute difference.

    Args:
        alpha: (N, 1, H, W) in [0, 1], both sides at least 32.
        target: the same.
        region: bool (N, 1, H, W) by which both mattes are multiplied first; None for the whole image.

    Returns:
        Scalar; not divided by the area of the region.

    Example:
        >>> import torch
        >>> matte = torch.rand(1, 1, 64, 64)
        >>> laplacian_loss(matte, matte) < 1e-4
        tensor(True)
    """
    require_one_shape({"alpha": alpha, "target": target, "region": region})
    difference = alpha - target if region is None else (alpha - target) * region
    levels = average_pyramid(difference)  # linear: the difference of two pyramids is that of their mattes
    return sum((level.abs().mean() for level in levels), alpha.new_zeros(()))


def composition_loss(
    alpha: Tensor,
    image: Tensor,
    foreground: Tensor,
    background: Tensor,
    scale: float | Sequence[float],
    region: Tensor | None = None,
) -> Tensor:
    """Compare the image with the composite of foreground and background by a matte (Xu et al. 2017, eq. 2).

    Args:
        alpha: (N, 1, H, W) in [0, 1].
        image: (N, 3, H, W), RGB in [0, 1]; so are `foreground` and `background`.
        scale: factor on color differences, one for all channels or one for each; 1 / std of a normalization makes
            this the loss on normalized colors.
        region: bool (N, 1, H, W); None for the whole image.

    Returns:
        Scalar: sum of sqrt(d^2 + 1e-12) over pixels and channels by the number of pixels (in the region: + 1).

    Example:
        >>> import torch
        >>> image = foreground = torch.ones(1, 3, 4, 4)
        >>> background = torch.zeros(1, 3, 4, 4)
        >>> composition_loss(torch.full((1, 1, 4, 4), 0.5), image, foreground, background, scale=1.0)
        tensor(1.5000)
    """
    layers = {"image": image, "foreground": foreground, "background": background}
    planes = {name: layer[:, :1] for name, layer in layers.items()}
    require_one_shape({"alpha": alpha, "region": region, **planes})
    scales = scale if isinstance(scale, Iterable) else [scale]
    factor = constant(image, [float(one) for one in scales]).view(1, -1, 1, 1)
    difference = (composite(foreground, background, alpha) - image) * factor
    if region is None:
        return _smooth_abs(difference).sum() / alpha.numel()
    return _smooth_abs(difference * region).sum() / (region.sum() + 1)


def mrsd_loss(alpha: Tensor, target: Tensor, region: Tensor | None = None) -> Tensor:
    """Compare mattes by the mean of sqrt(d^2 + 1e-6) over all pixels or those of `region`, as PaddleSeg Matting does.

    Args:
        alpha: (N, 1, H, W) in [0, 1].
        target: the same.
        region: bool (N, 1, H, W); pixels outside do not count. None for the whole image.

    Example:
        >>> import torch
        >>> mrsd_loss(torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.5))
        tensor(0.5000)
    """
    require_one_shape({"alpha": alpha, "target": target, "region": region})
    distance = torch.sqrt((alpha - target) ** 2 + 1e-6)
    return distance.mean() if region is None else (distance * region).sum() / (region.sum() + 1e-6)


def gradient_loss(alpha: Tensor, target: Tensor, region: Tensor | None = None) -> Tensor:
    """Compare the lengths of Sobel gradients of mattes by their mean absolute difference, as PaddleSeg Matting does.

    Args:
        alpha: (N, 1, H, W) in [0, 1].
        target: the same.
        region: bool (N, 1, H, W) by which both mattes are multiplied first, and by whose size the sum is divided;
            None for the whole image.

    Example:
        >>> import torch
        >>> step = torch.zeros(1, 1, 8, 8)
        >>> step[..., 4:] = 1
        >>> gradient_loss(step, step) < 1e-4
        tensor(True)
    """
    require_one_shape({"alpha": alpha, "target": target, "region": region})
    if region is None:
        return nnf.l1_loss(_slope(alpha), _slope(target))
    return (_slope(alpha * region) - _slope(target * region)).abs().sum() / (region.sum() + 1e-6)


def sobel(maps: Tensor, border: str) -> tuple[Tensor, Tensor]:
    """Return the horizontal and vertical Sobel derivatives, 8 for a unit slope, of (N, 1, H, W) maps.

    `border` is a padding mode of `torch.nn.functional.pad`.
    """
    across = constant(maps, [-1, 0, 1, -2, 0, 2, -1, 0, 1]).view(3, 3)
    kernels = torch.stack([across, across.T]).unsqueeze(1)
    both = nnf.conv2d(nnf.pad(maps, (1, 1, 1, 1), mode=border), kernels)
    return both[:, :1], both[:, 1:]


def _slope(maps: Tensor) -> Tensor:
    dx, dy = sobel(maps, "replicate")
    return torch.sqrt((dx / 8) ** 2 + (dy / 8) ** 2 + 1e-6)


def _smooth_abs(difference: Tensor) -> Tensor:
    return torch.sqrt(difference**2 + EPSILON**2)


TERMS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "alpha": alpha_loss,
    "laplacian": laplacian_loss,
    "mrsd": mrsd_loss,
    "gradient": gradient_loss,
}


class AlphaLoss(Loss):
    """Selected terms on the final matte, for networks that return only that and for those that take a trimap.

    Args:
        terms: names from `TERMS`, or "composition".
        region: "whole" image, or "unknown" for the unknown region of the trimap only.
        color_scale: factor on color differences in the composition term; 1/3 turns sums over channels into means.

    Raises:
        InputError: an unknown term or region.
    """

    def __init__(
        self, terms: Iterable[str] = ("alpha", "laplacian"), region: str = "whole", color_scale: float = 1 / 3
    ) -> None:
        self.names = tuple(terms)
        known = (*TERMS, "composition")
        unknown = sorted(set(self.names) - set(known))
        if unknown:
            raise InputError(f"loss.function.terms: no term {', '.join(unknown)}; choose from {', '.join(known)}")
        if region not in ("whole", "unknown"):
            raise InputError(f"loss.function.region: {region!r} is neither 'whole' nor 'unknown'")
        self.region = region
        self.color_scale = color_scale

    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the selected terms."""
        region = batch["trimap"] == UNKNOWN if self.region == "unknown" else None
        result = {name: TERMS[name](output.alpha, batch["alpha"], region) for name in self.names if name in TERMS}
        if "composition" in self.names:
            result["composition"] = composition_loss(output.alpha, *colors(batch), self.color_scale, region)
        return result
