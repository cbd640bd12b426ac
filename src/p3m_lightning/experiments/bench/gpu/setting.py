"""Extent and targets of the GPU benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Setting(NamedTuple):
    """Device and extent of the whole benchmark."""

    device: torch.device
    network: dict[str, Any]  # arguments of `create_model`
    size: int = 512  # of crops and photographs
    batch: int = 16  # crops in a step
    steps: int = 200  # of each way to train
    warm: int = 20  # of these, before the clock
    photographs: int = 128  # predicted one at a time, and in batches
    together: int = 32  # photographs in such a batch
    pairs: int = 16  # full-size portraits that are packed
    loaded: int = 100  # steps from packs
    workers: int = 8  # loader processes
    generator: dict[str, Any] = {"resolution": 256}  # noqa: RUF012  # arguments of `Generator`
    generated: int = 8  # images in a batch
    repeats: int = 10  # batches of images
    backend: str | None = "inductor"  # of `torch.compile`; None: nothing is compiled
    tests: Sequence[str | Path] = ("tests",)  # where the tests marked `gpu` are
    seconds: float = 570  # after which no further part is started


def full(device: torch.device) -> Setting:
    """Return the extent for a GPU: ten minutes."""
    return Setting(device, {"name": "p3mnet_r34"})


def small(device: torch.device) -> Setting:
    """Return the extent of a rehearsal: about a minute on a CPU."""
    return Setting(
        device,
        {"name": "p3mnet_r34", "width": 0.125},
        size=64,
        batch=2,
        steps=4,
        warm=1,
        photographs=4,
        together=2,
        pairs=2,
        loaded=3,
        workers=1,
        generator={"resolution": 16, "layers": 4, "max_channels": 16, "noise": 8, "latent": 16},
        generated=2,
        repeats=1,
        backend="eager",
    )


AIMS = {
    "training.images_ratio": 4.0,
    "training.memory_ratio": 2.0,
    "prediction.images_ratio": 6.0,
    "loading.busy": 0.95,
    "generator.images_ratio": 3.0,
}
"""Smallest acceptable results, by part and key."""

CURVES_APART = 0.05
"""Largest relative difference between the losses of two ways to train, averaged over a tenth of the steps."""
