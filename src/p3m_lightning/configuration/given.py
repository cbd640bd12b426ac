"""Configurations that a caller in Python passes: of `compose_run`, or as `hydra.main` passes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p3m_lightning.configuration import resolve
from p3m_lightning.schema import InputError

_EVERYWHERE = ("ckpt", "data", "logger", "paths", "seed", "trainer")
NEEDED = {
    "train": (  # `model` may come from the checkpoint in `init_from`
        *_EVERYWHERE,
        *("average", "callbacks", "channels_last", "frozen", "inference", "init_from", "loss"),
        *("lr_factors", "lr_scaling", "optimizer", "scheduler"),
    ),
    "eval": (*_EVERYWHERE, "inference", "weights"),
    "gan": (*_EVERYWHERE, "augmentation", "controller", "discriminator", "generator", "images", "optimizers", "recipe"),
    "quality": (*_EVERYWHERE, "model", "optimizer", "recipe", "scheduler"),
    "cycle": ("ckpt", "control", "device", "gate", "mattes", "paths", "prepare", "sampling", "seed", "size"),
}
"""Keys of `conf/<verb>.yaml` without which its work cannot begin."""


def given_config(config: Any, verb: str) -> dict[str, Any]:
    """Return a composed configuration as plain containers; a tree of OmegaConf is resolved.

    Args:
        config: `conf/<verb>.yaml` composed.
        verb: a key of `NEEDED`.

    Raises:
        InputError: not a mapping, a key is missing, or an interpolation fails.
    """
    from omegaconf import DictConfig

    compose = f"compose it with p3m_lightning.compose_run({verb!r}, OVERRIDES, FOLDER) or hydra.main"
    plain = resolve(config, verb) if isinstance(config, DictConfig) else config
    if not isinstance(plain, Mapping):
        raise InputError(f"config: {type(config).__name__} is no configuration; {compose}")
    if lacking := [key for key in NEEDED[verb] if key not in plain]:
        raise InputError(f"config: lacks {', '.join(lacking)}; {compose}")
    return dict(plain)
