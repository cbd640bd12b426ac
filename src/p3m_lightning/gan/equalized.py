"""Layers with an equalized learning rate (Karras et al., ICLR 2018, section 4.1): unit weights, scaled at run time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
GAIN = 2**0.5
"""Leaky ReLU of the StyleGANs: slope 0.2, then times sqrt(2) to keep the magnitude."""


def activate(maps: Tensor, clamp: float | None = None) -> Tensor:
    """Apply the scaled leaky ReLU; `clamp` bounds the magnitude, so that float16 cannot overflow."""
    maps = F.leaky_relu(maps, SLOPE) * GAIN
    return maps if clamp is None else maps.clamp(-clamp, clamp)


class EqualizedLinear(nn.Module):
    """Fully connected layer.

    Args:
        inputs: features in.
        outputs: features out.
        bias: initial value of the bias; None for no bias.
        weight: standard deviation of the initial weights.
        rate: multiplies the learning rate; 0.01 in mapping networks.
    """

    def __init__(
        self, inputs: int, outputs: int, bias: float | None = 0.0, weight: float = 1.0, rate: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (weight / rate))
        self.bias = None if bias is None else nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale, self.rate = rate / inputs**0.5, rate

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs) -> (N, outputs)."""
        bias = None if self.bias is None else self.bias * self.rate
        return F.linear(features, self.weight * self.scale, bias)


class EqualizedConv(nn.Module):
    """Convolution that keeps the size, for an odd `kernel`; with a stride it does not pad.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel.
        bias: add a bias, initially 0.
        stride: 1, or the factor by which the maps shrink.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True, stride: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / (inputs * kernel**2) ** 0.5
        self.stride, self.padding = stride, kernel // 2 if stride == 1 else 0

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W), or (H - kernel) / stride + 1 rows and columns."""
        return F.conv2d(maps, self.weight * self.scale, self.bias, self.stride, self.padding)
