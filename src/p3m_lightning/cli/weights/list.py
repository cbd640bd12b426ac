"""`p3m weights list`: where the checkpoints of the networks are published, and under which terms."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where used, so that --help is quick
    from p3m_lightning.models.checkpoints import PublishedCheckpoint


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m weights list --json"
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    """Print every published checkpoint."""
    from dataclasses import asdict

    from p3m_lightning.models.checkpoints import PUBLISHED

    if options.json:
        print(json.dumps({name: asdict(entry) for name, entry in PUBLISHED.items()}, indent=2))
        return
    for encoder_only in (False, True):
        print("Starting weights for encoders (model.encoder_weights=FILE)\n" if encoder_only else "Networks\n")
        for name, entry in PUBLISHED.items():
            if entry.encoder_only == encoder_only:
                print_entry(name, entry)
    print("Nothing is downloaded for you. After a download: p3m weights convert NAME FILE OUT.safetensors")


def print_entry(name: str, entry: PublishedCheckpoint) -> None:
    """Print one checkpoint as a paragraph."""
    facts = {
        "network": entry.model,
        "address": entry.address or "not published",
        "SHA-256": entry.sha256 or "not published",
        "license": entry.license,
        "trained on": ", ".join(entry.trained_on),
        "source": entry.source,
    }
    print(f"{name}: {entry.what}")
    for key, value in facts.items():
        print(f"    {key:<11} {value}")
    print()
