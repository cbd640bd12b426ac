"""`p3m quality train`: compose a configuration, train a quality head, leave a run folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from p3m_lightning.cli.shared.overrides import add_overrides
from p3m_lightning.cli.shared.resuming import run_training


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m quality train paths.data=data/rendered trainer.max_epochs=5"
    add_overrides(parser, "quality")


def run(options: argparse.Namespace) -> None:
    """Train; the run folder is the last line on stdout."""
    run_training("quality train", options, train_and_tell)


def train_and_tell(config: Mapping[str, Any]) -> None:
    """Train, print the rank correlation and the run folder."""
    from p3m_lightning.quality.run import train_quality

    results = train_quality(config)
    if not results["trainer"].is_global_zero:
        return
    if results["spearman"] is not None:
        print(f"Spearman's rank correlation with the true error on the test set: {results['spearman']:.3f}")
    print(config["paths"]["run"])
