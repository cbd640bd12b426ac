"""The effective batch of a run, and the learning rate scaled with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pytorch_lightning import Trainer
from torch.optim import Optimizer

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.schema import InputError

RULES = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}
"""Power of the ratio of the batch to the reference: linear keeps the step per image (Goyal et al. 2017, section 2.1),
sqrt its variance."""


class EffectiveBatch(NamedTuple):
    """Number of images that one optimizer step sees."""

    images: int  # per process and batch
    processes: int
    accumulation: int  # batches per step

    @property
    def total(self) -> int:
        """Return the product."""
        return self.images * self.processes * self.accumulation

    def __str__(self) -> str:
        processes = f"{self.processes} process" + "es" * (self.processes > 1)
        return f"{self.images} x {processes} x {self.accumulation} accumulation = {self.total}"


def effective_batch(trainer: Trainer) -> EffectiveBatch:
    """Return the effective batch of a training from its trainer."""
    return EffectiveBatch(MattingDataModule.of(trainer).batch_size, trainer.world_size, trainer.accumulate_grad_batches)


def scale_rate(optimizer: Optimizer, batch: EffectiveBatch, scaling: Mapping[str, Any]) -> str:
    """Scale the rates of an optimizer by (effective batch / reference) to the power of the rule.

    Args:
        optimizer: its rates are changed.
        batch: of the run.
        scaling: `rule`, a key of RULES, and `reference`, the batch that the rates were chosen for; None for the images
            of one process and batch.

    Returns:
        One line that states the batch and the rate.

    Raises:
        InputError: no such rule, or an invalid reference.
    """
    rule, reference = scaling["rule"], scaling["reference"] or batch.images
    if rule not in RULES:
        raise InputError(f"lr_scaling.rule: {rule!r} is not one of {', '.join(RULES)}")
    if reference <= 0:
        raise InputError(f"lr_scaling.reference: {reference} is not a number of images")
    factor = (batch.total / reference) ** RULES[rule]
    given = optimizer.param_groups[0]["lr"]
    for group in optimizer.param_groups:
        group["lr"] *= factor
    scaled = f"{given:.4g} x {factor:.4g} ({rule}, from batch {reference}) = {given * factor:.4g}"
    return f"effective batch {batch}; lr {given if rule == 'none' else scaled}"
