"""Optimizers whose rates differ between the parts of a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import AdamW


def adamw_by_part(
    parameters: Iterable[tuple[str, nn.Parameter]], lr: float, parts: Mapping[str, float], **arguments: Any
) -> AdamW:
    """Return AdamW with `lr` times a factor for the parameters whose names begin with a key of `parts`."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters:
        factor = next((f for prefix, f in parts.items() if name.startswith(prefix)), 1.0)
        groups.setdefault(factor, []).append(parameter)
    return AdamW([{"params": ps, "lr": lr * factor} for factor, ps in groups.items()], lr=lr, **arguments)
