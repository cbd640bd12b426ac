"""Size of a network: parameters and multiply-adds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from p3m_lightning.schema import UNKNOWN


class Complexity(NamedTuple):
    """The size of a network."""

    parameters: int
    multiply_adds: int  # of convolutions and matrix products, for one image


def count(model: nn.Module, size: int = 512) -> Complexity:
    """Count parameters, and multiply-adds for one `size` x `size` image, without computing anything."""
    parameters = sum(p.numel() for p in model.parameters())
    if not parameters:
        return Complexity(0, 0)
    was_training = model.training
    # fake tensors know shapes only, and stay on the CPU where the meta device has no autocast
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter, torch.no_grad():
        inputs = [torch.empty(1, 3, size, size)]
        if model.needs_trimap:
            inputs.append(torch.full((1, 1, size, size), UNKNOWN))
        model.eval()(*inputs)
    model.train(was_training)
    return Complexity(parameters, counter.get_total_flops() // 2)
