"""Base of all losses: full precision, and errors that name the missing part of an output or a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar, cast

import torch
from torch import Tensor

from p3m_lightning.schema import LABELS, UNKNOWN, InputError, MattingOutput, Sample

T = TypeVar("T")


class Loss(ABC):
    """A loss, called as `loss(output, batch) -> {term: scalar}`; terms are unweighted.

    Names of terms depend only on the constructor's arguments, so that a table of weights can be verified against
    them before anything is computed.
    Everything is computed outside of autocast, in float32 or, for float64 outputs, in float64.
    """

    names: tuple[str, ...]
    """Names of the terms that `terms` returns."""
    cross_entropies: tuple[str, ...] = ()
    """Names of the terms that are cross entropies of classes; the others measure distances."""

    def __call__(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the terms of a network's `output` for a collated `batch`."""
        with torch.autocast(output.alpha.device.type, enabled=False):
            wide = MattingOutput(
                _widened(output.alpha),
                _widened(output.semantic),
                _widened(output.detail),
                tuple(_widened(side) for side in output.sides),
            )
            given = cast("Sample", {key: _widened(value) for key, value in batch.items()})
            return self.terms(as_labeled(wide, given), given)

    @abstractmethod
    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the terms; every floating tensor is float32 or float64 here."""

    def branches(self, output: MattingOutput) -> tuple[Tensor, Tensor]:
        """Return the outputs of the two branches of a network, `semantic` and `detail`.

        Raises:
            InputError: the network lacks one of them.
        """
        if output.semantic is None or output.detail is None:
            missing = "semantic" if output.semantic is None else "detail"
            raise InputError(
                f"loss: {type(self).__name__} needs a network that returns `{missing}`, and this one does not;"
                " use loss=alpha or the loss made for it"
            )
        return output.semantic, output.detail


def colors(batch: Sample) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, foreground and background of a batch, (N, 3, H, W) in [0, 1] each.

    Raises:
        InputError: the batch has no foreground and background.
    """
    if "foreground" not in batch or "background" not in batch:
        raise InputError(
            "loss: the composition term needs `foreground` and `background` in the batch;"
            " use data that has them, or leave the term out of loss.function"
        )
    return batch["image"], batch["foreground"], batch["background"]


def as_labeled(output: MattingOutput, batch: Sample) -> MattingOutput:
    """Replace the mattes of an output by the target where the labels of a batch do not determine them.

    Masks and trimaps teach where the person is, by the semantic terms and by the final matte outside the unknown
    region; inside it there is no error and no gradient, whatever the loss.
    """
    if "labels" not in batch:
        return output
    exact, target = exact_region(batch), batch["alpha"]
    alpha = torch.where(exact, output.alpha, target.to(output.alpha))
    detail = output.detail
    if detail is not None:
        detail = torch.where(exact, detail, target.to(detail))
    return output._replace(alpha=alpha, detail=detail)


def exact_region(batch: Sample) -> Tensor:
    """Return where the labels of a batch are true mattes, bool (N, 1, H, W): all of a matte, else the known part."""
    known = batch["trimap"] != UNKNOWN
    if "labels" not in batch:
        return torch.ones_like(known)
    return known | (batch["labels"] == LABELS.index("matte")).view(-1, 1, 1, 1)


def _widened(value: T) -> T:
    """Return float32 for half precision, anything else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return cast("T", value.float())
    return value
