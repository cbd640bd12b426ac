"""Share of each loss term in the gradient, which is what a loss weight changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from p3m_lightning.records import write_json
from p3m_lightning.schema import InputError
from p3m_lightning.training.module import MattingModule


class GradientShares(Callback):
    """Measure the share of each weighted loss term in the gradient, at intervals of training batches.

    With weights w and terms L, the share of term k is |w_k dL_k/dp| / sum_j |w_j dL_j/dp|, where p are all trained
    parameters of the network and |.| is the Euclidean norm: shares are in [0, 1] and sum to 1. They measure the
    magnitudes of the gradients, not whether they point in the same direction.

    Logged as `train/gradient_share/<term>`, the mean of an epoch; the mean over all batches measured in a run goes to
    `gradient_shares.json`. Each measurement costs one backward pass per term. With several processes, the first
    measures its own batches.

    Args:
        folder: the run folder.
        every_n_batches: how often, from the first batch on; 0 for never.
    """

    def __init__(self, folder: str | Path, every_n_batches: int = 0) -> None:
        self.folder = Path(folder)
        self.every_n_batches = every_n_batches
        self.sums: dict[str, float] = {}
        self.measured = 0
        self.seen = 0
        self.in_epoch: dict[str, list[float]] = {}  # of the one that is under way

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Refuse sharded parameters, of which only pieces would be measured."""
        if self.every_n_batches and hasattr(trainer.strategy, "device_mesh"):
            raise InputError("callbacks.gradient_shares: not with sharded parameters (trainer=fsdp); set it to null")

    def on_before_backward(self, trainer: Trainer, module: LightningModule, loss: Tensor) -> None:
        """Measure if it is due; the graph is kept for the training step's own backward pass."""
        due = self.every_n_batches and self.seen % self.every_n_batches == 0
        self.seen += 1
        if not due or not trainer.is_global_zero:
            return
        learning = MattingModule.of(module)
        shares = gradient_shares(learning.weighted_terms, [p for p in learning.net.parameters() if p.requires_grad])
        if shares is None:
            return
        self.measured += 1
        for name, share in shares.items():
            self.sums[name] = self.sums.get(name, 0.0) + share
            self.in_epoch.setdefault(name, []).append(share)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Log the means of the epoch; what Lightning gathers for them itself would not outlive a kill."""
        means = {f"train/gradient_share/{name}": sum(found) / len(found) for name, found in self.in_epoch.items()}
        if means:
            module.log_dict(means, rank_zero_only=True)
        self.in_epoch = {}

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the means of the run."""
        if self.measured:
            means = {name: total / self.measured for name, total in self.sums.items()}
            write_json(self.folder / "gradient_shares.json", means)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums, so that a resumed run's means are those of the whole run."""
        return {"sums": self.sums, "measured": self.measured, "seen": self.seen, "in_epoch": self.in_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the sums."""
        self.sums, self.measured, self.seen = state["sums"], state["measured"], state["seen"]
        self.in_epoch = state.get("in_epoch", {})  # older checkpoints lack it


def gradient_shares(terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]) -> dict[str, float] | None:
    """Return the norm of each term's gradient as a share of the sum of these norms.

    Args:
        terms: weighted loss terms, scalars that share a graph, which is kept.
        parameters: the parameters to differentiate by.

    Returns:
        The shares by term, or None if there is no gradient, or one that is not finite.
    """
    norms = {name: _gradient_norm(term, parameters) for name, term in terms.items()}
    total = sum(norms.values())
    return {name: norm / total for name, norm in norms.items()} if 0 < total < float("inf") else None


def _gradient_norm(term: Tensor, parameters: Sequence[nn.Parameter]) -> float:
    if not term.requires_grad:  # a constant zero term, from a network without that part
        return 0.0
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return float(sum(g.double().square().sum() for g in gradients if g is not None)) ** 0.5
