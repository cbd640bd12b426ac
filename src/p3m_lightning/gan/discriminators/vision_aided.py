"""Vision-aided discriminator (Kumari et al., CVPR 2022): trained heads on frozen features of composed portraits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from p3m_lightning.gan.discriminators.features import FrozenFeatures
from p3m_lightning.gan.equalized import EqualizedConv, activate


class VisionAidedDiscriminator(nn.Module):
    """Discriminator of RGB on frozen features: `forward(pictures)` returns logits (N, levels), high for real images.

    Args:
        features: frozen extractor; it does not learn and is not part of the parameters that require a gradient.
        width: channels inside a head.
    """

    def __init__(self, features: FrozenFeatures, width: int = 64) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ModuleList(Head(channels, width) for channels in features.channels)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) RGB in [0, 1] -> (N, levels)."""
        maps = self.features(pictures)
        logits = [head(level) for head, level in zip(self.heads, maps, strict=True)]
        return torch.stack(logits, dim=1).float()


class Head(nn.Module):
    """A logit for each position of one feature map, averaged.

    Args:
        channels: of the feature map.
        width: channels inside.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels, affine=False)  # frozen features have any scale
        self.conv = EqualizedConv(channels, width, 3)
        self.verdict = EqualizedConv(width, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N,)."""
        return self.verdict(activate(self.conv(self.norm(maps)))).mean(dim=(1, 2, 3))
