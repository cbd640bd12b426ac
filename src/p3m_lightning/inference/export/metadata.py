"""Metadata of a network, for exported files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.inference.predictor import recorded_inference
from p3m_lightning.models import restore_model, without_start
from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.models.checkpoints import PUBLISHED
from p3m_lightning.models.encoders.pretrained import pretraining
from p3m_lightning.models.weights import Checkpoint, read_checkpoint
from p3m_lightning.records import read_record
from p3m_lightning.schema import InputError

Facts = dict[str, Any]
"""Plain values: `settings` (arguments of `create_model`), `inference` (mode and sizes of the evaluation), `license`,
`trained_on`, `pretrained` (pretraining of its encoder), `results` (mean metrics by test set); None or empty if
unknown."""


def checkpoint_facts(path: str | Path) -> Facts:
    """Collect the facts in a checkpoint and in the results of its run folder, without paths of the machine.

    Raises:
        InputError: not a checkpoint of this package.
    """
    return _facts(read_checkpoint(path), Path(path))


def load_with_facts(path: str | Path) -> tuple[MattingNetwork, Facts]:
    """Rebuild the network of a checkpoint and collect the facts about it; the file is read once.

    Raises:
        InputError: as `models.load_model`.
    """
    checkpoint = read_checkpoint(path)
    return restore_model(checkpoint, str(path)), _facts(checkpoint, Path(path))


def _facts(checkpoint: Checkpoint, path: Path) -> Facts:
    config = checkpoint.config
    usual, sizes = recorded_inference(config)
    published = PUBLISHED.get(config.get("published_as", ""))
    stated = config.get("trained_on")
    before = pretraining(config["model"])
    return {
        "settings": without_start(config["model"]),
        "inference": {"mode": usual, **sizes},
        "license": config.get("license") or (published and published.license),
        "trained_on": (", ".join(stated) if isinstance(stated, list) else stated) or _training_set(config),
        "pretrained": config.get("pretrained") or (before and before.weights),
        "results": config.get("results") or _results_beside(path),
    }


def published_facts(name: str) -> Facts:
    """Return the facts of the published checkpoint of the network `name`, if there is exactly one."""
    entries = [entry for entry in PUBLISHED.values() if entry.model == name and not entry.encoder_only]
    known = entries[0] if len(entries) == 1 else None
    return {
        "settings": {"name": name},
        "inference": {},
        "license": known and known.license,
        "trained_on": known and ", ".join(known.trained_on),
        "pretrained": None,
        "results": {},
    }


def _training_set(config: Mapping[str, Any]) -> str | None:
    train = (config.get("data") or {}).get("train") or {}
    parts = train["datasets"].values() if "datasets" in train else [train]
    names = [part["name"] for part in parts if "name" in part]
    return ", ".join(dict.fromkeys(names)) or None


def _results_beside(checkpoint: Path) -> dict[str, dict[str, float]]:
    """Return the mean metrics of the run if they belong to this checkpoint; those of a later one do not exist."""
    path = checkpoint.resolve().parent.parent / "results.json"
    shapes = {"checkpoint": str | None, "sets": dict, "sets.*": dict, "sets.*.mean": dict, "sets.*.mean.*": int | float}
    try:
        content = read_record(path, shapes, ["checkpoint", "sets", "sets.*.mean"])
    except InputError:
        return {}
    if Path(content["checkpoint"] or "").name != checkpoint.name:
        return {}
    return {name: result["mean"] for name, result in content["sets"].items()}
