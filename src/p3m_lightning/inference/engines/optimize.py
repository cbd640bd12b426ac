"""The same network, made quicker for inference: batch norm folded into convolutions, channels last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from p3m_lightning.schema import UNKNOWN

TRIAL = 32
"""Pixels a side of the picture on which the parts of a network are watched."""

CLOSE = 1e-3
"""How far the outputs of a folded network may be from the original's on the trial picture; rounding makes 1e-5."""


def optimize_for_inference(net: nn.Module) -> nn.Module:
    """Return a copy that gives the same mattes sooner; a network without convolutions comes back itself.

    Convolutions take in the batch norm behind them, and weights lie channels last. The copy does not learn, and later
    changes of the original do not reach it.

    Args:
        net: a network of `p3m_lightning.models` in `eval()`, on any device.
    """
    if not any(isinstance(module, nn.Conv2d) for module in net.modules()):
        return net
    with torch.no_grad():
        pairs, expected = foldable(net)
        copy = fold(deepcopy(net), pairs)
        if not all(torch.allclose(a, b, atol=CLOSE) for a, b in zip(_outputs(copy), expected, strict=True)):
            copy = deepcopy(net)  # a convolution whose result something else reads too
    return copy.requires_grad_(False).to(memory_format=torch.channels_last)


def foldable(net: nn.Module) -> tuple[list[tuple[str, str]], list[Tensor]]:
    """Find the batch norms that see what one convolution gave, as it is.

    A small picture shows which those are, so that it does not matter how a network is written.

    Returns:
        Names of convolution and batch norm, each used once; and the outputs for the small picture.
    """
    calls: Counter[str] = Counter()
    made: dict[int, tuple[str, Tensor]] = {}  # the result too, so that its identity is not given away again
    pairs: list[tuple[str, str]] = []

    def watch(name: str, module: nn.Module, inputs: tuple, output: Tensor) -> None:
        calls[name] += 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = name, output
        elif inputs and id(inputs[0]) in made and module.running_mean is not None:
            pairs.append((made[id(inputs[0])][0], name))

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    watched = [(name, module) for name, module in net.named_modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(partial(watch, name)) for name, module in watched]
    try:
        outputs = _outputs(net)
    finally:
        for hook in hooks:
            hook.remove()
    return [pair for pair in pairs if calls[pair[0]] == calls[pair[1]] == 1], outputs


def fold(net: nn.Module, pairs: Iterable[tuple[str, str]]) -> nn.Module:
    """Fold batch norms into convolutions, in place; names are those of `foldable`."""
    for a, b in pairs:
        convolution: Any = net.get_submodule(a)
        norm: Any = net.get_submodule(b)
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
    for _, name in pairs:
        parent, _, child = name.rpartition(".")
        act = getattr(net.get_submodule(name), "act", None)  # timm's batch norms hold the activation too
        setattr(net.get_submodule(parent), child, act or nn.Identity())
    return net


def _outputs(net: nn.Module) -> list[Tensor]:
    """Apply a network to the small picture; the fused matte of one with branches may flip at a tie and is left out."""
    like = next(net.parameters())
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.rand(1, 3, TRIAL, TRIAL, generator=generator).to(like)]
    if getattr(net, "needs_trimap", False):
        inputs.append(torch.full((1, 1, TRIAL, TRIAL), UNKNOWN, device=like.device))
    output = net(*inputs)
    branches = [value for value in (output.semantic, output.detail) if value is not None]
    return [*(branches or [output.alpha]), *output.sides]
