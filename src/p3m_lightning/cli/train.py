"""`p3m train`: compose a configuration, train, evaluate, leave a run folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from p3m_lightning.cli.shared.overrides import add_overrides, given_overrides, print_only


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m train experiment=p3m_quick trainer.max_epochs=3"
    add_overrides(parser, "train", sweeps=True)


def run(options: argparse.Namespace) -> None:
    """Train; the folder of the run or sweep is the last line on stdout."""
    if print_only("train", options):
        return None
    overrides = given_overrides(options)
    if options.multirun:
        from p3m_lightning.cli.shared.multirun import run_sweep

        return run_sweep(overrides)
    from p3m_lightning.cli.shared.hydra_app import run_hydra
    from p3m_lightning.cli.shared.resuming import resume_last, resume_of_agent

    if "ckpt=last" in overrides:
        overrides = resume_last(overrides)
    elif os.environ.get("WANDB_SWEEP_ID"):
        overrides = resume_of_agent(overrides)
    run_hydra("train", train_and_tell, overrides)


def train_and_tell(config: Mapping[str, Any]) -> None:
    """Train and print the run folder."""
    from p3m_lightning.training import PrunedError, train

    try:
        results = train(config)
    except PrunedError as reason:
        print(f"pruned: {reason}")
        return
    if results["trainer"].is_global_zero:
        print(config["paths"]["run"])
