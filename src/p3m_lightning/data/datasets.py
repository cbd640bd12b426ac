"""Matting data sets: files paired by stem, in the layout that a card describes."""

from __future__ import annotations

import copy
import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from torch.utils.data import Dataset

from p3m_lightning.data.composition import lay_before
from p3m_lightning.data.loading.batches import Maps, to_sample
from p3m_lightning.data.storage.layout import PACK, Samples, dataset_card, find_samples
from p3m_lightning.data.storage.readers import SampleFiles, read_color
from p3m_lightning.data.transforms import EvalTransform
from p3m_lightning.schema import LABELS, InputError, Sample

if TYPE_CHECKING:
    import albumentations as A

Transform = Callable[[SampleFiles, int], Maps]

FOREGROUNDS = ("none", "cached", "crop")


class SeededIndex(NamedTuple):
    """An index that carries its seed, so that a sample's random draws do not depend on the worker that makes it."""

    position: int
    seed: int


class ArrayDataset(Dataset[Sample], ABC):
    """Samples as arrays (`maps`), which loaders collate, or as tensors, by index."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, item: int | SeededIndex) -> Sample:
        return to_sample(*self.maps(item))

    @abstractmethod
    def maps(self, item: int | SeededIndex) -> tuple[Maps, str]:
        """Return the arrays of one sample and its name."""

    @abstractmethod
    def sources(self) -> Iterator[tuple[str, Mapping[str, Path]]]:
        """Yield name and files, role -> path, of every sample."""


class SplittableDataset(ArrayDataset):
    """A training set: part of it can be held out, and its files can be compared with those of the tests."""

    has_mattes = True

    @abstractmethod
    def image_files(self) -> set[Path]:
        """Return the files of the images, to see whether two sets share any."""

    @abstractmethod
    def hold_out(self, size: float, transform: Transform) -> tuple[SplittableDataset, ArrayDataset]:
        """Split in two by name: what is left, and what is held out, with a transform of its own.

        Args:
            size: how much is held out, see `names_to_hold_out`.
            transform: of the samples held out.
        """


class NamedDataset(SplittableDataset):
    """Named samples, found by `find_samples`; subclasses implement `maps`.

    Args:
        files: stem -> role -> path.
        transform: makes a sample of the files.
        limit: use only this many samples, 1 or more, the first by name; None for all.

    Raises:
        InputError: any other limit.
    """

    def __init__(self, files: Samples, transform: Callable[..., Any] | None, limit: int | None = None) -> None:
        self.files, self.transform = files, transform
        self.names = first_names(files, limit)

    def __len__(self) -> int:
        return len(self.names)

    def sources(self) -> Iterator[tuple[str, Mapping[str, Path]]]:
        """Yield name and files, role -> path, of every sample."""
        return ((name, self.files[name]) for name in self.names)

    def image_files(self) -> set[Path]:
        """Return the files of the images, to see whether two sets share any."""
        return {self.files[name]["image"].resolve() for name in self.names}

    def hold_out(self, size: float, transform: Callable[..., Any] | None) -> tuple[Self, Self]:
        """Split in two by name: what is left, and what is held out, with a transform of its own.

        Args:
            size: how much is held out, see `names_to_hold_out`.
            transform: of the samples held out.
        """
        held = set(names_to_hold_out(self.names, size))
        parts = copy.copy(self), copy.copy(self)
        parts[0].names = [name for name in self.names if name not in held]
        parts[1].names, parts[1].transform = sorted(held), transform
        return parts


class MattingDataset(NamedDataset):
    """Images and mattes of one split, as `Sample`s.

    A plain index takes its random draws from torch's generator, as users expect of a loader of their own; a
    `SeededIndex` fixes them.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`, which knows the layout.
        split: part of the data set.
        transform: makes a sample of the files; `TrainTransform` or `EvalTransform` (default).
        images: folder of images where the data set has several, such as "blurred_image" and "original_image".
        foreground: "none"; "cached": from the data set's own folders or those `p3m data foregrounds` writes; "crop":
            the same if they exist, else estimated on the crop alone (`TrainTransform` only).
        cache: another folder with foregrounds and packs: the `-o` of `p3m data foregrounds` and `pack`.
        face: also return the mask of the obfuscated face; black where an image has none.
        limit: use only this many samples, 1 or more, the first by name; None for all.
        packed: read the packs of `p3m data pack` where they exist: the same pixels, faster.
        labels: what the files of mattes hold, one of `schema.LABELS`; the card's by default.
        p_companion: probability of laying a second person of the set in front of the first, see `lay_before`; needs a
            transform to one size, as `TrainTransform` is.

    Raises:
        InputError: unknown name, split or kind of labels, missing folder, image without matte or matte without image, a
            limit below 1.
    """

    transform: Transform

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
        packed: bool = True,
        labels: str | None = None,
        p_companion: float = 0.0,
    ) -> None:
        if foreground not in FOREGROUNDS:
            raise InputError(f"foreground: {foreground!r} is not one of {', '.join(FOREGROUNDS)}")
        if dataset_card(name).images_only:
            raise InputError(f"{name}: has images only, without mattes to learn from")
        self.labels = labels or dataset_card(name).labels
        if self.labels not in LABELS:
            raise InputError(f"labels: {labels!r} is not one of {', '.join(LABELS)}")
        self.estimate, self.p_companion = foreground == "crop", p_companion
        self.face = face
        layers = {"foreground", "background"}
        wanted = {"trimap"} | (layers if self.estimate else set())
        wanted |= {role for role, asked in (("face", face), (PACK, packed)) if asked}
        needed = layers if foreground == "cached" else set()
        files = find_samples(root, name, split, images, needed, wanted, cache)
        super().__init__(files, transform or EvalTransform(), limit)

    def maps(self, item: int | SeededIndex) -> tuple[Maps, str]:
        """Return the arrays of one sample, cut and augmented, and its name."""
        index, seed = item if isinstance(item, tuple) else (item, int(torch.randint(2**31, ())))
        maps = self._person(self.names[index], seed)
        draws = random.Random(f"companion {seed}")
        if draws.random() < self.p_companion:
            maps = lay_before(self._person(draws.choice(self.names), draws.randrange(2**31)), maps)
        return (maps if self.labels == "matte" else {**maps, "labels": self.labels}), self.names[index]

    def hold_out(self, size: float, transform: Callable[..., Any] | None) -> tuple[Self, Self]:
        """Split in two by name; people held out stand alone, in whole images of any size."""
        rest, held = super().hold_out(size, transform)
        held.p_companion = 0.0
        return rest, held

    def _person(self, name: str, seed: int) -> Maps:
        return self.transform(SampleFiles(self.files[name], self.estimate, self.face, self.labels), seed)


class ImageDataset(NamedDataset):
    """Images without mattes, such as BG-20k and FFHQ: {"image": float (3, H, W) in [0, 1], "name": stem}.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`.
        split: part of the data set.
        transform: an albumentations transform of `image`.
        limit: use only this many images, 1 or more, the first by name; None for all.

    Raises:
        InputError: unknown name or split, missing folder, no images, a limit below 1.
    """

    has_mattes = False
    transform: A.BasicTransform | A.Compose | None

    def __init__(
        self,
        root: str | Path,
        name: str,
        split: str = "train",
        transform: A.BasicTransform | A.Compose | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(find_samples(root, name, split), transform, limit)

    def maps(self, item: int | SeededIndex) -> tuple[Maps, str]:
        """Return the image, transformed, and its name."""
        index, seed = item if isinstance(item, tuple) else (item, int(torch.randint(2**31, ())))
        name = self.names[index]
        image = read_color(self.files[name]["image"])
        if self.transform is None:
            return {"image": image}, name
        self.transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        return self.transform(image=image), name

    def hold_out(self, size: float, transform: Callable[..., Any] | None) -> tuple[Self, Self]:
        """Split in two by name; the held-out part keeps its own transform, since `transform` is one for mattes."""
        return super().hold_out(size, self.transform)


def first_names(names: Iterable[str], limit: int | None) -> list[str]:
    """Return the first `limit` names in order, or all of them for None.

    Raises:
        InputError: the limit is not a whole number from 1 up.
    """
    if limit is not None and (not isinstance(limit, Integral) or isinstance(limit, bool) or limit < 1):
        raise InputError(f"limit={limit!r}: give a whole number from 1 up, or null for all")
    return sorted(names)[:limit]


def names_to_hold_out(names: Sequence[str], size: float) -> list[str]:
    """Choose names by their hash, so that the choice does not depend on what else the data set holds.

    Args:
        names: to choose from, two or more.
        size: a fraction below 1, or a number; at least one is held out and at most half.

    Raises:
        InputError: fewer than two names, or a negative size.
    """
    if len(names) < 2:
        raise InputError(f"holdout: {len(names)} training image leaves none to validate on; at least two are needed")
    if size < 0:
        raise InputError(f"holdout: {size} is negative")
    count = round(size * len(names)) if size < 1 else int(size)
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return ranked[: min(max(count, 1), len(names) // 2)]
