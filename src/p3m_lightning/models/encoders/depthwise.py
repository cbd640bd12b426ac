"""Depthwise convolutions under bfloat16 on CPUs, whose backward pass in bfloat16 takes five times that of float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Float32OnCPU(nn.Conv2d):
    """A convolution that steps out of the CPU's autocast; elsewhere it is what it was."""

    def forward(self, maps: Tensor) -> Tensor:
        if maps.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(maps)
        with torch.autocast("cpu", enabled=False):
            return super().forward(maps.float())


def keep_depthwise_in_float32(net: nn.Module) -> nn.Module:
    """Let the depthwise convolutions of `net` compute in float32 under the CPU's autocast; names and weights stay."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
            module.__class__ = type(type(module).__name__, (_Float32OnCPU, type(module)), {})
    return net
