"""The plain loader that ours is measured against, which works as the published code does.

It decodes four whole images by Pillow, makes the trimap of the whole matte, then crops, resizes, flips, and converts to
floats. Nothing in it is slow on purpose: OpenCV does the morphology and resizing, and torch's own loader the batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from p3m_lightning.ops import elliptic_kernel

SIDES, SIZE, KERNELS = (512, 768, 1024), 512, (15, 30)  # released code
ROLES = ("image", "alpha", "foreground", "background")

Files = Mapping[str, Path]


class ReferenceDataset(Dataset):
    """Training crops of P3M's 2024 code: float tensors (C, 512, 512) in [0, 1], the trimap as classes.

    Args:
        files: stem -> role -> path; every one of ROLES is there.
        length: samples per epoch; the files are cycled through.
    """

    def __init__(self, files: Mapping[str, Files], length: int) -> None:
        self.files, self.length = [files[stem] for stem in sorted(files)], length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = np.random.default_rng(int(torch.randint(2**31, ())))
        arrays = decode(self.files[index % len(self.files)])
        arrays["trimap"] = whole_trimap(arrays["alpha"], int(generator.integers(KERNELS[0], KERNELS[1] + 1)))
        top, left, side = draw_window(arrays["trimap"], generator)
        return cut(arrays, top, left, side, bool(generator.random() < 0.5))


def decode(files: Files) -> dict[str, np.ndarray]:
    """Return the pixels of all files, uint8 (H, W, 3), of the matte (H, W)."""
    arrays = {}
    for role in ROLES:
        with Image.open(files[role]) as image:
            arrays[role] = np.array(image.convert("L" if role == "alpha" else "RGB"))
    return arrays


def whole_trimap(alpha: np.ndarray, kernel: int) -> np.ndarray:
    """Return the trimap of a matte uint8 (H, W): 0, 128, 255."""
    element = elliptic_kernel(kernel)
    dilated = cv2.dilate((alpha > 0).astype(np.uint8), element)
    eroded = cv2.erode((alpha == 255).astype(np.uint8), element)
    trimap = np.full(alpha.shape, 128, np.uint8)
    trimap[dilated == 0] = 0
    trimap[eroded == 1] = 255
    return trimap


def draw_window(trimap: np.ndarray, generator: np.random.Generator) -> tuple[int, int, int]:
    """Return top, left and side of a crop, half of the time centered on an unknown pixel."""
    height, width = trimap.shape
    side = int(generator.choice(SIDES))
    side = side if side <= min(height, width) else min(SIDES)
    row, column = int(generator.integers(height)), int(generator.integers(width))
    if generator.random() < 0.5:
        rows, columns = np.where(trimap == 128)
        if len(rows):
            chosen = int(generator.integers(len(rows)))
            row, column = int(rows[chosen]), int(columns[chosen])
    top, left = (min(max(at - side // 2, 0), room) for at, room in ((row, height - side), (column, width - side)))
    return top, left, side


def cut(arrays: Mapping[str, np.ndarray], top: int, left: int, side: int, flip: bool) -> dict[str, Tensor]:
    """Crop, resize and flip the arrays, and convert them to tensors."""
    sample = {}
    for role, pixels in arrays.items():
        crop = cv2.resize(pixels[top : top + side, left : left + side], (SIZE, SIZE))
        crop = crop[:, ::-1] if flip else crop
        if role == "trimap":
            classes = np.full(crop.shape, 1, np.int64)
            classes[crop < 50], classes[crop > 180] = 0, 2
            sample[role] = torch.from_numpy(classes)[None]
        else:
            crop = crop[..., None] if crop.ndim == 2 else crop
            sample[role] = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1), np.float32) / 255)
    return sample
