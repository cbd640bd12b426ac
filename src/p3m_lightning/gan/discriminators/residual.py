"""The discriminator of StyleGAN2 (Karras et al., CVPR 2020, section 4.1), residual, for any number of channels."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from p3m_lightning.gan.equalized import EqualizedConv, EqualizedLinear, activate
from p3m_lightning.schema import InputError

CLAMP = 256.0
"""Bound of the activations, so that float16 cannot overflow."""
BLUR = (0.125, 0.375, 0.375, 0.125)
"""Binomial filter before every reduction."""


class Blur(nn.Module):
    """Filter with `BLUR` in both directions.

    Args:
        padding: rows and columns of zeros on each side; the maps grow by 2 * padding - 3.
        stride: keep every `stride`-th sample.
    """

    kernel: Tensor

    def __init__(self, padding: int, stride: int = 1) -> None:
        super().__init__()
        row = torch.tensor(BLUR)
        self.register_buffer("kernel", row[:, None] * row[None, :], persistent=False)
        self.padding, self.stride = padding, stride

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H', W')."""
        kernel = self.kernel.to(maps.dtype).expand(maps.shape[1], 1, -1, -1)
        return F.conv2d(maps, kernel, padding=self.padding, stride=self.stride, groups=maps.shape[1])


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, the second of which halves the size, and a 1 x 1 convolution as the shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualizedConv(inputs, inputs, 3)
        self.blur = Blur(padding=2)
        self.second = EqualizedConv(inputs, outputs, 3, stride=2)
        self.reduce = Blur(padding=1, stride=2)
        self.skip = EqualizedConv(inputs, outputs, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, H) -> (N, outputs, H / 2, H / 2)."""
        deep = activate(self.second(self.blur(activate(self.first(maps), CLAMP))), CLAMP)
        return (deep + self.skip(self.reduce(maps))) * 0.5**0.5


class Discriminator(nn.Module):
    """Discriminator: `forward(pictures)` returns logits (N,), high for real images.

    Args:
        resolution: side of the images, a power of two from 8 up.
        colors: channels of an image, nominal range [0, 1]; 4 for RGBA.
        base_channels: a block at side s has base_channels / s channels ...
        max_channels: ... but not more than these.
        group: images over which the standard deviation of a minibatch is computed, the largest divisor of the batch up
            to this; 1 disables that feature.

    Raises:
        InputError: the resolution is not a power of two from 8 up.
    """

    def __init__(
        self, resolution: int, colors: int = 4, base_channels: int = 32768, max_channels: int = 512, group: int = 4
    ) -> None:
        super().__init__()
        if resolution < 8 or resolution & (resolution - 1):
            raise InputError(f"discriminator.resolution: {resolution} is not a power of two from 8 up")
        self.group = group
        sides = [resolution >> k for k in range(resolution.bit_length() - 2)]  # resolution, ..., 8, 4
        widths = [max(min(base_channels // side, max_channels), 1) for side in sides]
        self.entry = EqualizedConv(colors, widths[0], 1)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b) for a, b in pairwise(widths)))
        self.conv = EqualizedConv(widths[-1] + 1, widths[-1], 3)
        self.hidden = EqualizedLinear(widths[-1] * 4 * 4, widths[-1])
        self.verdict = EqualizedLinear(widths[-1], 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, colors, resolution, resolution) -> (N,)."""
        maps = activate(self.entry(2 * pictures - 1), CLAMP)
        maps = self.blocks(maps)  # (N, C, 4, 4)
        maps = torch.cat([maps, minibatch_deviation(maps, self.group)], dim=1)
        features = activate(self.conv(maps), CLAMP).flatten(1)
        return self.verdict(activate(self.hidden(features))).squeeze(1).float()


def minibatch_deviation(maps: Tensor, group: int) -> Tensor:
    """Return the mean standard deviation over a group, as a map (N, 1, H, W) (Karras et al., ICLR 2018, section 3).

    Args:
        maps: (N, C, H, W).
        group: images in a group, reduced to the largest divisor of N; 1 gives zeros.
    """
    count, _, height, width = maps.shape
    group = next(size for size in range(min(group, count), 0, -1) if count % size == 0)
    groups = maps.float().unflatten(0, (group, -1))  # every (N / group)-th image belongs to one group
    deviation = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    deviation = deviation if group > 1 else torch.zeros_like(deviation)
    return deviation.to(maps.dtype).repeat(group)[:, None, None, None].expand(-1, 1, height, width)
