"""Data sets of matting: files paired by stem, by the layout that a card describes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from p3m_lightning.data.layout import dataset_card, find_samples
from p3m_lightning.data.readers import SampleFiles
from p3m_lightning.data.transforms import EvalTransform, to_sample
from p3m_lightning.schema import InputError, Sample

Transform = Callable[[SampleFiles, int], dict[str, np.ndarray]]


FOREGROUNDS = ("none", "cached", "crop")


class Draw(NamedTuple):
    """An index that carries its seed, so that a sample's random draws do not depend on the worker that makes it."""

    index: int
    seed: int


class MattingDataset(Dataset):
    """Images and mattes of one split, as `Sample`s.

    A plain index takes its random draws from torch's generator, as people expect of a loader of their own; a `Draw`
    fixes them.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`, which knows the layout.
        split: part of the data set.
        transform: what becomes of the files; `TrainTransform` or `EvalTransform` (default).
        images: folder of the images where the data set offers several, as "blurred_image" or "original_image".
        foreground: "none"; "cached": from the data set's own folders or those `p3m data foregrounds` writes; "crop":
            the same where they are there, else estimated for the crop alone (`TrainTransform` only).
        cache: further place to look for foregrounds, what `p3m data foregrounds --out` was given.
        face: also return the mask of the obfuscated face; black where an image has none.
        limit: only so many samples, the first by name.

    Raises:
        InputError: unknown name or split, missing folder, image without matte or matte without image.
    """

    def __init__(
        self,
        root: str | Path,
        name: str = "p3m-10k",
        split: str = "train",
        transform: Transform | None = None,
        images: str | None = None,
        foreground: str = "none",
        cache: str | Path | None = None,
        face: bool = False,
        limit: int | None = None,
    ) -> None:
        if foreground not in FOREGROUNDS:
            raise InputError(f"foreground: {foreground!r} is not one of {', '.join(FOREGROUNDS)}")
        if dataset_card(name).images_only:
            raise InputError(f"{name}: has images only, there is nothing to learn mattes from; see its card")
        layers = {"foreground", "background"}
        self.transform = transform or EvalTransform()
        self.estimate = foreground == "crop"
        self.face = face
        self.files = find_samples(
            root,
            name,
            split,
            images,
            needed=layers if foreground == "cached" else (),
            wanted={"trimap"} | (layers if self.estimate else set()) | ({"face"} if face else set()),
            cache=cache,
        )
        self.names = sorted(self.files)[:limit]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, item: int | Draw) -> Sample:
        index, seed = item if isinstance(item, tuple) else (item, int(torch.randint(2**31, ())))
        name = self.names[index]
        return to_sample(self.transform(SampleFiles(self.files[name], self.estimate, self.face), seed), name)

    def select(self, names: Iterable[str], transform: Transform | None = None) -> MattingDataset:
        """Return a data set of these names only, with another transform where one is given."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__, names=sorted(names))
        part.transform = transform or self.transform
        return part
