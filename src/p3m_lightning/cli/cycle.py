"""`p3m cycle`: photographs, mattes, a generator, its portraits, a better network, one report."""

from __future__ import annotations

import argparse

from p3m_lightning.cli.shared.overrides import add_overrides, given_overrides, print_only


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = (
        "example: p3m cycle experiment=cycle_synthetic\n"
        "After an interruption, the same command resumes; finished steps are skipped."
    )
    add_overrides(parser, "cycle")


def run(options: argparse.Namespace) -> None:
    """Run the steps of the cycle; its folder is the last line on stdout."""
    if print_only("cycle", options):
        return
    from p3m_lightning.configuration import compose_run
    from p3m_lightning.experiments.cycle.steps import run_cycle

    config = compose_run("cycle", given_overrides(options), folder="")
    run_cycle(config)
    print(config["paths"]["run"])
