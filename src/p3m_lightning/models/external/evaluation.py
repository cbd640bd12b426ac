"""Networks from outside in an evaluation: which file, which modes, and what config.yaml says of them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.models.external.network import External, load_external, plain_card
from p3m_lightning.schema import InputError


def external_net(config: Mapping[str, Any]) -> External:
    """Read the network of `model=external weights=FILE`; no file is ever looked for, the caller names it.

    Raises:
        InputError: no file was named, or it, or its card, cannot be used.
    """
    if not config["weights"]:
        raise InputError("eval: model=external needs weights=FILE.onnx (or .pt, .pt2), its card FILE.yaml beside it")
    return load_external(config["weights"], config["model"].get("card"))


def with_card(config: Mapping[str, Any], net: External) -> dict[str, Any]:
    """Put the card and the hash of the file into a configuration, so that it says what was run.

    Raises:
        InputError: a mode that makes no sense for the network.
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
