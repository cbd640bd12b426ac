"""Gradient clipping that follows the moving average of the norm."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer


class AdaptiveGradientClipping(Callback):
    """Clip the gradient norm at a multiple of its moving average, as P3M-Net's 2024 code offers.

    Args:
        momentum: of the moving average of the norm; 0.999 in that code.
        factor: the norm is clipped at this many times the average; 2 in that code.
    """

    def __init__(self, momentum: float = 0.999, factor: float = 2.0) -> None:
        self.momentum = momentum
        self.factor = factor
        self.average: float | None = None

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Optimizer) -> None:
        """Clip, then let the clipped norm enter the average."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        limit = float("inf") if self.average is None else self.factor * self.average
        norm = float(nn.utils.clip_grad_norm_(parameters, limit))
        if norm == norm and norm != float("inf"):
            clipped = min(norm, limit)
            self.average = (
                clipped if self.average is None else (self.momentum * self.average + (1 - self.momentum) * clipped)
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the average, so that a resumed run clips alike."""
        return {"average": self.average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the average back."""
        self.average = state["average"]
