"""`p3m eval`: score a checkpoint on a data set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from p3m_lightning.cli.shared.overrides import add_overrides, given_overrides, print_only


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m eval ckpt=RUN/checkpoints/best.ckpt data=p3m10k paths.data=P3M-10k"
    add_overrides(parser, "eval")


def run(options: argparse.Namespace) -> None:
    """Evaluate; the run folder, the last line on stdout, gets metrics as JSON, a CSV per image and an image sheet."""
    from p3m_lightning.cli.shared.hydra_app import run_hydra

    if not print_only("eval", options):
        run_hydra("eval", evaluate_and_tell, given_overrides(options))


def evaluate_and_tell(config: Mapping[str, Any]) -> None:
    """Evaluate and print the run folder."""
    from p3m_lightning.training import evaluate

    results = evaluate(config)
    if results["trainer"].is_global_zero:
        print(config["paths"]["run"])
