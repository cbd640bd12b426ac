"""`p3m finetune`: train a network further on your own folder, and report what it forgets."""

from __future__ import annotations

import argparse
from pathlib import Path

from p3m_lightning.cli.shared.overrides import add_overrides, given_overrides, print_only

EXPERIMENT = "experiment=finetune"
NEW_TEST = "data.tests.new"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m finetune paths.new=my_images data.train.datasets.new.labels=mask"
    add_overrides(parser, "train")


def run(options: argparse.Namespace) -> None:
    """Fine-tune; the run folder, with `forgetting.md` in it, is the last line on stdout."""
    if not any(override.startswith("experiment=") for override in options.overrides):
        options.overrides = [EXPERIMENT, *options.overrides]
    if print_only("train", options):
        return
    from p3m_lightning.cli.shared.hydra_app import run_hydra
    from p3m_lightning.cli.shared.resuming import resume_last
    from p3m_lightning.cli.train import train_and_tell

    overrides = given_overrides(options)
    if "ckpt=last" in overrides:
        overrides = resume_last(overrides)
    run_hydra("train", train_and_tell, [*overrides, *without_new_test(overrides)])


def without_new_test(overrides: list[str]) -> list[str]:
    """Return the override that leaves out the test set of the new images where their folder has none."""
    given = [override.partition("=")[2] for override in overrides if override.startswith("paths.new=")]
    spoken_of = any(
        override.startswith(("~data.tests", "data.tests=")) or NEW_TEST in override for override in overrides
    )
    if spoken_of or not given or not Path(given[-1].strip("'\"")).is_dir():
        return []
    folder = Path(given[-1].strip("'\""))
    return [] if any((folder / name).is_dir() for name in ("test", "validation")) else [f"~{NEW_TEST}"]
