"""Metrics: pure functions (`functional`), a torchmetrics class, reports, and scoring of folders of mattes."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p3m_lightning.metrics.matting import MattingMetrics


def __getattr__(name: str) -> object:
    """Import `MattingMetrics` on first use, so that scoring files does not load torch."""
    if name != "MattingMetrics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.matting").MattingMetrics


__all__ = ["MattingMetrics"]
