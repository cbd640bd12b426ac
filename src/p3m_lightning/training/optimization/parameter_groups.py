"""Parameter groups with learning rates of their own, such as a lower one for a pretrained encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.optim import Optimizer

from p3m_lightning.schema import InputError


def build_optimizer(factory: Callable[..., Optimizer], net: nn.Module, factors: Mapping[str, float]) -> Optimizer:
    """Build an optimizer over the trained parameters of `net`.

    Args:
        factory: `(parameters or groups of them) -> Optimizer`.
        net: a network.
        factors: see `parameter_groups`; the rate of a group is that of the factory times its factor, and schedules
            start from there.

    Raises:
        InputError: as `parameter_groups`.
    """
    if not factors:
        return factory([p for p in net.parameters() if p.requires_grad])
    optimizer = factory(parameter_groups(net, factors))
    for group in optimizer.param_groups:
        group["lr"] *= factors.get(group["name"], 1.0)
    return optimizer


def parameter_groups(net: nn.Module, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Group the trained parameters of `net` by the first pattern that matches their name; the rest comes first.

    Args:
        net: a network.
        factors: patterns, such as `encoder.backbone.*`, with the wildcards of a shell, and positive numbers.

    Returns:
        A group for the rest and each pattern, `params` and `name`; none without parameters.

    Raises:
        InputError: factors that are no table, a pattern that matches nothing, or a factor that is not positive.
    """
    if not isinstance(factors, Mapping):
        raise InputError(f"lr_factors: {factors!r} is not a table; write +lr_factors={{'encoder.*': 0.1}}")
    groups: dict[str, list[nn.Parameter]] = {"rest": [], **{pattern: [] for pattern in factors}}
    names = [name for name, _ in net.named_parameters()]
    for pattern, factor in factors.items():
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not factor > 0:
            raise InputError(f"lr_factors: {pattern}: {factor} is not above 0; frozen=['{pattern}'] freezes it")
        if not any(fnmatchcase(name, pattern) for name in names):
            tops = ", ".join(sorted({name.split(".")[0] for name in names}))
            raise InputError(f"lr_factors: no parameter is called {pattern!r}; the parts are {tops} (as 'x.*')")
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            groups[next((pattern for pattern in factors if fnmatchcase(name, pattern)), "rest")].append(parameter)
    return [{"params": parameters, "name": name} for name, parameters in groups.items() if parameters]
