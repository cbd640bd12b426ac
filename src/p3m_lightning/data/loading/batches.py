"""Batches on their way from loader processes to the network: bytes as long as possible, floats at the end."""

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
LABELS, where they are not mattes."""


def to_sample(maps: Maps, name: str) -> Sample:
    """Turn the arrays whose roles are in ROLES into a Sample."""
    return cast("Sample", {role: value[0] for role, value in _floats(_stacked([(maps, name)])).items()})


def collate(items: Sequence[tuple[Maps, str] | InputError]) -> dict[str, Any] | InputError:
    """Stack the arrays of samples as bytes, a quarter of the size of floats; pass on the first error if there is one.

    Samples of a mixture keep only the roles that all of them have.

    Returns:
        role -> uint8 (N, C, H, W), or float32 in [0, 1] where a matte has 16 bits; `name` -> list.
    """
    errors = [item for item in items if isinstance(item, InputError)]
    return errors[0] if errors else _stacked([item for item in items if not isinstance(item, InputError)])


def as_floats(batch: Mapping[str, Any]) -> Sample:
    """Convert a collated batch into the floats that networks take, on its device; see `Sample`."""
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
    """Copy (H, W[, C]) to (C, H, W), in a tenth of the time of converting to floats in the same order."""
    planes = np.empty((pixels.shape[2] if pixels.ndim == 3 else 1, *pixels.shape[:2]), pixels.dtype)
    cv2.split(pixels, list(planes))
    return planes


def _as_floats(role: str, values: Tensor) -> Tensor:
    if role == "trimap":
        return values.long()
    return values.to(torch.float32).div_(255) if values.dtype == torch.uint8 else values


class HasMaps(Protocol[T]):
    """A data set that returns the arrays of its samples, for the loader's `collate_fn`."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def maps(self, item: Any, /) -> T:
        """Return the arrays of one sample; an item is an index, or whatever the loader's sampler yields instead."""


class Guarded(Dataset[T | InputError]):
    """A data set that returns the arrays of samples, and an InputError as a value instead of raising it.

    An exception raised in a worker would reach the user as a page of traceback.

    Args:
        dataset: the wrapped data set.
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
