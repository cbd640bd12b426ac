"""`p3m train`: compose a configuration, train, evaluate, leave a run folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m train experiment=p3m_synthetic model.width=0.5 trainer.max_epochs=3"
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="Hydra overrides of conf/train.yaml")
    parser.add_argument("-m", "--multirun", action="store_true", help="sweep: values as KEY=1,3")


def run(options: argparse.Namespace) -> None:
    """Train; the run folder, or that of a sweep, is the last line on stdout."""
    overrides = options.overrides
    if options.multirun:
        from p3m_lightning.cli.shared.multirun import run_sweep

        return run_sweep(overrides)
    from p3m_lightning.cli.shared.hydra_app import run_hydra

    if "ckpt=last" in overrides:
        overrides = resume_last(overrides)
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


def resume_last(overrides: list[str], verb: str = "train") -> list[str]:
    """Replace `ckpt=last` by the newest checkpoint of the experiment, and go on in its run folder.

    `verb` names the configuration.

    Raises:
        InputError: the experiment has no run with a checkpoint.
    """
    from p3m_lightning.configuration import compose
    from p3m_lightning.configuration.quoting import quoted

    rest = [o for o in overrides if o != "ckpt=last"]
    config = compose(verb, rest)
    parent = Path(config.paths.output) / config.hydra.runtime.choices.experiment
    pattern = "*/stages/*/checkpoints/last.ckpt" if config.get("stages") else "*/checkpoints/last.ckpt"
    found = sorted(parent.glob(pattern), key=lambda p: p.stat().st_mtime)
    if not found:
        raise InputError(f"ckpt=last: no {parent}/{pattern} to resume; start without it")
    folder = parent / found[-1].relative_to(parent).parts[0]
    # stages know what they have finished
    resumed = [] if config.get("stages") else [f"ckpt={quoted(found[-1].absolute())}"]
    return [*rest, *resumed, f"hydra.run.dir={quoted(folder.absolute())}"]
