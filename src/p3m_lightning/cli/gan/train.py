"""`p3m gan train`: compose a configuration, train a GAN, leave a run folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from p3m_lightning.cli.shared.overrides import add_overrides
from p3m_lightning.cli.shared.resuming import run_training


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m gan train experiment=gan_synthetic images=4000"
    add_overrides(parser, "gan")


def run(options: argparse.Namespace) -> None:
    """Train; the run folder is the last line on stdout."""
    run_training("gan train", options, train_and_tell)


def train_and_tell(config: Mapping[str, Any]) -> None:
    """Train, print the distances and the run folder."""
    from p3m_lightning.gan.run import print_distances, train_gan

    finished = train_gan(config)
    if finished.is_global_zero:
        print_distances(finished.results["history"])
        print(finished.folder)
