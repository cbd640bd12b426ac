"""Weighting of the terms of a loss: fixed weights, or weights learned in training.

Every method takes the terms already multiplied by their `loss.weights` and finds additional factors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from p3m_lightning.losses import Loss
from p3m_lightning.schema import InputError
from p3m_lightning.training.optimization.dual_cone import upgrad_weights

LEAST = 0.01  # of GradNorm's factors, so that no term vanishes for good
ENCODERS = ("encoder.*", "backbone.*")


class Weighting(nn.Module, ABC):
    """Base of methods that combine the terms of a loss.

    Attributes:
        rate: learning rate of its own parameters, if it has any; None uses the optimizer's.
    """

    rate: float | None = None

    @abstractmethod
    def forward(self, terms: Mapping[str, Tensor], net: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total, and the factor of every term, without gradients.

        Args:
            terms: scalars, times their weights; those that a network or a loss lacks are constants.
            net: the network that they were computed with.
        """

    def verify(self, net: nn.Module) -> None:  # most methods fit every network
        """Raise InputError where the method looks for parameters that `net` does not have."""


class Fixed(Weighting):
    """The sum of the weighted terms."""

    def forward(self, terms: Mapping[str, Tensor], net: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum, and factors of 1."""
        first, *others = terms.values()
        return sum(others, first), {name: torch.ones_like(value) for name, value in terms.items()}


class Uncertainty(Weighting):
    """Homoscedastic uncertainty (Kendall et al., CVPR 2018, equations 7 and 10): a learned noise per term.

    With s = log sigma^2 a term L becomes exp(-s) L / 2 + s / 2, a cross entropy exp(-s) L + s / 2. The factors start
    at 1. A term that is 0 in a batch, such as details if all labels are masks, does not change its s.

    Args:
        names: of the terms.
        cross_entropies: names of those that are cross entropies.
    """

    scale: Tensor

    def __init__(self, names: Sequence[str], cross_entropies: Sequence[str] = ()) -> None:
        super().__init__()
        self.names = tuple(names)
        scale = torch.tensor([1.0 if name in cross_entropies else 0.5 for name in names])
        self.register_buffer("scale", scale, persistent=False)
        self.log_variances = nn.Parameter(scale.log())

    def forward(self, terms: Mapping[str, Tensor], net: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total of the paper."""
        values = torch.stack([terms[name] for name in self.names])
        factors = self.scale * torch.exp(-self.log_variances)
        found = (values.detach() != 0).to(values)
        total = (factors * values).sum() + (found * self.log_variances).sum() / 2
        return total, dict(zip(self.names, factors.detach(), strict=True))


class GradNorm(Weighting):
    """Equal training rates (Chen et al., ICML 2018, algorithm 1): factors that bring gradients to comparable norms.

    With the norm G_i of the gradient of w_i L_i, and L_i over its first value, r_i after division by the mean, the
    factors w follow the gradient of sum |G_i - mean(G) r_i^alpha|, the right side held constant. Before every step
    they are scaled to a mean of 1.

    Args:
        names: of the terms.
        shared: patterns of names of the parameters to differentiate by; by default the last weight of the encoder, as
            the paper uses the last shared layer.
        alpha: strength with which slow terms are favored; the paper uses 1.5 for its three tasks on NYUv2.
        lr: learning rate of the factors; paper: 0.025.
    """

    initial: Tensor

    def __init__(
        self, names: Sequence[str], shared: Sequence[str] | None = None, alpha: float = 1.5, lr: float = 0.025
    ) -> None:
        super().__init__()
        if alpha < 0 or lr <= 0:
            raise InputError(f"loss.gradnorm: alpha={alpha}, lr={lr}: alpha must not be negative, lr be above 0")
        self.names, self.shared, self.alpha, self.rate = tuple(names), shared, alpha, lr
        self.factors = nn.Parameter(torch.ones(len(self.names)))
        self.register_buffer("initial", torch.full((len(self.names),), torch.nan))

    def verify(self, net: nn.Module) -> None:
        """Raise InputError where no parameter is shared."""
        shared_parameters(net, self.shared)

    def forward(self, terms: Mapping[str, Tensor], net: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total; its gradient with respect to the factors is that of the paper's L_grad."""
        values = torch.stack([terms[name] for name in self.names])
        now = values.detach().float()
        learns = torch.tensor([terms[name].requires_grad for name in self.names], device=now.device)
        with torch.no_grad():
            self.initial.copy_(torch.where(self.initial.isnan() & (now > 0), now, self.initial))
            mean = self.factors.clamp_(min=LEAST)[learns].mean()
            self.factors.copy_(torch.where(learns, self.factors / mean, torch.ones_like(self.factors)))
        counted = learns & (now > 0)
        parameters = shared_parameters(net, self.shared)
        norms = torch.stack([_norm(gradient(terms[name], parameters)) for name in self.names])
        pulls = (self.factors * norms)[counted]
        progress = (now / self.initial)[counted]
        target = pulls.detach().mean() * (progress / progress.mean()) ** self.alpha
        apart = (pulls - target).abs().sum() + 0 * self.factors.sum()
        total = (self.factors.detach() * values).sum() + (apart - apart.detach())
        return total, dict(zip(self.names, self.factors.detach().clone(), strict=True))


class UPGrad(Weighting):
    """Unconflicting projection of gradients (Quinton and Rey, 2024), by TorchJD: no step may worsen a term.

    The gradient of each term is projected onto the cone of directions that worsen no other term; the step is their sum.

    Args:
        names: of the terms.
        shared: patterns of names of the parameters to differentiate by; by default all trained ones.

    Raises:
        InputError: TorchJD is not installed.
    """

    def __init__(self, names: Sequence[str], shared: Sequence[str] | None = None) -> None:
        super().__init__()
        self.names, self.shared = tuple(names), shared or ["*"]
        self.weigh = upgrad_weights()

    def verify(self, net: nn.Module) -> None:
        """Raise InputError where no parameter is shared."""
        shared_parameters(net, self.shared)

    def forward(self, terms: Mapping[str, Tensor], net: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the terms multiplied by the weights from the projections."""
        parameters = shared_parameters(net, self.shared)
        learning = [name for name in self.names if terms[name].requires_grad]
        factors = {name: torch.ones_like(terms[name]) for name in self.names}
        if learning:
            rows = torch.stack([gradient(terms[name], parameters) for name in learning]).double()
            found = self.weigh(rows @ rows.T).to(rows.device)
            factors |= {name: one.to(terms[name]) for name, one in zip(learning, found, strict=True)}
        total = torch.stack([factors[name] * terms[name] for name in self.names]).sum()
        return total, factors


METHODS = ("fixed", "uncertainty", "gradnorm", "upgrad")


def build_weighting(loss: Loss, settings: Mapping[str, Any]) -> Weighting:
    """Build the weighting method of a loss.

    Args:
        loss: the terms.
        settings: the group `loss` of a configuration: `weighting`, `shared`, `gradnorm`.

    Raises:
        InputError: no such method, keys that it does not take, a package that is not installed.
    """
    method, shared = settings.get("weighting") or "fixed", settings.get("shared")
    if method == "fixed":
        return Fixed()
    if method == "uncertainty":
        return Uncertainty(loss.names, loss.cross_entropies)
    if method == "gradnorm":
        return GradNorm(loss.names, shared, **(settings.get("gradnorm") or {}))
    if method == "upgrad":
        return UPGrad(loss.names, shared)
    raise InputError(f"loss.weighting={method}: choose from {', '.join(METHODS)}")


def shared_parameters(net: nn.Module, patterns: Sequence[str] | None) -> list[nn.Parameter]:
    """Return the trained parameters that match; without patterns the last weight (not bias) of the encoder.

    Raises:
        InputError: there are none.
    """
    if patterns is not None and (isinstance(patterns, str) or not isinstance(patterns, Sequence)):
        raise InputError(f"loss.shared: {patterns!r} is not a list; write loss.shared=['{patterns}']")
    learning = {name: one for name, one in net.named_parameters() if one.requires_grad}
    found = [one for name, one in learning.items() if any(fnmatchcase(name, p) for p in patterns or ENCODERS)]
    if patterns is None:
        found = [one for one in found or list(learning.values()) if one.ndim > 1][-1:]
    if not found:
        raise InputError(f"loss.shared: no trained parameter is called {', '.join(patterns or ENCODERS)}")
    return found


def gradient(term: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the gradient of a term as one vector, zero for parameters that it does not depend on; keeps the graph."""
    if not term.requires_grad:
        return torch.zeros(sum(one.numel() for one in parameters), device=parameters[0].device)
    parts = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    pairs = zip(parts, parameters, strict=True)
    return torch.cat([(torch.zeros_like(one) if part is None else part).flatten().float() for part, one in pairs])


def _norm(vector: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vector)
