"""Adversarial losses: non-saturating logistic (Goodfellow et al., NeurIPS 2014), R1 (Mescheder et al., ICML 2018)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def generator_loss(fake: Tensor) -> Tensor:
    """Return the mean of -log sigmoid(D(fake)) over logits of any shape."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean of -log sigmoid(D(real)) plus that of -log(1 - sigmoid(D(fake))) over logits of any shape."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def squared_gradient(logits: Tensor, pictures: Tensor) -> Tensor:
    """Return the mean over the images of the squared norm of the logit's gradient: R1 is gamma / 2 times this.

    Args:
        logits: (N,), computed from `pictures`.
        pictures: (N, C, H, W), real images, which require a gradient.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
