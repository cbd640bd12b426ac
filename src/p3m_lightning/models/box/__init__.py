"""The network in the box: weights that come with the package, for whoever names none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the graph is run without torch
    from torch import nn

BOX = "portraits"
"""Name of the network; its card is README.md beside this file."""


def box_file() -> Path:
    """Return the file of the network in the box, safetensors of half precision."""
    return Path(__file__).with_name(f"{BOX}.safetensors")


def box_graph() -> Path:
    """Return the same network as ONNX: its graph alone, whose weights are those of `box_file` beside it."""
    return Path(__file__).with_name(f"{BOX}.onnx")


def load_box() -> tuple[nn.Module, Mapping[str, Any]]:
    """Build the network in the box, in `eval()` mode on the CPU; also return its recorded configuration."""
    from p3m_lightning.models import restore_model
    from p3m_lightning.models.weights import read_checkpoint

    checkpoint = read_checkpoint(box_file())
    return restore_model(checkpoint, str(box_file())), checkpoint.config
