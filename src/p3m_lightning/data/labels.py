"""Kinds of labels: mattes, masks and trimaps, and the check that files match their kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from p3m_lightning.images import trimap_classes
from p3m_lightning.schema import InputError

SOFT = 0.02  # largest share of in-between pixels in a mask, such as JPEG leaves
SURE = 0.1  # of the full range: closer to 0 or 1 than this is background or foreground


def checked_label(values: np.ndarray, labels: str, path: Path) -> np.ndarray:
    """Return the label of an image as a matte.

    Args:
        values: uint8 or uint16 (H, W), full range.
        labels: `mask`, or `trimap` with one code for each class.
        path: of the file, for messages.

    Returns:
        uint8 (H, W): 0 and 255, for a trimap also 128, its unknown region.

    Raises:
        InputError: the values contradict the kind of label.
    """
    if labels == "trimap":
        return trimap_codes(trimap_classes(values))
    part = values / np.float32(np.iinfo(values.dtype).max)
    soft = float(np.mean((part > SURE) & (part < 1 - SURE)))
    if soft > SOFT:
        raise InputError(
            f"{path}: labels=mask, but {soft:.0%} of its pixels lie between background and foreground; labels=matte"
            " takes them as they are"
        )
    return np.where(part > 0.5, np.uint8(255), np.uint8(0))


def trimap_codes(classes: np.ndarray) -> np.ndarray:
    """Return the classes of a trimap, uint8 (H, W), as a matte of 0, 128 and 255."""
    return np.array([0, 128, 255], np.uint8)[classes]
