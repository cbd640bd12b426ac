"""Candidates: faulty mattes of a training image, to train the quality head on."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from random import Random
from typing import Any

import cv2
import numpy as np

from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.images import from_unit, to_uint8, to_unit
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.quality.corruptions import corrupt
from p3m_lightning.schema import InputError


class CandidateTransform:
    """The whole image or a random window at the judge's size, its true matte, and candidates made from it.

    A transform of `data.datasets.MattingDataset`.

    Args:
        size: pixels of the shorter side, as for `network.QualityHead`, or of a square window.
        count: candidates per image.
        windows: smallest side of a random square window, as a share of the image's shorter side; None uses the whole
            image, with draws that depend only on its matte, so that a test set is reproducible.
        most: largest number of faults of a candidate, which has from none to this many.
        kinds: keys of `corruptions.CORRUPTIONS`; null for all.
        kernel: side of the structuring element of the trimap where the data set has no trimap.
    """

    def __init__(
        self,
        size: int = 320,
        count: int = 3,
        windows: float | None = None,
        most: int = 3,
        kinds: Sequence[str] | None = None,
        kernel: int = 25,
    ) -> None:
        if size % 32 or size <= 0:
            raise InputError(f"size={size}: give a multiple of 32")
        self.size, self.count, self.windows, self.most, self.kinds = size, count, windows, most, kinds
        self.kernel = kernel

    def __call__(self, files: SampleFiles, seed: int) -> dict[str, Any]:
        """Read one sample: image uint8 (h, w, 3), alpha uint8 (h, w), trimap, candidates uint8 (h, w, count)."""
        alpha = files.alpha()
        trimap = files.trimap(alpha.shape)
        if trimap is None:
            trimap = trimap_from_alpha(alpha, self.kernel)
        maps = {"alpha": to_uint8(alpha), "trimap": trimap, "image": files.maps(alpha.shape)["image"]}
        draws = Random(seed if self.windows else zlib.crc32(alpha.tobytes()))
        maps = self._reduced(maps, draws)
        true = to_unit(maps["alpha"])
        made = [corrupt(true, maps["image"], draws, self.kinds, self.most) for _ in range(self.count)]
        return {**maps, "candidates": np.stack([from_unit(one) for one in made], axis=-1)}

    def _reduced(self, maps: dict[str, np.ndarray], draws: Random) -> dict[str, np.ndarray]:
        height, width = maps["alpha"].shape
        size = judged_size((height, width), self.size)
        if self.windows:
            side = max(1, round(min(height, width) * draws.uniform(self.windows, 1)))
            top, left = draws.randint(0, height - side), draws.randint(0, width - side)
            step = draws.choice([1, -1])
            maps = {role: m[top : top + side, left : left + side][:, ::step] for role, m in maps.items()}
            size = self.size, self.size
        return {role: reduced(pixels, size, exact=role == "trimap") for role, pixels in maps.items()}


def judged_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Return the size at which an image is judged: the given shorter side, both sides multiples of 32."""
    scale = short_side / min(size)
    height, width = (max(32, round(side * scale / 32) * 32) for side in size)
    return height, width


def reduced(pixels: np.ndarray, size: tuple[int, int], exact: bool = False) -> np.ndarray:
    """Resize (H, W[, C]) by area averaging, which preserves mean errors; `exact` uses the nearest value."""
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels)
    larger = size[0] > pixels.shape[0] or size[1] > pixels.shape[1]
    smooth = cv2.INTER_LINEAR if larger else cv2.INTER_AREA
    pixels = np.ascontiguousarray(pixels)
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT if exact else smooth)
