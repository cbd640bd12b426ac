"""Learning rate schedules that torch lacks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def with_schedule(optimizer: Optimizer, schedule: Mapping[str, Any] | None, trainer: Trainer) -> OptimizerLRScheduler:
    """Return the result of `configure_optimizers` for Lightning.

    Args:
        optimizer: of the module.
        schedule: the group scheduler, built: `factory` as `(optimizer) -> scheduler` (None keeps the rate), `interval`
            (step or epoch), and `needs_total_steps` if the factory takes `total_steps`.
        trainer: knows the number of steps.
    """
    if not schedule or not schedule.get("factory"):
        return {"optimizer": optimizer}
    told = {"total_steps": int(trainer.estimated_stepping_batches)} if schedule["needs_total_steps"] else {}
    scheduler = schedule["factory"](optimizer, **told)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": schedule["interval"]}}


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.05, final: float = 0.01) -> LambdaLR:
    """Raise the rate linearly, then lower it along half a cosine; step it after every batch.

    Args:
        optimizer: its rates are the peak.
        total_steps: batches of the whole training.
        warmup: share of them for the warmup.
        final: the last rate as a share of the peak.
    """
    rise = max(1, round(warmup * total_steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        progress = min(1.0, (step - rise) / max(1, total_steps - rise))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)


def warmup_steps(
    optimizer: Optimizer,
    total_steps: int,
    warmup: float = 0.0,
    milestones: Sequence[float] = (),
    factors: Sequence[float] = (),
) -> LambdaLR:
    """Raise the rate linearly, keep it, and lower it in steps; step it after every batch.

    Args:
        optimizer: its rates are the peak.
        total_steps: batches of the whole training.
        warmup: share of them for the warmup.
        milestones: shares of them after which the rate changes, in increasing order.
        factors: the rate after each milestone as a share of the peak.

    Raises:
        ValueError: the numbers of factors and milestones differ.
    """
    rise = round(warmup * total_steps)
    changes = list(zip((round(m * total_steps) for m in milestones), factors, strict=True))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return next((value for start, value in reversed(changes) if step >= start), 1.0)

    return LambdaLR(optimizer, factor)
