"""Data sets of matting: files paired by stem, by the layout that a card describes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from p3m_lightning.data.cards import DATASETS, DatasetCard
from p3m_lightning.data.readers import SampleFiles
from p3m_lightning.data.transforms import EvalTransform, to_sample
from p3m_lightning.images import IMAGE_SUFFIXES, list_images
from p3m_lightning.schema import InputError, Sample

Transform = Callable[[SampleFiles, int], dict[str, np.ndarray]]


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
        foreground: "none", or "cached": from the data set's own folders or those `p3m data foregrounds` writes.
        face: also return the mask of the obfuscated face where there is one.
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
        face: bool = False,
        limit: int | None = None,
    ) -> None:
        self.transform = transform or EvalTransform()
        roles = {"face"} if face else set()
        if foreground == "cached":
            roles |= {"foreground", "background"}
        elif foreground != "none":
            raise InputError(f"foreground: {foreground!r} is not one of none, cached")
        self.files = find_samples(root, name, split, images, roles)
        self.names = sorted(self.files)[:limit]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, item: int | Draw) -> Sample:
        index, seed = item if isinstance(item, tuple) else (item, int(torch.randint(2**31, ())))
        name = self.names[index]
        return to_sample(self.transform(SampleFiles(self.files[name]), seed), name)

    def select(self, names: Iterable[str], transform: Transform | None = None) -> MattingDataset:
        """Return a data set of these names only, with another transform where one is given."""
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__, names=sorted(names))
        part.transform = transform or self.transform
        return part


def find_samples(
    root: str | Path, name: str, split: str, images: str | None = None, roles: Iterable[str] = ()
) -> dict[str, dict[str, Path]]:
    """Pair the files of a split by stem.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`.
        split: part of the data set.
        images: folder of the images; the card's first that is there by default.
        roles: what must be there beside image and matte: foreground, background; `face` may be missing.

    Returns:
        stem -> {role: path}; a trimap where the split has a folder of them.

    Raises:
        InputError: unknown name or split, missing folder or file, named with what is to be done.
    """
    card = dataset_card(name)
    folder = split_folder(root, card, name, split)
    image_folder = _first_folder(folder, (images,) if images else card.image, "images", card)
    samples = {stem: {"image": path} for stem, path in _by_stem(image_folder, card.nested).items()}
    if card.images_only:
        return samples
    alpha_folder = _first_folder(folder, card.alpha, "mattes", card)
    _add_role(samples, "alpha", alpha_folder)
    for stem in sorted(_by_stem(alpha_folder).keys() - samples.keys())[:1]:
        raise InputError(f"{alpha_folder / stem}: a matte without image in {image_folder}; delete it or add the image")
    for role, candidates in optional_folders(card, image_folder.name).items():
        place = next((folder / c for c in candidates if (folder / c).is_dir()), None)
        if role in roles and role != "face" and place is None:
            raise InputError(
                f"{folder}: no {role}s (looked for {', '.join(candidates)}); run p3m data foregrounds {root}"
            )
        if place is not None and (role in roles or role == "trimap"):
            _add_role(samples, role, place)
    return samples


def dataset_card(name: str) -> DatasetCard:
    """Return the card of a data set.

    Raises:
        InputError: unknown name.
    """
    if name not in DATASETS:
        raise InputError(f"{name}: no such data set; there are {', '.join(DATASETS)}")
    return DATASETS[name]


def split_folder(root: str | Path, card: DatasetCard, name: str, split: str) -> Path:
    """Return the folder of a split.

    Raises:
        InputError: the data set has no such split, or its folder is not there.
    """
    root = Path(root)
    if split not in card.splits:
        raise InputError(f"{split}: {name} has no such split; there are {', '.join(card.splits)}")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; get {name} from {card.source}")
    candidates = card.splits[split].folders
    for candidate in candidates:
        if (root / candidate).is_dir():
            return root / candidate
    raise InputError(f"{root}: no {' or '.join(candidates)} in it; is this the root of {name}?")


def optional_folders(card: DatasetCard, image_folder: str) -> dict[str, tuple[str, ...]]:
    """Folders to try for the roles beside image and matte, by the name of the image folder."""
    return {
        "trimap": card.trimap,
        "face": card.face,
        "foreground": card.foreground_of.get(image_folder, ()) + card.foreground,
        "background": card.background,
    }


def _first_folder(folder: Path, candidates: Iterable[str], what: str, card: DatasetCard) -> Path:
    for candidate in candidates:
        if (folder / candidate).is_dir():
            return folder / candidate
    raise InputError(f"{folder}: no folder of {what} (looked for {', '.join(candidates)}); layout of {card.title}")


def _by_stem(folder: Path, nested: bool = False) -> dict[str, Path]:
    if not nested:
        return {path.stem: path for path in list_images(folder)}
    found = {path.stem: path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES}
    if not found:
        raise InputError(f"{folder}: no images in it or below")
    return found


def _add_role(samples: dict[str, dict[str, Path]], role: str, folder: Path) -> None:
    files = _by_stem(folder)
    for stem, sample in samples.items():
        if stem not in files:
            raise InputError(f"{sample['image']}: no {role} of that name in {folder}")
        sample[role] = files[stem]
