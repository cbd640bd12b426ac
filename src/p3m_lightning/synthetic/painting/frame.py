"""Frame of a body: conversion between body coordinates and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from p3m_lightning.synthetic.painting.plate import Window


class Frame(NamedTuple):
    """Place of a body: units of half a head, y down, the origin in the middle of the head."""

    origin: np.ndarray  # (2,), pixels of the plate
    unit: float  # pixels per unit
    lean: float  # radians, clockwise
    turn: float  # -1 to 1: rotation of the body to a side

    def place(self, points: np.ndarray | Sequence[Any]) -> np.ndarray:
        """Return the pixels (N, 2) of body points (N, 2)."""
        points = np.asarray(points, float)
        c, s = np.cos(self.lean), np.sin(self.lean)
        across = points[:, 0] * (1 - 0.22 * abs(self.turn)) + 0.18 * self.turn * (
            1 - np.exp(-np.maximum(points[:, 1], 0))
        )
        return np.column_stack([c * across - s * points[:, 1], s * across + c * points[:, 1]]) * self.unit + self.origin

    def local(self, window: Window, step: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return body coordinates x and y, float32 (h, w), of every `step`-th pixel of a window."""
        rows, columns = window
        x = (np.arange(columns.start, columns.stop, step, dtype=np.float32)[None] - self.origin[0]) / self.unit
        y = (np.arange(rows.start, rows.stop, step, dtype=np.float32)[:, None] - self.origin[1]) / self.unit
        c, s = np.float32(np.cos(self.lean)), np.float32(np.sin(self.lean))
        return (c * x + s * y).astype(np.float32), (c * y - s * x).astype(np.float32)
