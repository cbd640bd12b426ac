"""Mattes of photographs: in batches, against one at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from p3m_lightning.experiments.bench.gpu.setting import Setting
from p3m_lightning.experiments.bench.gpu.training import wait
from p3m_lightning.images import Photo
from p3m_lightning.inference import Predictor
from p3m_lightning.models import create_model


def prediction(setting: Setting) -> dict[str, Any]:
    """Predict photographs of one size, held in memory, each way.

    Returns:
        `ways` by name: `images_per_second` and `sad` to the mattes of the first; `images_ratio` of the last to it.
    """
    torch.manual_seed(0)
    net = create_model(**setting.network)
    generator = np.random.default_rng(0)
    shape = (setting.photographs, setting.size, setting.size, 3)
    photos = [Photo(pixels) for pixels in generator.integers(256, size=shape, dtype=np.uint8)]
    ways = {
        "one at a time": ("32", 1),
        "batches": ("32", setting.together),
        "batches, bfloat16": ("bf16", setting.together),
    }
    found: dict[str, dict[str, float]] = {}
    first: list[np.ndarray] = []
    for name, (precision, together) in ways.items():
        predictor = Predictor(net, str(setting.device), "native", precision=precision, engine="torch")
        mattes, seconds = _predict(predictor, photos, together, setting)
        first = first or mattes
        apart = [np.abs(a - b).sum(dtype=float) / 1000 for a, b in zip(first, mattes, strict=True)]
        found[name] = {"images_per_second": len(photos) / seconds, "sad": float(np.mean(apart))}
    rates = [row["images_per_second"] for row in found.values()]
    return {"ways": found, "images_ratio": rates[-1] / rates[0]}


def _predict(
    predictor: Predictor, photos: Sequence[Photo], together: int, setting: Setting
) -> tuple[list[np.ndarray], float]:
    predictor.batch(photos[:together])  # one-time work
    wait(setting.device)
    begin = time.perf_counter()
    groups = [photos[at : at + together] for at in range(0, len(photos), together)]
    mattes = [matte.alpha for group in groups for matte in predictor.batch(group)]
    return mattes, time.perf_counter() - begin
