"""What every loss object shares: full precision, and errors that say which part of an output or a batch is missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar, cast

import torch
from torch import Tensor

from p3m_lightning.schema import InputError, MattingOutput, Sample

T = TypeVar("T")


class Loss(ABC):
    """A loss is called as `loss(output, batch) -> {term: scalar}`; terms are unweighted, their names never vary.

    The names depend only on the constructor's arguments, so that a table of weights can be verified against them before
    anything is computed.
    Everything is computed outside of autocast, in float32 or, for float64 outputs, in float64.
    """

    names: tuple[str, ...]
    """Of the terms, as `terms` returns them."""

    def __call__(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the terms of a network's `output` for a collated `batch`."""
        with torch.autocast(output.alpha.device.type, enabled=False):
            wide = MattingOutput(
                _widened(output.alpha),
                _widened(output.semantic),
                _widened(output.detail),
                tuple(_widened(side) for side in output.sides),
            )
            return self.terms(wide, cast("Sample", {key: _widened(value) for key, value in batch.items()}))

    @abstractmethod
    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the terms; every floating tensor is float32 or float64 here."""

    def demand(self, output: MattingOutput, *parts: str) -> None:
        """Raise an InputError if the network gave none of one of `parts`, fields of `MattingOutput`."""
        for part in parts:
            if getattr(output, part) is None:
                raise InputError(
                    f"loss: {type(self).__name__} needs a network that returns `{part}`, and this one does not;"
                    " take loss=alpha or the loss made for it"
                )


def colors(batch: Sample) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, foreground and background of a batch, (N, 3, H, W) in [0, 1] each.

    Raises:
        InputError: the batch has no foreground and background.
    """
    if "foreground" not in batch or "background" not in batch:
        raise InputError(
            "loss: the composition term needs `foreground` and `background` in the batch;"
            " take data that has them, or leave the term out of loss.function"
        )
    return batch["image"], batch["foreground"], batch["background"]


def _widened(value: T) -> T:
    """Return float32 for half precision, anything else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return cast("T", value.float())
    return value
