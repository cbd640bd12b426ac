"""Upsampling of logits from 1/4 to full size: interpolation, guided filters, and trainable guided filters.

Every upsampler is called `upsampler(logits, images, features)`:

- logits: float (N, 1, h, w), any range;
- images: float (N, 3, H, W), the ImageNet-normalized image; the guide is the mean of its channels;
- features: float (N, F, h, w), from which the logits were computed; only `deep_guided` uses them;

and returns float (N, 1, H, W) logits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.ops.guided import apply_linear, fast_guided_filter, guided_filter
from p3m_lightning.schema import InputError


class Interpolated(nn.Module):
    """Interpolation with half-pixel centers, which ignores the image."""

    def __init__(self, mode: str):
        super().__init__()
        self.mode = mode

    def forward(self, logits: Tensor, images: Tensor, features: Tensor) -> Tensor:
        """Return full-size logits."""
        return nnf.interpolate(logits, size=images.shape[-2:], mode=self.mode, align_corners=False)


class Guided(nn.Module):
    """Bilinear enlargement, then a guided filter at full size (He et al., TPAMI 2013)."""

    def __init__(self, radius: int = 4, eps: float = 1e-4):
        super().__init__()
        self.radius = radius  # pixels at full size: as wide as `FastGuided`'s 1 at a quarter
        self.eps = eps

    def forward(self, logits: Tensor, images: Tensor, features: Tensor) -> Tensor:
        """Return full-size logits."""
        guide = images.mean(1, keepdim=True)
        logits = nnf.interpolate(logits, size=guide.shape[-2:], mode="bilinear", align_corners=False)
        return guided_filter(guide, logits, self.radius, self.eps)


class FastGuided(nn.Module):
    """Guided filter fitted at the size of the logits, applied at full size: StyleMatte as published, with defaults."""

    def __init__(self, radius: int = 1, eps: float = 1e-4):
        super().__init__()
        self.radius = radius  # pixels at the size of the logits
        self.eps = eps

    def forward(self, logits: Tensor, images: Tensor, features: Tensor) -> Tensor:
        """Return full-size logits."""
        guide, small_guide = _guides(images, logits.shape[-2:])
        return fast_guided_filter(small_guide, logits, guide, self.radius, self.eps)


class ConvGuided(nn.Module):
    """Guided filter with learned window weights and slope (Wu et al., CVPR 2018, arXiv:1803.05619)."""

    def __init__(self, radius: int = 1, width: int = 32):
        super().__init__()
        self.box_filter = nn.Conv2d(1, 1, 3, padding=radius, dilation=radius, bias=False)
        nn.init.ones_(self.box_filter.weight)
        self.slope = _slope_regressor(2, width, 1, bias=False)

    def forward(self, logits: Tensor, images: Tensor, features: Tensor) -> Tensor:
        """Return full-size logits."""
        guide, small_guide = _guides(images, logits.shape[-2:])
        with torch.autocast(images.device.type, enabled=False):  # variances cancel in half precision
            return _learned_filter(
                self._mean, self.slope, small_guide, logits.to(guide.dtype), guide, align_corners=True
            )

    def _mean(self, maps: Tensor) -> Tensor:
        return self.box_filter(maps) / self.box_filter(torch.ones_like(maps[:1]))


class DeepGuidedRefiner(nn.Module):
    """Guided filter with a learned window, and a slope that depends on hidden features.

    The refiner of Robust Video Matting (Lin et al., WACV 2022, arXiv:2108.11515) after Wu et al.; windows are zero
    outside the image and not renormalized.
    """

    def __init__(self, channels: int = 4, hidden: int = 16):
        super().__init__()
        self.box_filter = nn.Conv2d(channels, channels, 3, padding=1, bias=False, groups=channels)
        nn.init.constant_(self.box_filter.weight, 1 / 9)
        self.conv = _slope_regressor(2 * channels + hidden, hidden, channels, bias=True)

    def forward(self, small_guide: Tensor, small_target: Tensor, hidden: Tensor, guide: Tensor) -> Tensor:
        """Enlarge `small_target` along the edges of `guide`, channel by channel.

        Args:
            small_guide: float (N, C, h, w).
            small_target: float (N, C, h, w), any range.
            hidden: float (N, hidden, h, w).
            guide: float (N, C, H, W), what `small_guide` was reduced from.

        Returns:
            (N, C, H, W).
        """
        return _learned_filter(
            self.box_filter, self.conv, small_guide, small_target, guide, hidden=hidden, align_corners=False
        )


class DeepGuided(nn.Module):
    """`DeepGuidedRefiner` on the logits, with a projection of the network's features as hidden features."""

    def __init__(self, features: int, hidden: int = 16):
        super().__init__()
        self.project = nn.Conv2d(features, hidden, 1)
        self.refine = DeepGuidedRefiner(channels=1, hidden=hidden)

    def forward(self, logits: Tensor, images: Tensor, features: Tensor) -> Tensor:
        """Return full-size logits."""
        guide, small_guide = _guides(images, logits.shape[-2:])
        with torch.autocast(images.device.type, enabled=False):  # variances cancel in half precision
            hidden = self.project(features.to(guide.dtype))
            return self.refine(small_guide, logits.to(guide.dtype), hidden, guide)


