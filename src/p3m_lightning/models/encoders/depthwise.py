"""Float32 for depthwise convolutions on CPUs, where their backward pass in bfloat16 takes five times as long."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn


class _Float32OnCPU(nn.Conv2d):
    """A convolution that ignores the CPU's autocast; on other devices it is unchanged."""

    plain: type[nn.Conv2d]  # what it was

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (self.plain,), self.__dict__  # pickle cannot import a class made here by name

    def forward(self, maps: Tensor) -> Tensor:
        if maps.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(maps)
        with torch.autocast("cpu", enabled=False):
            return super().forward(maps.float())


def keep_depthwise_in_float32(net: nn.Module) -> nn.Module:
    """Make the depthwise convolutions of `net` compute in float32 under the CPU's autocast; keep names and weights."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
            module.__class__ = _float32_form(type(module))
    return net


def _float32_form(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    return cast("type[nn.Conv2d]", type(kind.__name__, (_Float32OnCPU, kind), {"plain": kind}))


def _blank(kind: type[nn.Conv2d]) -> nn.Conv2d:
    form = _float32_form(kind)
    return form.__new__(form)
