"""The network in the box: weights that come with the package, used when none are named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the graph runs without torch
    from torch import nn

BOX = "portraits"
"""Name of the network; its card is README.md beside this file."""

KEYWORD = "box"
"""Value of `init_from` that stands for the network."""

BOX_FILE = Path(__file__).with_name(f"{BOX}.safetensors")
"""Its weights and configuration, safetensors of half precision."""

BOX_GRAPH = Path(__file__).with_name(f"{BOX}.onnx")
"""The same network as ONNX: only the graph, whose weights are those of `BOX_FILE` beside it."""


def load_box() -> tuple[nn.Module, Mapping[str, Any]]:
    """Build the network in the box, in `eval()` mode on the CPU; also return its recorded configuration."""
    from p3m_lightning.models import restore_model
    from p3m_lightning.models.weights import read_checkpoint

    checkpoint = read_checkpoint(BOX_FILE)
    return restore_model(checkpoint, str(BOX_FILE)), checkpoint.config