class Choice(NamedTuple):
    """An entry of the table of upsamplers."""

    build: Callable[..., nn.Module]
    fixed: Mapping[str, object] = MappingProxyType({})  # arguments that the name implies


UPSAMPLERS: dict[str, Choice] = {
    "bilinear": Choice(Interpolated, {"mode": "bilinear"}),
    "bicubic": Choice(Interpolated, {"mode": "bicubic"}),
    "guided": Choice(Guided),
    "fast_guided": Choice(FastGuided),
    "conv_guided": Choice(ConvGuided),
    "deep_guided": Choice(DeepGuided),
}
LEARNABLE = ("conv_guided", "deep_guided")  # upsamplers with parameters


def create_upsampler(name: str, features: int, **options: float) -> nn.Module:
    """Build one of `UPSAMPLERS`.

    Args:
        name: key of `UPSAMPLERS`.
        features: channels of the feature map that comes with the logits.
        options: arguments of the upsampler's class, such as `radius` and `eps`.

    Raises:
        InputError: no such upsampler, or an option that it does not have.
    """
    if name not in UPSAMPLERS:
        raise InputError(f"upsampler={name}: no such upsampler; choose one of {', '.join(UPSAMPLERS)}")
    build, fixed = UPSAMPLERS[name]
    parameters = inspect.signature(build).parameters
    accepted = [key for key in parameters if key != "features" and key not in fixed]
    for key in options:
        if key not in accepted:
            raise InputError(
                f"upsampler={name}: {name} takes no option {key}; it takes {', '.join(accepted) or 'none'}"
            )
    return build(**fixed, **({"features": features} if "features" in parameters else {}), **options)


def _guides(images: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the gray guide (N, 1, H, W) and its bicubic reduction to `size` with aligned corners."""
    guide = images.mean(1, keepdim=True)
    return guide, nnf.interpolate(guide, size=size, mode="bicubic", align_corners=True)


def _slope_regressor(inputs: int, width: int, outputs: int, bias: bool) -> nn.Sequential:
    """Return 1 x 1 convolutions from window statistics to the slope of the linear model."""
    layers: list[nn.Module] = []
    for channels in (inputs, width):
        layers += [nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(width, outputs, 1, bias=bias))


def _learned_filter(
    mean: Callable[[Tensor], Tensor],
    slope_regressor: nn.Module,
    small_guide: Tensor,
    small_target: Tensor,
    guide: Tensor,
    *,
    align_corners: bool,
    hidden: Tensor | None = None,
) -> Tensor:
    """Apply `fast_guided_filter` with a given window mean, and a slope regressed from covariance and variance."""
    mean_guide, mean_target = mean(small_guide), mean(small_target)
    covariance = mean(small_guide * small_target) - mean_guide * mean_target
    variance = mean(small_guide * small_guide) - mean_guide * mean_guide
    statistics = [covariance, variance] if hidden is None else [covariance, variance, hidden]
    slope = slope_regressor(torch.cat(statistics, 1))
    return apply_linear(slope, mean_target - slope * mean_guide, guide, align_corners)
