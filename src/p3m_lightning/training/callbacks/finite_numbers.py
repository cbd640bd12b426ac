"""Non-finite numbers in an image, a loss or a gradient: a training stops, or skips the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from p3m_lightning.messages import shortened, tell
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.base import RunCallback

POLICIES = ("stop", "skip")


class Verdict(NamedTuple):
    """Findings about one step, in transfer from the device."""

    flags: Tensor  # bool, one for each line of `told`: whether all is finite
    told: list[str]
    arrived: torch.cuda.Event | None

    def fault(self) -> str:
        """Return the message about the step, empty if all is finite; wait for the flags."""
        if self.arrived is not None:
            self.arrived.synchronize()
        wrong = [line for line, fine in zip(self.told, self.flags.tolist(), strict=True) if not fine]
        return wrong[0] if wrong else ""


class FiniteNumbers(RunCallback):
    """Keep NaN and infinity out of the weights, and name the samples that caused them.

    With "stop", a single process on a GPU does not wait for the result: it learns about a step after submitting the
    next one to the GPU, and always before a validation or a checkpoint, so that no file ever holds non-finite numbers.

    Several processes all stop, or skip the same step. Infinite gradients under a gradient scaler, as with
    precision=16-mixed, are left to the scaler.

    Args:
        policy: "stop" ends the training before such a step; "skip" continues without it: weights, optimizer and
            running statistics are unchanged.
        most_in_a_row: consecutive skipped steps after which "skip" stops too, since nothing is learned any more.

    Raises:
        InputError: an unknown policy.
    """

    def __init__(self, policy: str = "stop", most_in_a_row: int = 10) -> None:
        if policy not in POLICIES:
            raise InputError(f"callbacks.finite.policy: {policy!r} is not one of {', '.join(POLICIES)}")
        self.policy, self.most_in_a_row = policy, most_in_a_row
        self.in_a_row, self.skipped = 0, 0
        self.names: list[str] = []  # of the samples of the current step
        self.losses: list[Tensor] = []  # of this step, whether each is finite
        self.found = ""  # non-finite inputs
        self.buffers: dict[str, Tensor] = {}
        self.lags = False
        self.inputs: list[tuple[str, Tensor]] = []  # of this step: name, and whether it is finite
        self.verdict: Verdict | None = None  # on the previous step

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Determine whether results may come later."""
        self.lags = self.policy == "stop" and trainer.world_size == 1 and trainer.strategy.root_device.type == "cuda"

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        """Check the inputs of the network; replace non-finite ones by 0, and skip the step."""
        self.names += _names(batch)
        if self.lags:
            self.inputs += _whether_finite(batch)
            return
        bad = _not_finite(batch)
        if trainer.strategy.reduce_boolean_decision(bool(bad), all=False):
            self.found = "; ".join(shortened(bad, 3)) or "a sample of another process is not finite"
            if self.policy == "stop":
                raise InputError(f"{self.found}; fix the file, or skip such steps with {_cure()}")
        if self.policy == "skip" and not self.buffers:
            self.buffers = {name: value.clone() for name, value in module.named_buffers()}

    def on_before_backward(self, trainer: Trainer, module: LightningModule, loss: Tensor) -> None:
        """Record whether the loss is finite, without waiting for the result."""
        self.losses.append(loss.detach().isfinite().all())

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, optimizer: Optimizer) -> None:
        """Stop before a step that would carry non-finite numbers into the weights, or skip it."""
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if self.lags:
            self._settle()
            self.verdict = self._ask(parameters, scaled, trainer.global_step)
            return
        what = self.found or self._what(parameters, scaled)
        self.losses = []
        if not what:
            self.in_a_row = 0
            return
        self.skipped += 1
        self.in_a_row += 1
        names = ", ".join(shortened(self.names, 8))
        if self.policy == "stop":
            raise InputError(self._diverged(what, trainer.global_step))
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
        """Forget the samples after their step, which can include several batches."""
        if not trainer.fit_loop.epoch_loop._should_accumulate():
            self.names, self.found, self.buffers, self.losses, self.inputs = [], "", {}, [], []

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Wait for the last result."""
        self._settle()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Wait for the last result."""
        self._settle()

    def on_save_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Wait for the last result, so that no non-finite weights are saved."""
        self._settle()

    def results(self) -> dict[str, Any]:
        """Return the number of skipped steps, if any."""
        return {"skipped_steps": self.skipped} if self.skipped else {}

    def _ask(self, parameters: list[torch.nn.Parameter], scaled: bool, step: int) -> Verdict:
        """Start the check whether the step is finite, without waiting."""
        mend = f"fix the file, or skip such steps with {_cure()}"
        asked = [(f"{what}; {mend}", fine) for what, fine in self.inputs]
        asked += [(self._diverged("the loss is not finite", step), loss) for loss in self.losses]
        asked += [(self._diverged("a gradient is not finite", step), fine) for fine in _sizes(parameters) if not scaled]
        flags = torch.stack([fine for _, fine in asked])
        self.losses = []
        if not flags.is_cuda:
            return Verdict(flags, [line for line, _ in asked], None)
        arrived = torch.cuda.Event()
        host = torch.empty(flags.shape, dtype=torch.bool, pin_memory=True).copy_(flags, non_blocking=True)
        arrived.record()
        return Verdict(host, [line for line, _ in asked], arrived)

    def _settle(self) -> None:
        verdict, self.verdict = self.verdict, None
        if verdict is not None and (fault := verdict.fault()):
            raise InputError(fault)

    def _diverged(self, what: str, step: int) -> str:
        names = ", ".join(shortened(self.names, 8))
        return f"{what} at step {step}, with {names}; lower optimizer.lr, or skip such steps with {_cure()}"

    def _what(self, parameters: list[torch.nn.Parameter], scaled: bool) -> str:
        sizes = _sizes(parameters)
        if torch.stack([*self.losses, *sizes]).all() if self.losses or sizes else True:
            return ""
        if self.losses and not torch.stack(self.losses).all():
            return "the loss is not finite"
        return "" if scaled else "a gradient is not finite"


def _sizes(parameters: list[torch.nn.Parameter]) -> list[Tensor]:
    """Return whether the gradients are finite, as one flag; none if there are no gradients."""
    gradients = [p.grad.to_dense() if p.grad.is_sparse else p.grad for p in parameters if p.grad is not None]
    return [torch.stack(torch._foreach_norm(gradients, ord=float("inf"))).isfinite().all()] if gradients else []


def _cure() -> str:
    return "callbacks.finite.policy=skip"


def _names(batch: Any) -> list[str]:
    names = batch.get("name") if isinstance(batch, Mapping) else None
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


def _maps(batch: Any) -> dict[str, Tensor]:
    items = batch.items() if isinstance(batch, Mapping) else ()
    return {key: value for key, value in items if isinstance(value, Tensor) and value.is_floating_point()}


def _whether_finite(batch: Any) -> list[tuple[str, Tensor]]:
    """Return the name of each map of each sample, and start the check whether it is finite."""
    names = _names(batch)
    return [
        (f"{names[number] if number < len(names) else f'sample {number}'}: {key} is not finite", fine)
        for key, value in _maps(batch).items()
        for number, fine in enumerate(value.isfinite().flatten(1).all(dim=1).unbind())
    ]


def _not_finite(batch: Any) -> list[str]:
    """Return which maps of which samples are not finite, and replace those values by 0."""
    maps = _maps(batch)
    if not maps or bool(torch.stack([value.isfinite().all() for value in maps.values()]).all()):
        return []
    names, found = _names(batch), []
    for key, value in maps.items():
        for number in (~value.isfinite().flatten(1).all(dim=1)).nonzero().flatten().tolist():
            found.append(f"{names[number] if number < len(names) else f'sample {number}'}: {key} is not finite")
        torch.nan_to_num_(value, 0.0, 0.0, 0.0)
    return found
