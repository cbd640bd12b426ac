"""Training data of a portrait GAN: square RGBA images, each with a background to composite it over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from p3m_lightning.data.datasets import SeededIndex, first_names
from p3m_lightning.data.storage.layout import find_samples
from p3m_lightning.data.storage.readers import SampleFiles, read_color
from p3m_lightning.images import images_by_stem, list_images, open_image, to_uint8
from p3m_lightning.schema import InputError

OUTSIDE = ("keep", "blank")
BLANK = 128
"""Gray of blanked colors outside the portrait: 0 for a network that works in [-1, 1]."""


class RGBADataset(Dataset):
    """Portraits with their mattes as uint8 (size, size, 4), cropped to the center square.

    Args:
        root: folder of the data set.
        name: its layout, a key of `data.cards.DATASETS` with mattes ("folder" for images beside mattes), or "rgba" for
            a folder of RGBA images.
        split: part of the data set; not for "rgba".
        images: folder of images where the data set has several, such as "blurred_image" and "original_image".
        size: side of the images.
        foreground: use the foreground colors of the data set or of `p3m data foregrounds`, so that nothing of the old
            background shows at the edge.
        outside: "keep" the colors where alpha is 0, or "blank" them, so that they need not be learned.
        cache: keep the images in memory once read.
        limit: use only this many images, the first by name.

    Raises:
        InputError: missing folder or files, an unknown layout, or an image without alpha.
    """

    def __init__(
        self,
        root: str | Path,
        name: str = "folder",
        split: str = "train",
        images: str | None = None,
        size: int = 256,
        foreground: bool = False,
        outside: str = "keep",
        cache: bool = False,
        limit: int | None = None,
    ) -> None:
        if outside not in OUTSIDE:
            raise InputError(f"outside: {outside!r} is not one of {', '.join(OUTSIDE)}")
        if name == "rgba":
            found = {stem: {"rgba": path} for stem, path in images_by_stem(root).items()}
        else:
            found = find_samples(root, name, split, images, {"foreground"} if foreground else ())
            if any("alpha" not in files for files in found.values()):
                raise InputError(f"{name}: has images only, without mattes to learn from")
        self.names = first_names(found, limit)
        self.files, self.size, self.outside, self.foreground = found, size, outside, foreground
        self.kept: dict[int, np.ndarray] | None = {} if cache else None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        if self.kept is None:
            return self._read(self.files[self.names[index]])
        if index not in self.kept:
            self.kept[index] = self._read(self.files[self.names[index]])
        return self.kept[index]

    def _read(self, files: Mapping[str, Path]) -> np.ndarray:
        picture = _read_rgba(files["rgba"]) if "rgba" in files else self._joined(files)
        picture = resized(middle_square(picture), self.size)
        if self.outside == "blank":
            picture[picture[..., 3] == 0, :3] = BLANK
        return picture

    def _joined(self, files: Mapping[str, Path]) -> np.ndarray:
        sample = SampleFiles(files)
        alpha = to_uint8(sample.alpha())
        colors = sample.maps(alpha.shape)["foreground" if self.foreground else "image"]
        return np.dstack([colors, alpha])


class Backgrounds(Dataset):
    """Random squares of photographs, mirrored every other time: uint8 (size, size, 3).

    Args:
        root: folder of images, such as BG-20k's `train`.
        size: side of the squares.
        least: side of the smallest square that is cut out, as a part of the shorter side.

    Raises:
        InputError: no such folder, or no images in it.
    """

    def __init__(self, root: str | Path, size: int = 256, least: float = 0.5) -> None:
        self.files, self.size, self.least = list_images(root), size, least

    def __len__(self) -> int:
        return len(self.files)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Return a square of an image, both chosen by `generator`."""
        picture = read_color(self.files[generator.integers(len(self))])
        shorter = min(picture.shape[:2])
        side = max(round(shorter * generator.uniform(self.least, 1)), 1)
        top, left = (generator.integers(extent - side + 1) for extent in picture.shape[:2])
        square = resized(picture[top : top + side, left : left + side], self.size)
        return square[:, ::-1] if generator.random() < 0.5 else square


class GANDataset(Dataset):
    """A portrait and a background for each `SeededIndex`; randomness follows from its seed alone.

    Args:
        portraits: the real portraits.
        backgrounds: backgrounds of composites for the vision-aided discriminator.
        mirror: mirror every other portrait.
    """

    def __init__(self, portraits: RGBADataset, backgrounds: Backgrounds, mirror: bool = True) -> None:
        if portraits.size != backgrounds.size:
            raise InputError(f"data: portraits of {portraits.size} pixels, backgrounds of {backgrounds.size}")
        self.portraits, self.backgrounds, self.mirror = portraits, backgrounds, mirror

    def __len__(self) -> int:
        return len(self.portraits)

    def maps(self, item: SeededIndex) -> tuple[np.ndarray, np.ndarray]:
        """Return uint8 (size, size, 4) and (size, size, 3)."""
        generator = np.random.default_rng(item.seed)
        rgba = self.portraits[item.position]
        if self.mirror and generator.random() < 0.5:
            rgba = rgba[:, ::-1]
        return rgba, self.backgrounds.draw(generator)


def stack_pictures(pictures: Sequence[np.ndarray]) -> Tensor:
    """Stack uint8 (H, W, C) to (N, C, H, W)."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def middle_square(picture: np.ndarray) -> np.ndarray:
    """Crop (H, W, C) to its center square."""
    side = min(picture.shape[:2])
    top, left = ((extent - side) // 2 for extent in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def resized(picture: np.ndarray, size: int) -> np.ndarray:
    """Resize a square uint8 image (H, H, C), averaging where it shrinks; always a copy."""
    method = cv2.INTER_AREA if picture.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=method)


def _read_rgba(path: Path) -> np.ndarray:
    with open_image(path) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
            raise InputError(f"{path}: has no alpha; for images beside mattes use data.portraits.name=folder")
        return np.asarray(image.convert("RGBA"))
