"""Licenses of a run: the terms of its code, weights and data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from p3m_lightning.configuration import current_targets
from p3m_lightning.data.cards import DATASETS, TERMS
from p3m_lightning.experiments.packages import license_of
from p3m_lightning.messages import no_such
from p3m_lightning.models.box import BOX, BOX_FILE
from p3m_lightning.models.checkpoints import PUBLISHED, PublishedCheckpoint
from p3m_lightning.models.encoders.pretrained import pretraining
from p3m_lightning.models.weights import SHAPES, read_checkpoint
from p3m_lightning.records import read_record
from p3m_lightning.schema import InputError

RESEARCH = r"research|non-?commercial|\bNC\b"
UNCLEAR = r"agreement|not stated|unclear|unknown|^yours$|other|look "
UNKNOWN = "unknown to this package: see where you got it"


class Link(NamedTuple):
    """One part of a run."""

    kind: str  # code, weights, training data or test data
    what: str
    license: str
    source: str = ""

    @property
    def flag(self) -> str:
        """The caution: "research only", "look at its terms", or nothing."""
        if re.search(RESEARCH, self.license, re.IGNORECASE):
            return "research only"
        return "look at its terms" if re.search(UNCLEAR, self.license, re.IGNORECASE) else ""


def licenses_of_run(place: str | Path) -> list[Link]:
    """Return everything that a run or a network is made from, as far as it is recorded.

    Args:
        place: a run folder, a checkpoint of this package, or `portraits` for the network in the box.

    Raises:
        InputError: it is none of these.
    """
    path = BOX_FILE if str(place) == BOX else Path(place)
    if path.is_dir():
        config, versions = _read_folder(path)
    elif path.is_file():
        config, versions = read_checkpoint(path).config, {}
    else:
        raise InputError(no_such(path, "run folder or checkpoint"))
    links = [*_code(config, versions)]
    for training in _trainings(config, path):
        links += [*_weights(training), *_training_data(training)]
    if path == BOX_FILE:
        links += BOX_LINKS
    links += _data((config.get("data") or {}).get("tests"), "test data")
    return list(dict.fromkeys(links))


BOX_LINKS = [
    Link(
        "training data",
        "760 photographs of Clothing Co-Parsing",
        "labels Apache-2.0; rights of the photographs not stated",
        "github.com/bearpaw/clothing-co-parsing",
    ),
    Link("training data", "96 photographs of places as backgrounds", "MIT", "github.com/CivilServiceUSA/us-states"),
]
"""Training data of the network in the box, as on its card."""


def _code(config: Mapping[str, Any], versions: Mapping[str, str]) -> Iterator[Link]:
    for name in versions or ("p3m_lightning", "torch", "torchvision"):
        if name == "python":
            continue
        try:
            terms = license_of(distribution(name))[0]
        except PackageNotFoundError:
            terms = "unknown: not installed here"
        yield Link("code", f"{name} {versions.get(name, '')}".strip(), terms)


def _weights(config: Mapping[str, Any]) -> Iterator[Link]:
    if config.get("published_as") in PUBLISHED:
        yield from _published(PUBLISHED[config["published_as"]])
    for key in ("weights", "init_from"):
        if config.get(key):
            entry = _entry_of(str(config[key]))
            yield from _published(entry) if entry else [Link("weights", f"{key}: {Path(config[key]).name}", UNKNOWN)]
    teacher = ((config.get("callbacks") or {}).get("teacher") or {}).get("ckpt")
    if teacher:
        yield Link("weights", f"teacher: {Path(teacher).name}", f"{UNKNOWN}; p3m licenses {teacher}")
    model = config.get("model") or {}
    start = pretraining(model)
    entry = _entry_of(str(model.get("encoder_weights")))
    if entry:
        yield from _published(entry)
    elif start or config.get("pretrained"):
        words = start.weights if start else str(config["pretrained"])
        named = re.search(r"\(([^;()]+)[;)]", words)  # of packaged starting weights: the license comes first
        yield Link("weights", words, named[1] if named else UNKNOWN)
        for name in (start.trained_on if start else ()) or [name for name in TERMS if name in words.casefold()]:
            yield _named_data(name, "training data", ", of the encoder")


def _published(entry: PublishedCheckpoint) -> Iterator[Link]:
    yield Link("weights", entry.what, entry.license, entry.source)
    for name in entry.trained_on:
        yield _named_data(name, "training data", f", of {entry.what}")


def _entry_of(file: str) -> PublishedCheckpoint | None:
    """Return the published checkpoint that a file is named after, by its published file name or its key."""
    name, stem = Path(file).name, Path(file).stem
    found = (
        e for key, e in PUBLISHED.items() if stem == key or name == e.what or (e.address or "").endswith(f"/{name}")
    )
    return next(found, None)


def _training_data(config: Mapping[str, Any]) -> Iterator[Link]:
    node = (config.get("data") or {}).get("train")
    yield from _data(node, "training data")
    for place in dict.fromkeys(_backgrounds(node)):
        yield Link("training data", f"backgrounds: {place}", UNKNOWN)
    for name in config.get("trained_on") or ():
        yield _named_data(name, "training data", "")


def _data(node: Any, kind: str) -> Iterator[Link]:
    """Find the data sets in a configuration, mixtures of several included."""
    if not isinstance(node, Mapping):
        return
    if isinstance(node.get("name"), str) and node["name"] in DATASETS and "root" in node:
        yield _named_data(node["name"], kind, "")
    else:
        for child in node.values():
            yield from _data(child, kind)


def _named_data(name: str, kind: str, of: str) -> Link:
    card = DATASETS.get(name)
    terms = card.license if card else TERMS.get(name, UNKNOWN)
    return Link(kind, f"{card.title if card else name}{of}", terms, card.source if card else "")


def _backgrounds(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("backgrounds"), str):
            yield node["backgrounds"]
        for child in node.values():
            yield from _backgrounds(child)


def _trainings(config: Mapping[str, Any], path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the trainings behind a run: its stages, and the checkpoints that it started from, as long as they exist."""
    yield config
    for stage in sorted(path.glob("stages/*/config.yaml")) if path.is_dir() else ():
        yield _read_config(stage)
    visited: set[str] = set()
    start = config.get("ckpt") if "loss" not in config else config.get("init_from")
    while start and start not in visited and Path(start).is_file():
        visited.add(start)
        earlier = read_checkpoint(start).config
        yield earlier
        start = earlier.get("init_from")


def _read_folder(folder: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder}: not a run folder (there is no config.yaml in it)")
    config = _read_config(folder / "config.yaml")
    if not (folder / "results.json").is_file():  # the run has not finished
        return config, {}
    results = read_record(folder / "results.json", {"versions": dict, "versions.*": str})
    return config, results.get("versions", {})


def _read_config(file: Path) -> Mapping[str, Any]:
    shapes = SHAPES | {"model": dict | None, "callbacks": dict | None, "ckpt": str | None}
    return current_targets(read_record(file, shapes))
