"""Mean of several checkpoints of one network: model soups (Wortsman et al., ICML 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from p3m_lightning.models import restore_model
from p3m_lightning.models.weights import read_checkpoint, save_weights
from p3m_lightning.schema import InputError


def average_checkpoints(sources: Sequence[str | Path], target: str | Path, half: bool = False) -> None:
    """Write the mean of the weights, and of the statistics, of checkpoints of one network.

    This makes sense for trainings that continue one another, or share a start.

    Args:
        sources: `.ckpt` or `.safetensors` of this package; the configuration is that of the first.
        target: `.safetensors`.
        half: write in half precision.

    Raises:
        InputError: a file is not a checkpoint, or of another network than the first.
    """
    checkpoints = [read_checkpoint(source) for source in sources]
    first = checkpoints[0]
    net = restore_model(first, str(sources[0]))
    for source, other in zip(sources, checkpoints, strict=True):
        fits = other.state.keys() == first.state.keys()
        if not fits or any(other.state[key].shape != value.shape for key, value in first.state.items()):
            raise InputError(f"{source}: of another network than {sources[0]}; only weights of one can be averaged")
    net.load_state_dict({key: _mean([one.state[key] for one in checkpoints]) for key in first.state})
    save_weights(net.half() if half else net, first.config, target)


def _mean(values: Sequence[Tensor]) -> Tensor:
    """Average floats; counts are those of the last."""
    if not values[0].is_floating_point():
        return values[-1]
    return torch.stack([value.float() for value in values]).mean(0)
