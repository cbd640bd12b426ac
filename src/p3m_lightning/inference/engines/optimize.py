"""Optimized copies of networks for inference: batch norm folded into convolutions, channels last."""

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
"""Side in pixels of the trial image on which the parts of a network are watched."""

CLOSE = 1e-3
"""Largest difference between outputs of a folded network and the original on the trial image; rounding gives 1e-5."""


def optimize_for_inference(net: nn.Module) -> nn.Module:
    """Return a copy that computes the same mattes faster; a network without convolutions is returned itself.

    Batch norms are folded into the convolutions before them, and weights stored channels last. The copy cannot be
    trained, and does not follow later changes of the original.

    Args:
        net: a network of `p3m_lightning.models` in `eval()`, on any device.
    """
    if not any(isinstance(module, nn.Conv2d) for module in net.modules()):
        return net
    with torch.no_grad():
        pairs, expected = foldable(net)
        copy = fold(deepcopy(net), pairs)
        if not all(torch.allclose(a, b, atol=CLOSE) for a, b in zip(_outputs(copy), expected, strict=True)):
            copy = deepcopy(net)  # folding failed: something else reads the result of a convolution too
    return copy.requires_grad_(False).to(memory_format=torch.channels_last)


def foldable(net: nn.Module) -> tuple[list[tuple[str, str]], list[Tensor]]:
    """Find the batch norms whose input is the unchanged output of one convolution.

    They are found by running a small trial image, so it does not matter how a network is written.

    Returns:
        Names of convolution and batch norm, each used once; and the outputs for the trial image.
    """
    calls: Counter[str] = Counter()
    made: dict[int, tuple[str, Tensor]] = {}  # keeps the result alive, so that its id is not reused
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
    for convolution, norm in ((_part(net, a), _part(net, b)) for a, b in pairs):
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
    for _, name in pairs:
        parent, _, child = name.rpartition(".")
        act = getattr(net.get_submodule(name), "act", None)  # timm's batch norms include the activation
        setattr(net.get_submodule(parent), child, act or nn.Identity())
    return net


def _part(net: nn.Module, name: str) -> Any:
    return net.get_submodule(name)


def _outputs(net: nn.Module) -> list[Tensor]:
    """Apply a network to the trial image; with branches, leave out the fused matte, which may flip at a tie."""
    like = next(net.parameters())
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.rand(1, 3, TRIAL, TRIAL, generator=generator).to(like)]
    if getattr(net, "needs_trimap", False):
        inputs.append(torch.full((1, 1, TRIAL, TRIAL), UNKNOWN, device=like.device))
    output = net(*inputs)
    branches = [value for value in (output.semantic, output.detail) if value is not None]
    return [*(branches or [output.alpha]), *output.sides]
