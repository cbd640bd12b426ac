"""Masks that are declared as mattes."""

import warnings

import numpy as np
import pytest

from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.declared_labels import hard_parts, warn_of_masks
from p3m_lightning.images import write_image


def test_masks_declared_as_mattes_are_told_with_the_key(tmp_path, portraits):
    for number in range(2):
        square = np.zeros((48, 48), np.uint8)
        square[12:36, 8 + number : 30] = 255
        write_image(tmp_path / "image" / f"{number}.png", np.full((48, 48, 3), 90, np.uint8))
        write_image(tmp_path / "alpha" / f"{number}.png", square)
    masks = MattingDataset(tmp_path, "folder")
    assert hard_parts(masks) == [""]
    with pytest.warns(UserWarning, match=r"data\.train\.labels=mask"):
        warn_of_masks(masks)
    with warnings.catch_warnings(action="error"):
        warn_of_masks(MattingDataset(tmp_path, "folder", labels="mask"))
        warn_of_masks(MattingDataset(portraits, "synthetic"))
        warn_of_masks(None)
