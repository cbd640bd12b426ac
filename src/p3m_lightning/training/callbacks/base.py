"""Base class of callbacks that answer a run, beyond Lightning's hooks."""

from __future__ import annotations

from typing import Any, ClassVar

from pytorch_lightning import Callback, Trainer

from p3m_lightning.models.blocks import MattingNetwork


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the callbacks of a trainer."""
    return trainer.callbacks  # type: ignore[attr-defined]  # Lightning attaches them and declares them nowhere


class RunCallback(Callback):
    """A callback that can tell the run about itself; every hook has an answer that changes nothing."""

    replaces_mattes: ClassVar[bool] = False
    """Whether training batches need no mattes of their own while this callback is there."""

    def verify(self, net: MattingNetwork) -> None:
        """Raise InputError where the callback does not fit the network; asked before data are read or rendered."""

    def results(self) -> dict[str, Any]:
        """Return what `results.json` is to hold besides, asked after the test."""
        return {}
