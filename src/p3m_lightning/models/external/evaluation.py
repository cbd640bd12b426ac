"""External networks in an evaluation: file, modes, and the record in config.yaml."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.models.external.network import External, load_external, plain_card
from p3m_lightning.schema import InputError


def external_net(config: Mapping[str, Any]) -> External:
    """Load the network of `model=external weights=FILE`; the caller names the file, none is searched for.

    Raises:
        InputError: no file is named, or it or its card cannot be used.
    """
    if not config["weights"]:
        raise InputError("eval: model=external needs weights=FILE.onnx (or .pt, .pt2), its card FILE.yaml beside it")
    return load_external(config["weights"], config["model"].get("card"))


def with_card(config: Mapping[str, Any], net: External) -> dict[str, Any]:
    """Add the card and the hash of the file to a configuration, to record what was run.

    Raises:
        InputError: a mode that the network does not offer.
    """
    mode = config["inference"]["mode"]
    if mode not in net.card.modes:
        raise InputError(f"inference.mode={mode}: by its card, {net.card.name} offers {', '.join(net.card.modes)}")
    if net.card.trained_on is None:
        warnings.warn(
            f"{net.source}: its card has no trained_on, so it may have been trained on the test images",
            stacklevel=2,
        )
    with Path(config["weights"]).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = {"title": net.card.name, "sha256": digest, "card": plain_card(net.card)}
    return {**config, "model": {**config["model"], **facts}}
