"""Gradient clipping that follows the moving average of the norm."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer


class AdaptiveGradientClipping(Callback):
    """Clip the gradient norm at a multiple of its moving average, an option of P3M-Net's 2024 code.

    Args:
        momentum: of the moving average of the norm; 0.999 in that code.
        factor: the norm is clipped at this many times the average; 2 in that code.
    """

    def __init__(self, momentum: float = 0.999, factor: float = 2.0) -> None:
        self.momentum = momentum
        self.factor = factor
        self.average: Tensor | None = None  # on the device of the parameters, to avoid synchronizing

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Optimizer) -> None:
        """Clip, then update the average with the clipped norm."""
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        wide = norm if norm.device.type == "mps" else norm.double()
        if self.average is None:
            self.average = torch.full_like(wide, torch.nan)  # no average yet
        average = self.average = self.average.to(wide)
        limit = torch.where(average.isnan(), torch.inf, self.factor * average)
        share = ((norm + 1e-6).reciprocal() * limit.to(norm)).clamp(max=1.0)  # as `clip_grad_norm_`
        torch._foreach_mul_(gradients, share)
        clipped = torch.minimum(wide, limit)
        moved = torch.where(average.isnan(), clipped, self.momentum * average + (1 - self.momentum) * clipped)
        self.average = torch.where(wide.isfinite(), moved, average)

    def state_dict(self) -> dict[str, Any]:
        """Return the average, so that a resumed run clips in the same way."""
        average = None if self.average is None else float(self.average)
        return {"average": None if average != average else average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the average."""
        average = state["average"]
        self.average = None if average is None else torch.tensor(average, dtype=torch.float64)
