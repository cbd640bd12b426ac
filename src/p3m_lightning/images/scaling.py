"""Codes of 8 and 16 bits, and the unit range."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_unit(pixels: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
    """Scale uint8 or uint16 pixels to [0, 1]; floats pass."""
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(dtype, copy=False)
    values = pixels.astype(dtype)
    values /= dtype(np.iinfo(pixels.dtype).max)  # in place: large photographs are large enough once
    return values


def from_unit(values: np.ndarray, dtype: Any = np.uint8) -> np.ndarray:
    """Round values of [0, 1] to the full range of `dtype` (uint8 or uint16)."""
    top = np.iinfo(dtype).max
    return np.rint(np.clip(values, 0, 1) * top).astype(dtype)


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Round uint16 pixels to uint8 (65535 becomes 255); uint8 passes."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
