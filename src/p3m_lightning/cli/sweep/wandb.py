"""`p3m sweep wandb`: write the file of a W&B sweep from a command line of `p3m train -m`."""

from __future__ import annotations

import argparse
from pathlib import Path

from p3m_lightning.cli.shared.overrides import add_overrides, given_overrides, print_only
from p3m_lightning.schema import InputError

METHODS = ("grid", "random", "bayes")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = (
        "example: p3m sweep wandb experiment=p3m_quick 'loss.weights.semantic=interval(0.1,10)' -o sweep.yaml\n"
        "Then run `wandb sweep sweep.yaml`, and `wandb agent` on every machine."
    )
    add_overrides(parser, "train")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the YAML file")
    parser.add_argument("--method", choices=METHODS, help="default: grid, or bayes where intervals are given")
    parser.add_argument("--name", help="of the sweep (default: the experiment)")
    parser.add_argument("--project", default="p3m_lightning", help="of W&B (default: p3m_lightning)")


def run(options: argparse.Namespace) -> None:
    """Write the file, print it, and print the next command."""
    if print_only("train", options):
        return
    if options.output.is_dir():
        raise InputError(f"-o {options.output}: is a folder; name a file")
    from p3m_lightning.cli.shared.multirun import parse
    from p3m_lightning.configuration import as_hydra_job, compose, compose_run
    from p3m_lightning.experiments.sweep.space import read_space
    from p3m_lightning.experiments.sweep.wandb_sweep import describe, write_sweep

    given = parse(given_overrides(options))
    fixed = [str(override.input_line) for override in given if not override.is_sweep_override()]
    config = compose("train", fixed)
    space = read_space(config.hydra.sweeper.params or {}, given)
    first = [each.override(each.choices[0] if each.choices else each.low) for each in space]
    compose_run("train", [*fixed, *first], "run")  # errors show before an agent starts
    best = config.callbacks.get("best")
    if not best:
        raise InputError("sweep wandb: runs are ranked by callbacks.best.monitor; callbacks.best is missing")
    with as_hydra_job(config):
        names = {"name": options.name or config.experiment_name, "project": options.project}
    write_sweep(describe(space, fixed, (best.monitor, best.mode), options.method, **names), options.output)
    print(f"wandb sweep {options.output}  # prints the command for the agents")
    print(options.output)
