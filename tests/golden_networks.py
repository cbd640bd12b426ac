"""Recorded networks: rebuild the reference checkpoint from names and shapes, compare outputs within the tolerances."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from p3m_lightning.ops import IMAGENET_MEAN, IMAGENET_STD


class Recording(NamedTuple):
    """One recorded network."""

    spec: dict  # NAME.json
    data: dict  # NAME.npz
    state: dict[str, Tensor]  # the checkpoint in the authors' layout


def load_fill(golden: Path) -> Callable[[str, tuple[int, ...], int], np.ndarray]:
    """Return the rule that gives every parameter its value."""
    sys.path.insert(0, str(golden))
    try:
        from fill import fill
    finally:
        sys.path.remove(str(golden))
    return fill


def load_recording(golden: Path, name: str) -> Recording:
    fill = load_fill(golden)
    spec = json.loads((golden / "networks" / f"{name}.json").read_text())
    data = dict(np.load(golden / "networks" / f"{name}.npz"))
    state = {}
    for key, shape, _ in spec["canonical"]:
        if key not in spec["unfilled"]:
            value = fill(key, tuple(shape), spec["seed"]) * np.float32(spec["scale"].get(key, 1))
            state[key] = torch.from_numpy(np.asarray(value))
    state |= {alias: state[key] for alias, key in spec["aliases"].items() if key in state}
    state |= {key: torch.from_numpy(data[f"const/{key}"]) for key in spec["constants"]}
    return Recording(spec, data, state)


def denormalize(inputs: np.ndarray, mean=IMAGENET_MEAN, std=IMAGENET_STD) -> Tensor:
    """Recorded inputs are normalized; the networks here take RGB in [0, 1]."""
    shape = (1, 3, 1, 1)
    return torch.from_numpy(inputs) * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)


def assert_outputs_match(
    recording: Recording, outputs: dict[str, Tensor], suffix: str = "", margin: float = 1e-3
) -> None:
    """Compare full outputs, by their recorded names, with the arrays `NAME + suffix` within the recorded tolerances.

    The first output holds the class scores; fused outputs are compared where its two largest values differ by more
    than `margin`.
    """
    spec, data, _ = recording
    for output in spec["outputs"]:
        name = output["name"]
        actual = on_grid(recording, outputs[name].detach(), suffix).numpy()
        expected = data[name + suffix]
        assert actual.shape == expected.shape, name
        error = np.abs(actual - expected)
        if name in ("fused_alpha", "fusion"):
            scores = np.sort(data[spec["outputs"][0]["name"] + suffix], axis=1)
            error = error[scores[:, -1:] - scores[:, -2:-1] > margin]
        assert (error <= output["atol"]).mean() >= output["share_within_atol"], (name, np.quantile(error, 0.999))
        assert error.max() <= output["atol_all"], (name, error.max())


def on_grid(recording: Recording, maps: Tensor, suffix: str) -> Tensor:
    """Keep the positions of 4-D `maps` that were stored: `[..., ::3, ::3]` in the JSON."""
    step = grid_step(recording.spec["stored_grid"].get(suffix[-1:] or "a", "whole array"))
    return maps[..., ::step, ::step]


def grid_step(rule: str) -> int:
    """Read which rows and columns a rule as `[..., ::3, ::3]` keeps; any other text means all of them."""
    return int(rule.split("::")[1].split(",")[0]) if "::" in rule else 1
