"""The network in the box: weights that come with the package, for whoever names none."""

from __future__ import annotations

from pathlib import Path

from torch import nn

BOX = "portraits"
"""Name of the network; its card is README.md beside this file."""


def box_file() -> Path:
    """Return the file of the network in the box, safetensors of half precision."""
    return Path(__file__).with_name(f"{BOX}.safetensors")


def load_box() -> nn.Module:
    """Build the network in the box, in `eval()` mode on the CPU."""
    from p3m_lightning.models import load_model

    return load_model(box_file())
