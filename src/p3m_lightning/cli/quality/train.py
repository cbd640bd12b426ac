"""`p3m quality train`: compose a configuration, train a quality head, leave a run folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from p3m_lightning.cli.shared.overrides import add_overrides, given_overrides, print_only


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m quality train paths.data=data/rendered trainer.max_epochs=5"
    add_overrides(parser, "quality")


def run(options: argparse.Namespace) -> None:
    """Train; the run folder is the last line on stdout."""
    if print_only("quality train", options):
        return
    from p3m_lightning.cli.shared.hydra_app import run_hydra
    from p3m_lightning.cli.train import resume_last

    overrides = given_overrides(options)
    if "ckpt=last" in overrides:
        overrides = resume_last(overrides, "quality")
    run_hydra("quality train", train_and_tell, overrides)


def train_and_tell(config: Mapping[str, Any]) -> None:
    """Train, print the rank correlation and the run folder."""
    from p3m_lightning.quality.run import train_quality

    results = train_quality(config)
    if results["spearman"] is not None:
        print(f"Spearman's rank correlation with the true error on the test set: {results['spearman']:.3f}")
    print(config["paths"]["run"])
