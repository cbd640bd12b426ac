"""Faults of a whole data set: files that are missing, broken, in a wrong range, or in two sets at once."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from p3m_lightning.data.cards import DATASETS, DatasetCard
from p3m_lightning.data.prepare.faults import ERROR, FAULTS, WARNING, Finding, inspect_sample
from p3m_lightning.data.prepare.genuine import Copy, compare_with_published
from p3m_lightning.data.storage.layout import add_packs, dataset_card, pack_folder, role_folders, split_folder
from p3m_lightning.files import plain_name, write_whole
from p3m_lightning.images import is_image_name
from p3m_lightning.messages import no_such
from p3m_lightning.parallel import run_parallel
from p3m_lightning.progress import track
from p3m_lightning.schema import InputError

TRAINING = "train"


class CheckReport(NamedTuple):
    """Findings of `check_dataset`."""

    name: str
    root: Path
    images: dict[str, int]  # by split
    findings: list[Finding]
    seconds: float
    copy: Copy

    def level(self, fault: str) -> str:
        """Return the severity of a fault: "error" or "warning"."""
        return FAULTS[fault][0]

    def count(self, level: str) -> int:
        """Count the findings of a level."""
        return sum(self.level(finding.fault) == level for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain containers for JSON."""
        card = DATASETS[self.name]
        return {
            "name": self.name,
            "root": str(self.root),
            "images": self.images,
            "published": {split: card.splits[split].count for split in self.images},
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "copy": self.copy._asdict(),
            "faults": dict(Counter(finding.fault for finding in self.findings)),
            "findings": [{"level": self.level(finding.fault), **finding._asdict()} for finding in self.findings],
            "seconds": round(self.seconds, 2),
        }


def check_dataset(root: str | Path, name: str | None = None, workers: int | None = None) -> CheckReport:
    """Decode every file of a data set and name its faults; see `FAULTS`.

    Args:
        root: folder of the data set.
        name: key of `DATASETS`; recognized by the folders unless given.
        workers: processes; by default one per core.

    Raises:
        InputError: no such folder or name, or nothing in it that looks like a data set.
    """
    started = time.perf_counter()
    root = Path(root)
    name = name or recognize(root)
    card = dataset_card(name)
    findings: list[Finding] = []
    tasks: list[tuple[str, dict[str, Path]]] = []
    images: dict[str, int] = {}
    for split, folder in _split_folders(root, name).items():
        samples = _collect(folder, card, split, findings)
        tasks += [(split, files) for files in samples]
        images[split] = sum("image" in files for files in samples)
    if not tasks:
        raise InputError(f"{root}: contains nothing of {name}; give another layout by --name")
    findings += _count_findings(card, images, root)
    digests: dict[str, list[Finding]] = defaultdict(list)
    pixels: dict[tuple[str, str], str] = {}
    work = run_parallel(_inspect, tasks, workers, decodes=lambda task: task[1].values())
    for (split, files), inspection in track(work, "checking", len(tasks)):
        findings += inspection.findings
        if inspection.digest:
            pixels[split, plain_name(files["image"].stem)] = inspection.digest
            digests[inspection.digest].append(Finding("", split, str(files["image"])))
    findings += _repeated(digests.values())
    findings += _same_names(tasks)
    findings.sort(key=lambda finding: (list(FAULTS).index(finding.fault), finding.file))
    copy = compare_with_published(card, images, pixels)
    return CheckReport(name, root, images, findings, time.perf_counter() - started, copy)


def count_images(root: Path, name: str) -> dict[str, int]:
    """Count the images of every split that is there, without opening them."""
    card = dataset_card(name)
    counts = {}
    for split, folder in _split_folders(root, name).items():
        place = next((folder / place for place in card.image if (folder / place).is_dir()), None)
        files = () if place is None else place.rglob("*") if card.nested else place.iterdir()
        counts[split] = sum(is_image_name(path.name) for path in files)
    return counts


def recognize(root: Path) -> str:
    """Return the data set that a folder looks like: all its splits exist, or one with its published number of images.

    A single split with another number of images, in folders of the usual names, counts as a user's own `folder`.

    Raises:
        InputError: no such folder, or no layout fits.
    """
    if not root.is_dir():
        raise InputError(no_such(root, "folder"))
    if (root / "synthetic.json").is_file():
        return "synthetic"
    scores = {name: _likeness(root, name) for name in DATASETS if name != "synthetic"}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] == 0:
        raise InputError(f"{root}: its folders fit none of {', '.join(DATASETS)}; give its layout by --name")
    return best


