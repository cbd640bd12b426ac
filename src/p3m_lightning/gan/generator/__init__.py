"""StyleGAN3, implemented from the paper: generator of RGBA portraits."""

from __future__ import annotations

from pathlib import Path

from p3m_lightning.gan.generator.fourier import movement
from p3m_lightning.gan.generator.synthesis import Generator
from p3m_lightning.models.weights import load_strictly, read_weights, uncompiled
from p3m_lightning.schema import InputError

__all__ = ["Generator", "load_generator", "movement"]

PREFIX = "averaged."
"""Prefix of the keys of the averaged generator in a checkpoint of `p3m gan train`."""


def load_generator(path: str | Path) -> Generator:
    """Rebuild the generator with its averaged weights from a checkpoint of `p3m gan train`; `eval()`, on the CPU.

    Raises:
        InputError: no such file, or not such a checkpoint.
    """
    content = read_weights(path)
    config, whole = content.get("config"), content.get("state_dict")
    if not isinstance(config, dict) or "generator" not in config or not isinstance(whole, dict):
        raise InputError(f"{path}: not a checkpoint of `p3m gan train` (no config.generator or no weights in it)")
    generator = Generator(**{key: value for key, value in config["generator"].items() if key != "_target_"})
    named = uncompiled(whole, str(path))
    state = {key.removeprefix(PREFIX): value for key, value in named.items() if key.startswith(PREFIX)}
    load_strictly(generator, state, str(path))
    return generator.eval().requires_grad_(False)
