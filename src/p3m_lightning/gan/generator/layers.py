"""Modulated convolution and the alias-free layer around it (StyleGAN2, section 2.2; StyleGAN3, sections 2.2 and 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from p3m_lightning.gan.equalized import EqualizedLinear, activate
from p3m_lightning.gan.generator.filters import downsample, lowpass, radial_lowpass, recenter, upsample
from p3m_lightning.gan.generator.schedule import Band

CLAMP = 256.0
"""Bound of the activations, so that float16 cannot overflow."""
TAPS = 6
"""Taps of a filter for each sample of its lower rate."""
NONLINEAR_FACTOR = 2
"""The nonlinearity acts at this multiple of the higher of the two sampling rates."""


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style.

    Demodulation and the division by the input's magnitude act on channels, so that one weight serves the whole batch.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel.
        latent: features of w.
        demodulate: scale each output channel so that unit variance stays unit variance.
        half_life: of the running mean of the input's squared magnitude, in images.
    """

    magnitude: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, latent: int, demodulate: bool, half_life: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.style = EqualizedLinear(latent, inputs, bias=1.0)
        self.register_buffer("magnitude", torch.ones(()))  # running mean of the squared input
        self.demodulate, self.half_life = demodulate, half_life

    def forward(self, maps: Tensor, w: Tensor, update: bool = False) -> Tensor:
        """(N, inputs, H, W) and (N, latent) -> (N, outputs, H, W) with a border of 1 more for a kernel of 3."""
        if update:
            decay = 0.5 ** (len(maps) / self.half_life)
            self.magnitude.lerp_(maps.detach().float().square().mean(), 1 - decay)
        weight: Tensor = self.weight
        style = self.style(w)
        if self.demodulate:  # the scale of both cancels: keep them in the precise range of float16
            weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
            style = style * style.square().mean().rsqrt()
            gain = (style.square() @ weight.square().sum(dim=(2, 3)).T + 1e-8).rsqrt()
        else:
            gain = style.new_full((1, 1), weight[0].numel() ** -0.5)
        gain = gain * self.magnitude.rsqrt()
        maps = F.conv2d(maps * style[:, :, None, None], weight, padding=weight.shape[-1] - 1)
        return maps * gain[:, :, None, None].to(maps.dtype)


class AliasFreeLayer(nn.Module):
    """Modulated convolution, then the nonlinearity between an up- and a downsampling filter.

    Args:
        before: band of the input.
        after: band of the output.
        kernel: side of the convolution's kernel: 3 in configuration T, 1 in R.
        radial: use a radially symmetric downsampling filter, except at critical sampling, where the spectrum is square.
        latent: features of w.
        half_life: see `ModulatedConv`.
    """

    up_filter: Tensor
    down_filter: Tensor

    def __init__(self, before: Band, after: Band, kernel: int, radial: bool, latent: int, half_life: float) -> None:
        super().__init__()
        self.conv = ModulatedConv(before.channels, after.channels, kernel, latent, demodulate=True, half_life=half_life)
        self.bias = nn.Parameter(torch.zeros(after.channels))
        rate = NONLINEAR_FACTOR * max(before.rate, after.rate)
        self.up, self.down = rate // before.rate, rate // after.rate
        self.size = after.size
        down = radial_lowpass if radial and not after.critical else lowpass
        self.register_buffer("up_filter", lowpass(TAPS * self.up, before.cutoff, before.half_width, rate))
        self.register_buffer("down_filter", down(TAPS * self.down, after.cutoff, after.half_width, rate))

    def forward(self, maps: Tensor, w: Tensor, update: bool = False) -> Tensor:
        """(N, C, H, H) of the band before -> (N, C', size, size) of the band after."""
        maps = self.conv(maps, w, update) + self.bias[:, None, None]
        fine = self.size * self.down + (TAPS - 1) * self.down  # samples that the downsampling filter reaches
        maps = activate(recenter(upsample(maps, self.up_filter, self.up), fine), CLAMP)
        return downsample(maps, self.down_filter, self.down)


class ColorLayer(nn.Module):
    """The last layer: a modulated 1 x 1 convolution to the color channels, linear, without demodulation."""

    def __init__(self, before: Band, colors: int, latent: int, half_life: float) -> None:
        super().__init__()
        self.conv = ModulatedConv(before.channels, colors, 1, latent, demodulate=False, half_life=half_life)
        self.bias = nn.Parameter(torch.zeros(colors))

    def forward(self, maps: Tensor, w: Tensor, update: bool = False) -> Tensor:
        """(N, C, H, W) -> (N, colors, H, W)."""
        return (self.conv(maps, w, update) + self.bias[:, None, None]).clamp(-CLAMP, CLAMP)
