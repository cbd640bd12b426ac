"""Features inside a network: inputs and outputs of chosen modules, and images of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from p3m_lightning.images import from_unit
from p3m_lightning.schema import InputError

CUT_OFF = 0.01
"""Share of the pixels of a feature image clipped to black, and likewise to white."""


class Call(NamedTuple):
    """One call of a module."""

    inputs: tuple[Any, ...]
    output: Any


@contextmanager
def watch(*modules: nn.Module) -> Iterator[dict[nn.Module, Call]]:
    """Record inputs and outputs of modules of a network meanwhile.

    Tensors are recorded with their autograd history; if no gradients are needed, run the network under
    `torch.no_grad()`.

    Args:
        modules: parts of a network, such as `net.matting.tfi[0]` of P3M-Net.

    Raises:
        InputError: something that is no module.

    Yields:
        The last call of each module that was called.

    Example:
        >>> import torch
        >>> from p3m_lightning import create_model
        >>> net = create_model("p3mnet_r34", width=0.125).eval()
        >>> with torch.no_grad(), watch(*net.matting.tfi) as calls:
        ...     output = net(torch.rand(1, 3, 64, 64))
        >>> [tuple(calls[tfi].output.shape[-2:]) for tfi in net.matting.tfi]
        [(32, 32), (16, 16), (8, 8), (4, 4)]
    """
    calls: dict[nn.Module, Call] = {}
    for module in modules:
        if not isinstance(module, nn.Module):
            raise InputError(f"watch: a {type(module).__name__} is no module; give parts of a network")
    handles = [module.register_forward_hook(partial(_record, calls)) for module in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def feature_picture(maps: Tensor) -> np.ndarray:
    """Draw feature maps: their first three principal components as red, green and blue.

    Pixels of similar features have similar colors; the colors themselves have no meaning and differ between images.
    Each component is stretched to the whole range.

    Args:
        maps: float (C, h, w), C from 3 up.

    Returns:
        uint8 (h, w, 3).

    Raises:
        InputError: `maps` has another shape.
    """
    if maps.ndim != 3 or maps.shape[0] < 3:
        raise InputError(f"features of shape {tuple(maps.shape)}: give the maps of one image, (C, h, w) with 3 or more")
    pixels = maps.detach().flatten(1).double().cpu().T  # (h w, C)
    pixels = pixels - pixels.mean(dim=0)
    axes = torch.linalg.eigh(pixels.T @ pixels).eigenvectors.flip(1)[:, :3]  # eigh sorts in ascending order
    strongest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
    components = pixels @ (axes * strongest.sign())  # the sign of an axis is arbitrary: choose it reproducibly
    low, high = (components.quantile(share, dim=0) for share in (CUT_OFF, 1 - CUT_OFF))
    stretched = (components - low) / (high - low).clamp(min=1e-12)
    return from_unit(stretched.reshape(*maps.shape[1:], 3).numpy())


def _record(calls: dict[nn.Module, Call], module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    calls[module] = Call(inputs, output)
