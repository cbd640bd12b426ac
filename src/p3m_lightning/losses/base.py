"""Base of all losses: full precision, and errors that name the missing part of an output or a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar, cast

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
        """Return the terms of a network's `output` for a collated `batch`.

        Raises:
            InputError: mattes and trimap of several shapes, or a part of the output or the batch is missing.
        """
        ours = {"output.alpha": output.alpha, "output.detail": output.detail}
        require_one_shape({**ours, "batch.alpha": batch.get("alpha"), "batch.trimap": batch.get("trimap")})
        dtype = torch.float64 if output.alpha.dtype == torch.float64 else torch.float32
        with torch.autocast(output.alpha.device.type, enabled=False):
            wide = MattingOutput(
                _in_dtype(output.alpha, dtype),
                _in_dtype(output.semantic, dtype),
                _in_dtype(output.detail, dtype),
                tuple(_in_dtype(side, dtype) for side in output.sides),
            )
            given = cast("Sample", _Batch({key: _in_dtype(value, dtype) for key, value in batch.items()}))
            return self.terms(as_labeled(wide, given), given)

    @abstractmethod
    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the terms; the floating tensors are all float32 or all float64 here, and `batch` names a missing key.

        `alpha`, `detail` and `trimap` have one shape.
        """

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


def require_one_shape(maps: Mapping[str, Tensor | None]) -> None:
    """Refuse maps of several shapes, which arithmetic would broadcast in silence.

    Args:
        maps: name, for the message -> map, or None for one that is not there.

    Raises:
        InputError: the shapes differ; the message names all of them.
    """
    shapes = {name: tuple(one.shape) for name, one in maps.items() if one is not None}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"`{name}` {shape}" for name, shape in shapes.items())
        raise InputError(f"loss: {listed}: give all of them in one shape, (N, 1, H, W)")


class _Batch(dict[str, Any]):
    """A batch that names the key it lacks."""

    def __missing__(self, key: str) -> NoReturn:
        held = ", ".join(self) or "nothing"
        raise InputError(f"loss: needs `{key}` in the batch, which has {held}; use data with it, or another loss")


def _in_dtype(value: T, dtype: torch.dtype) -> T:
    """Return floating tensors in `dtype`, anything else as it is."""
    return cast("T", value.to(dtype)) if isinstance(value, Tensor) and value.is_floating_point() else value
