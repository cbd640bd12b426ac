"""Start of a fine-tuning: a checkpoint that records its network and the mode of inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p3m_lightning.configuration.recorded import verify_recorded
from p3m_lightning.models import without_start
from p3m_lightning.models.box import BOX_FILE, KEYWORD
from p3m_lightning.models.weights import read_checkpoint
from p3m_lightning.schema import InputError


def with_recorded_start(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what `init_from` records: the network, if there is no `model`, and the mode of inference.

    Args:
        config: of a training.

    Returns:
        The configuration with the path of the box instead of its name; `model`, and keys of `inference` that are not
        given, are those that the checkpoint records.

    Raises:
        InputError: `model` is null and there is no checkpoint to take it from, or it is not of this package.
    """
    start = str(BOX_FILE) if config["init_from"] == KEYWORD else config["init_from"]
    config = {**config, "init_from": start}
    if config.get("model") is not None:
        return config
    if not start:
        raise InputError("model: there is none; give init_from=CHECKPOINT to continue with its network, or model=NAME")
    recorded = read_checkpoint(start).config
    inference = recorded.get("inference") or {}
    verify_recorded(inference, str(start))
    given = {key: value for key, value in config["inference"].items() if value is not None}
    model = {"_target_": "p3m_lightning.models.create_model", **without_start(recorded["model"])}
    return {**config, "model": model, "inference": {**config["inference"], **inference, **given}}
