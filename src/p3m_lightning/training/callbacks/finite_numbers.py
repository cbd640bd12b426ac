"""Numbers that are not finite, in an image, a loss or a gradient: a training stops, or leaves the step out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from p3m_lightning.messages import shortened, tell
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.base import RunCallback

POLICIES = ("stop", "skip")


class FiniteNumbers(RunCallback):
    """Keep NaN and infinity out of the weights, and say in whose samples they were.

    Of several processes all stop, or leave out the same step. Infinite gradients under a gradient scaler, as of
    precision=16-mixed, are its own affair.

    Args:
        policy: "stop" ends the training before such a step; "skip" goes on without it: the weights, the optimizer and
            the running statistics stay as they were.
        most_in_a_row: steps left out one after another, after which "skip" stops too: nothing is learned any more.

    Raises:
        InputError: another policy.
    """

    def __init__(self, policy: str = "stop", most_in_a_row: int = 10) -> None:
        if policy not in POLICIES:
            raise InputError(f"callbacks.finite.policy: {policy!r} is not one of {', '.join(POLICIES)}")
        self.policy, self.most_in_a_row = policy, most_in_a_row
        self.in_a_row, self.skipped = 0, 0
        self.names: list[str] = []  # of the samples that went into the step at hand
        self.losses: list[Tensor] = []  # of this step, whether each is finite
        self.found = ""  # what was not finite before the network saw it
        self.buffers: dict[str, Tensor] = {}

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        """Look at what the network is about to see; what is not finite in it becomes 0, and the step is left out."""
        bad = _not_finite(batch)
        self.names += _names(batch)
        if trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
            self.found = "; ".join(shortened(bad, 3)) or "a sample of another process is not finite"
            if self.policy == "stop":
                raise InputError(f"{self.found}; fix the file, or skip such steps with {_cure()}")
        if self.policy == "skip" and not self.buffers:
            self.buffers = {name: value.clone() for name, value in module.named_buffers()}

    def on_before_backward(self, trainer: Trainer, module: LightningModule, loss: Tensor) -> None:
        """Remember whether the loss is finite; nobody waits for the answer yet."""
        self.losses.append(loss.detach().isfinite().all())

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Optimizer) -> None:
        """Stop before a step that would carry what is not finite into the weights, or leave it out."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        what = self.found or self._what(
            parameters, scaled=getattr(trainer.precision_plugin, "scaler", None) is not None
        )
        self.losses = []
        if not what:
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        names = ", ".join(shortened(self.names, 8))
        if self.policy == "stop":
            place = f"{what} at step {trainer.global_step}, with {names}"
            raise InputError(f"{place}; lower optimizer.lr, or skip such steps with {_cure()}")
        if self.in_a_row > self.most_in_a_row:
            raise InputError(f"{what} for {self.in_a_row} steps in a row, now with {names}: the training diverged")
        tell(f"{what} at step {trainer.global_step}, which is skipped: {names}")
        for parameter in parameters:
            parameter.grad = None
        for name, value in module.named_buffers():
            if name in self.buffers:
                value.copy_(self.buffers[name])

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Forget the samples once their step is made; several batches can go into one."""
        if not trainer.fit_loop.epoch_loop._should_accumulate():
            self.names, self.found, self.buffers, self.losses = [], "", {}, []

    def results(self) -> dict[str, Any]:
        """Return how many steps were left out, if any."""
        return {"skipped_steps": self.skipped} if self.skipped else {}

    def _what(self, parameters: list[torch.nn.Parameter], scaled: bool) -> str:
        gradients = [p.grad.to_dense() if p.grad.is_sparse else p.grad for p in parameters if p.grad is not None]
        sizes = [torch.stack(torch._foreach_norm(gradients, ord=float("inf"))).isfinite().all()] if gradients else []
        if torch.stack([*self.losses, *sizes]).all() if self.losses or sizes else True:
            return ""
        if self.losses and not torch.stack(self.losses).all():
            return "the loss is not finite"
        return "" if scaled else "a gradient is not finite"


def _cure() -> str:
    return "callbacks.finite.policy=skip"


def _names(batch: Any) -> list[str]:
    names = batch.get("name") if isinstance(batch, Mapping) else None
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


def _not_finite(batch: Any) -> list[str]:
    """Say what of which sample is not finite, and put 0 in its place."""
    if not isinstance(batch, Mapping):
        return []
    maps = {key: value for key, value in batch.items() if isinstance(value, Tensor) and value.is_floating_point()}
    if not maps or bool(torch.stack([value.isfinite().all() for value in maps.values()]).all()):
        return []
    names, found = _names(batch), []
    for key, value in maps.items():
        for number in (~value.isfinite().flatten(1).all(dim=1)).nonzero().flatten().tolist():
            found.append(f"{names[number] if number < len(names) else f'sample {number}'}: {key} is not finite")
        torch.nan_to_num_(value, 0.0, 0.0, 0.0)
    return found
