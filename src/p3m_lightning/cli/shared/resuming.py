"""Resuming a training: `ckpt=last`, and runs that a W&B agent starts again."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.cli.shared.overrides import given_overrides, print_only
from p3m_lightning.schema import InputError


def run_training(verb: str, options: argparse.Namespace, task: Callable[[Mapping[str, Any]], Any]) -> None:
    """Run a verb below another, such as "gan train", with the configuration of the first word; `ckpt=last` resumes.

    Raises:
        InputError: an override that Hydra refuses, or nothing to resume.
    """
    if print_only(verb, options):
        return
    from p3m_lightning.cli.shared.hydra_app import run_hydra

    overrides = given_overrides(options)
    if "ckpt=last" in overrides:
        overrides = resume_last(overrides, verb.split()[0])
    run_hydra(verb, task, overrides)


def resume_last(overrides: list[str], verb: str = "train") -> list[str]:
    """Replace `ckpt=last` by the newest checkpoint of the experiment, and continue in its run folder.

    `verb` names the configuration.

    Raises:
        InputError: the experiment has no run with a checkpoint.
    """
    from p3m_lightning.configuration import as_hydra_job, compose
    from p3m_lightning.configuration.quoting import quoted

    rest = [o for o in overrides if o != "ckpt=last"]
    config = compose(verb, rest)
    with as_hydra_job(config):
        parent = Path(config.paths.output) / config.experiment_name
    pattern = "*/stages/*/checkpoints/last.ckpt" if config.get("stages") else "*/checkpoints/last.ckpt"
    found = sorted(parent.glob(pattern), key=lambda p: p.stat().st_mtime)
    if not found:
        raise InputError(f"ckpt=last: no {parent}/{pattern} to resume; start without it")
    folder = parent / found[-1].relative_to(parent).parts[0]
    # stages keep their own record of what is finished
    resumed = [] if config.get("stages") else [f"ckpt={quoted(found[-1].absolute())}"]
    return [*rest, *resumed, f"hydra.run.dir={quoted(folder.absolute())}"]


def resume_of_agent(overrides: list[str]) -> list[str]:
    """Resume a run that a W&B agent starts a second time, after a preemption; any other starts anew.

    It is recognized by the agent's WANDB_RUN_ID, which the run folder records, and needs a checkpoint.
    """
    from p3m_lightning.configuration import as_hydra_job, compose
    from p3m_lightning.configuration.quoting import quoted
    from p3m_lightning.records import read_note

    run = os.environ.get("WANDB_RUN_ID")
    if not run or any(line.startswith(("ckpt=", "hydra.run.dir=")) for line in overrides):
        return overrides
    config = compose("train", overrides)
    with as_hydra_job(config):
        experiment = Path(config.paths.output) / config.experiment_name
    for kept in experiment.glob("*/wandb_id.txt"):
        checkpoint = kept.parent / "checkpoints" / "last.ckpt"
        if checkpoint.is_file() and read_note(kept) == run:
            resumed = {"ckpt": checkpoint, "hydra.run.dir": kept.parent}
            return [*overrides, *(f"{key}={quoted(path.absolute())}" for key, path in resumed.items())]
    return overrides
