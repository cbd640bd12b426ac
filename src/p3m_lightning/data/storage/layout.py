"""Finding the files of a data set by its card: the folder of each role, and the files of each sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from p3m_lightning.data.cards import DATASETS, DatasetCard
from p3m_lightning.data.storage.packs import SUFFIX
from p3m_lightning.files import plain_name
from p3m_lightning.images import images_by_stem, is_image_name, tell_left_out
from p3m_lightning.messages import choose_from
from p3m_lightning.schema import InputError

PACK = "pack"
"""Folder of the packs below a split's, and their role."""

Samples = dict[str, dict[str, Path]]
"""stem -> role (image, alpha, trimap, face, foreground, background, pack) -> file."""


def find_samples(
    root: str | Path,
    name: str,
    split: str,
    images: str | None = None,
    needed: Iterable[str] = (),
    wanted: Iterable[str] = (),
    cache: str | Path | None = None,
) -> Samples:
    """Pair the files of a split by stem.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`.
        split: part of the data set.
        images: folder of the images; by default the first of the card's that exists.
        needed: roles that every image must have besides its matte.
        wanted: roles that are used where they exist.
        cache: folder of a layout like the root's, where foregrounds, backgrounds and packs are looked for as well.

    Raises:
        InputError: unknown name or split, missing folder or file; the message says what to do.
    """
    card = dataset_card(name)
    folder = split_folder(root, name, split)
    image_folder = first_folder(folder, (images,) if images else card.image, "images", card)
    samples = {stem: {"image": path} for stem, path in by_stem(image_folder, card.nested).items()}
    if not card.images_only:
        _add_alphas(samples, image_folder, first_folder(folder, card.alpha, "mattes", card))
    mirror = Path(cache) / folder.relative_to(root) if cache else None
    places = role_folders(card, folder, image_folder.name, mirror)
    if PACK in wanted:
        add_packs(samples, [pack_folder(place, image_folder.name) for place in (folder, mirror) if place])
    for role in {*needed, *wanted} - {PACK}:
        files: dict[str, Path] = {}
        for place in reversed([place for place in places[role] if place.is_dir()]):
            files |= by_stem(place, optional=True)
        for stem, sample in samples.items():
            if stem in files:
                sample[role] = files[stem]
            elif role in needed:
                raise InputError(_missing(sample["image"], role, places[role], root))
    return samples


def dataset_card(name: str) -> DatasetCard:
    """Return the card of a data set.

    Raises:
        InputError: unknown name.
    """
    card = DATASETS.get(str(name))
    if card is None:
        raise InputError(f"{name}: no such data set{choose_from(str(name), DATASETS)}")
    return card


def split_folder(root: str | Path, name: str, split: str) -> Path:
    """Return the folder of a split of the data set `name`; of several, one that holds a folder of images.

    Raises:
        InputError: the data set has no such split, or its folder does not exist.
    """
    root, card, split = Path(root), dataset_card(name), str(split)
    if split not in card.splits:
        raise InputError(f"{split}: {name} has no such split{choose_from(split, card.splits)}")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; to get {name}: {card.source}")
    candidates = [root / candidate for candidate in card.splits[split].folders if (root / candidate).is_dir()]
    for candidate in candidates:
        if any((candidate / name).is_dir() for name in card.image):
            return candidate
    if candidates:
        return candidates[0]
    raise InputError(f"{root}: no {' or '.join(card.splits[split].folders)} in it; is this the root of {name}?")


def role_folders(
    card: DatasetCard, folder: Path, image_folder: str, cache: Path | None = None
) -> Mapping[str, tuple[Path, ...]]:
    """Return the folders to look for every optional role in; the first one wins.

    Args:
        card: of the data set.
        folder: of the split.
        image_folder: name of the folder of images: a blurred image has another foreground than the original.
        cache: counterpart of `folder` for foregrounds and backgrounds.
    """
    names = {
        "trimap": card.trimap,
        "face": card.face,
        "foreground": card.foreground_of.get(image_folder, ()) + card.foreground,
        "background": card.background,
    }
    places = {role: [folder / name for name in candidates] for role, candidates in names.items()}
    if cache is not None:
        for role in ("foreground", "background"):
            places[role] += [cache / name for name in names[role]]
    return {role: tuple(folders) for role, folders in places.items()}


def pack_folder(folder: Path, image_folder: str) -> Path:
    """Return the folder of the packs of a folder of images; `folder` is that of the split."""
    return folder / PACK / image_folder


def add_packs(samples: Samples, folders: Iterable[Path]) -> None:
    """Add the packs in the folders to their samples; the first folder wins."""
    for folder in folders:
        for path in folder.glob(f"[!.]*{SUFFIX}"):
            if plain_name(path.stem) in samples:
                samples[plain_name(path.stem)].setdefault(PACK, path)


def first_folder(folder: Path, candidates: Iterable[str], what: str, card: DatasetCard) -> Path:
    """Return the first of the folders that exists.

    Raises:
        InputError: none does; the message names them and the card.
    """
    for candidate in candidates:
        if (folder / candidate).is_dir():
            return folder / candidate
    raise InputError(f"{folder}: no folder of {what} (looked for {', '.join(candidates)}, as in {card.title})")


def by_stem(folder: Path, nested: bool = False, optional: bool = False) -> dict[str, Path]:
    """Return the images of a folder by stem, in Unicode's composed form (NFC).

    Args:
        folder: where to look.
        nested: search subfolders too; a stem that occurs in several becomes the path below `folder`.
        optional: an empty folder is no error.

    Raises:
        InputError: no images, or two of the same name in one folder; the message names both.
    """
    if nested:
        return _nested(folder) or images_by_stem(folder)
    if optional and not any(is_image_name(path.name) for path in folder.iterdir()):
        return {}
    return images_by_stem(folder)


def _nested(folder: Path) -> dict[str, Path]:
    found = sorted(path for path in folder.rglob("*") if not path.is_dir())
    tell_left_out(folder, (path.name for path in found if not is_image_name(path.name)))
    images = [path for path in found if is_image_name(path.name)]
    stems = Counter(plain_name(path.stem) for path in images)
    files: dict[str, Path] = {}
    for path in images:
        stem = plain_name(path.stem)
        name = stem if stems[stem] == 1 else plain_name(path.relative_to(folder).with_suffix("").as_posix())
        if name in files:
            raise InputError(f"{files[name]} and {path} have the same name; rename or remove one of them")
        files[name] = path
    return files


def _add_alphas(samples: Samples, image_folder: Path, alpha_folder: Path) -> None:
    alphas = by_stem(alpha_folder)
    for stem, sample in samples.items():
        if stem not in alphas:
            raise InputError(f"{sample['image']}: no matte of that name in {alpha_folder}; add it or delete the image")
        sample["alpha"] = alphas[stem]
    for stem, path in alphas.items():
        if stem not in samples:
            raise InputError(f"{path}: no image of that name in {image_folder}; add it or delete the matte")


def _missing(image: Path, role: str, places: Iterable[Path], root: str | Path) -> str:
    looked = ", ".join(str(place) for place in places)
    cure = f"; `p3m data foregrounds {root}` makes them" if role in ("foreground", "background") else ""
    return f"{image}: no {role} of that name (looked in {looked}){cure}"
