"""Base class of callbacks with hooks of this package, beyond Lightning's."""

from __future__ import annotations

from typing import Any, ClassVar

from pytorch_lightning import Callback, Trainer

from p3m_lightning.models.blocks import MattingNetwork


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the callbacks of a trainer."""
    return trainer.callbacks  # type: ignore[attr-defined]  # Lightning attaches them without declaring them


class RunCallback(Callback):
    """A callback with additional information for the run; the defaults change nothing."""

    replaces_mattes: ClassVar[bool] = False
    """True if training batches need no mattes of their own with this callback."""

    def verify(self, net: MattingNetwork) -> None:
        """Raise InputError where the callback does not fit the network; asked before data are read or rendered."""

    def results(self) -> dict[str, Any]:
        """Return additional entries for `results.json`, after the test."""
        return {}
