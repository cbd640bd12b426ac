"""Metadata of a network, for the files that it is passed on in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.inference.predictor import recorded_inference
from p3m_lightning.models import restore_model, without_start
from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.models.checkpoints import PUBLISHED
from p3m_lightning.models.encoders.pretrained import pretraining
from p3m_lightning.models.weights import Checkpoint, read_checkpoint

Facts = dict[str, Any]
"""Plain values: `settings` (arguments of `create_model`), `inference` (mode and sizes of the evaluation), `license`,
`trained_on`, `pretrained` (what its encoder had learned before), `results` (mean metrics by test set); None or empty
where nobody said."""


def checkpoint_facts(path: str | Path) -> Facts:
    """Gather what a checkpoint of this package and the results in its run folder say; no path of the machine is in it.

    Raises:
        InputError: not a checkpoint of this package.
    """
    return _facts(read_checkpoint(path), Path(path))


def load_with_facts(path: str | Path) -> tuple[MattingNetwork, Facts]:
    """Rebuild the network of a checkpoint, and gather what is known about it; the file is read once.

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
    """Return what the table of published checkpoints says where it knows a single one of the network `name`."""
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
    """Return the mean metrics of the run that this checkpoint was tested in; a later one was not."""
    path = checkpoint.resolve().parent.parent / "results.json"
    try:
        content = json.loads(path.read_text())
        if Path(content["checkpoint"]).name != checkpoint.name:
            return {}
        return {name: dict(result["mean"]) for name, result in content["sets"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
