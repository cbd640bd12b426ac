"""Labels of training sets that are not what they are declared as."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.mixtures import MixedDataset
from p3m_lightning.data.storage.readers import SampleFiles

LOOKED_AT = 8  # number of labels of a part that are examined
HARD = 0.002  # a matte with a smaller part of fractional pixels has no hair in it


def warn_of_masks(dataset: Any) -> None:
    """Warn about every part of a training set whose masks are declared as mattes."""
    for name in hard_parts(dataset):
        warnings.warn(
            f"data.train{name}: its mattes are practically binary, which teaches the network to cut hair hard; set"
            f" data.train{name}.labels=mask",
            stacklevel=2,
        )


def hard_parts(dataset: Any) -> list[str]:
    """Return the parts of a training set whose labels are masks but declared as mattes, as dotted keys; "" is the set.

    Up to `LOOKED_AT` labels of each are read; they count as masks if none has fractional pixels.
    """
    if isinstance(dataset, MixedDataset):
        seen = {name: one for name, one in dataset.datasets.items() if dataset.weights[name] > 0}
        return [f".datasets.{name}" for name, one in seen.items() if hard_parts(one)]
    if not isinstance(dataset, MattingDataset) or dataset.labels != "matte":
        return []
    return [""] if all(fraction_between(dataset, name) < HARD for name in dataset.names[:LOOKED_AT]) else []


def fraction_between(dataset: MattingDataset, name: str) -> float:
    """Return the share of the pixels of a label between background and foreground."""
    values = SampleFiles(dataset.files[name]).alpha()
    most = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    part = values / np.float32(most)
    return float(np.mean((part > 0.1) & (part < 0.9)))
