"""Batches on their way from the loader's processes to the network: bytes as long as possible, floats at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from p3m_lightning.images import to_unit
from p3m_lightning.schema import LABELS, InputError, Sample

T = TypeVar("T", covariant=True)  # of a sample's arrays

ROLES = ("image", "alpha", "trimap", "foreground", "background", "face", "candidates")
Maps = Mapping[str, Any]
"""role -> array: colors uint8 (H, W, 3); mattes uint8 or uint16 (H, W); trimap classes uint8 (H, W); `labels`, one of
LABELS, where they are no mattes."""


def to_sample(maps: Maps, name: str) -> Sample:
    """Make a Sample of the arrays among ROLES."""
    return cast("Sample", {role: value[0] for role, value in _floats(_stacked([(maps, name)])).items()})


def collate(items: Sequence[tuple[Maps, str] | InputError]) -> dict[str, Any] | InputError:
    """Stack the arrays of samples as they are, a quarter of the bytes of floats; hand on the first error if any.

    Of a mixture, the roles that all of its samples have.

    Returns:
        role -> uint8 (N, C, H, W), or float32 in [0, 1] where a matte has 16 bits; `name` -> list.
    """
    errors = [item for item in items if isinstance(item, InputError)]
    return errors[0] if errors else _stacked([item for item in items if not isinstance(item, InputError)])


def as_floats(batch: Mapping[str, Any]) -> Sample:
    """Make of a collated batch what networks take, on the device it lies on; see `Sample`."""
    return cast("Sample", _floats(batch))


def _stacked(items: Sequence[tuple[Maps, str]]) -> dict[str, Any]:
    batch: dict[str, Any] = {"name": [name for _, name in items]}
    for role in (role for role in ROLES if all(role in maps for maps, _ in items)):
        arrays = [maps[role] for maps, _ in items]
        if any(array.dtype != np.uint8 for array in arrays):
            arrays = [to_unit(array) for array in arrays]
        batch[role] = default_collate([torch.from_numpy(_planes(array)) for array in arrays])
    kinds = [maps.get("labels", "matte") for maps, _ in items]
    if set(kinds) != {"matte"}:
        batch["labels"] = torch.tensor([LABELS.index(kind) for kind in kinds])
    return batch


def _floats(batch: Mapping[str, Any]) -> dict[str, Any]:
    return {role: _as_floats(role, value) if isinstance(value, Tensor) else value for role, value in batch.items()}


def _planes(pixels: np.ndarray) -> np.ndarray:
    """Copy (H, W[, C]) to (C, H, W), a matter of a tenth of the time that making floats in the same order takes."""
    planes = np.empty((pixels.shape[2] if pixels.ndim == 3 else 1, *pixels.shape[:2]), pixels.dtype)
    cv2.split(pixels, list(planes))
    return planes


def _as_floats(role: str, values: Tensor) -> Tensor:
    if role == "trimap":
        return values.long()
    return values.to(torch.float32).div_(255) if values.dtype == torch.uint8 else values


class HasMaps(Protocol[T]):
    """A data set that gives the arrays of its samples, as they are put together by its loader's `collate_fn`."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def maps(self, item: Any, /) -> T:
        """Return the arrays of one sample; an item is an index, or what the loader's sampler yields in its place."""


class Guarded(Dataset[T | InputError]):
    """Gives the arrays of a data set's samples, and wrong input as a value.

    An exception would cross from a worker as a page of traceback.

    Args:
        dataset: what to guard.
    """

    def __init__(self, dataset: HasMaps[T]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: Any) -> T | InputError:
        try:
            return self.dataset.maps(item)
        except InputError as error:
            return error