def _likeness(root: Path, name: str) -> float:
    card = dataset_card(name)
    score = 0.0
    for split, folder in _split_folders(root, name).items():
        places = [folder / place for place in card.image if (folder / place).is_dir()]
        mattes = card.images_only or any((folder / place).is_dir() for place in card.alpha)
        count = sum(is_image_name(path.name) for path in places[0].iterdir()) if places and mattes else 0
        if count:
            known = 1 if len(card.splits) > 1 else 0.5
            score += 3 if count == card.splits[split].count else known if name != "folder" else 0.75
    return score


def _inspect(task: tuple[str, dict[str, Path]]) -> tuple[tuple[str, dict[str, Path]], Any]:
    return task, inspect_sample(task)


def _split_folders(root: Path, name: str) -> dict[str, Path]:
    """Return the folders of the splits that exist; a folder that two splits fall back to counts for the first."""
    folders: dict[str, Path] = {}
    for split in dataset_card(name).splits:
        try:
            folder = split_folder(root, name, split)
        except InputError:
            continue
        if folder not in folders.values():
            folders[split] = folder
    return folders


def _collect(folder: Path, card: DatasetCard, split: str, findings: list[Finding]) -> list[dict[str, Path]]:
    """Return the existing files of a split; missing ones go into `findings`."""
    image_folder = next((folder / place for place in card.image if (folder / place).is_dir()), None)
    if image_folder is None:
        return []
    images = _files(image_folder, split, findings, card.nested)
    samples = {stem: {"image": path} for stem, path in images.items()}
    if card.images_only:
        return list(samples.values())
    alpha_folder = next((folder / place for place in card.alpha if (folder / place).is_dir()), folder / card.alpha[0])
    mattes = _files(alpha_folder, split, findings) if alpha_folder.is_dir() else {}
    for stem, path in mattes.items():
        if stem not in images:
            findings.append(Finding("missing-image", split, str(path), f"looked in {image_folder}"))
        samples.setdefault(stem, {})["alpha"] = path
    for stem, path in images.items():
        if stem not in mattes:
            findings.append(Finding("missing-matte", split, str(path), f"looked in {alpha_folder}"))
    for role, places in role_folders(card, folder, image_folder.name).items():
        place = next((place for place in places if place.is_dir()), None)
        if place is not None:
            _add_role(samples, role, place, split, findings)
    add_packs(samples, [pack_folder(folder, image_folder.name)])
    return list(samples.values())


def _files(folder: Path, split: str, findings: list[Finding], nested: bool = False) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*") if nested else folder.iterdir()):
        if path.name.startswith(".") or path.is_dir():
            continue
        if not is_image_name(path.name):
            findings.append(Finding("odd-file", split, str(path)))
        elif plain_name(path.stem) in files:
            other = files[plain_name(path.stem)]
            findings.append(Finding("stem-twice", split, str(path), f"besides {other.relative_to(folder)}"))
        else:
            files[plain_name(path.stem)] = path
    return files


def _add_role(samples: dict[str, dict[str, Path]], role: str, place: Path, split: str, findings: list[Finding]) -> None:
    files = _files(place, split, findings)
    for stem, sample in samples.items():
        if stem in files:
            sample[role] = files[stem]
        elif "image" in sample:
            findings.append(Finding("missing-file", split, str(sample["image"]), f"no {role} in {place}"))


def _count_findings(card: DatasetCard, images: dict[str, int], root: Path) -> Iterable[Finding]:
    for split in card.splits:
        count, published = images.get(split, 0), card.splits[split].count
        if published is not None and count != published:
            yield Finding("count", split, str(root), f"{split}: {count} images, published {published}")


def _repeated(groups: Iterable[list[Finding]]) -> Iterable[Finding]:
    """Yield images that occur more than once: leakage between the training set and another, duplicates within one."""
    for group in groups:
        first, *others = sorted(group, key=lambda one: (one.split != TRAINING, one.file))
        for other in others:
            leaks = first.split == TRAINING != other.split
            yield Finding("leakage" if leaks else "duplicate", other.split, other.file, f"same pixels as {first.file}")


def _same_names(tasks: Iterable[tuple[str, dict[str, Path]]]) -> Iterable[Finding]:
    training = {files["image"].stem for split, files in tasks if split == TRAINING and "image" in files}
    for split, files in tasks:
        if split != TRAINING and "image" in files and files["image"].stem in training:
            yield Finding("same-name", split, str(files["image"]), f"{files['image'].stem} is a training image too")


def write_report(report: CheckReport, path: str | Path) -> None:
    """Write the report as JSON.

    Raises:
        InputError: the file cannot be written.
    """
    write_whole(Path(path), (json.dumps(report.as_dict(), indent=2) + "\n").encode())
