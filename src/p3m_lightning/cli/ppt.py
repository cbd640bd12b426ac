"""`p3m ppt`: the B:B / B:N / N:B / N:N table of privacy-preserving training."""

from __future__ import annotations

import argparse

from p3m_lightning.cli.shared.overrides import add_overrides, given_overrides, print_only


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = (
        "example: p3m ppt 'models=[closed_form,p3mnet_r34]' checkpoints.p3mnet_r34.B=RUN/checkpoints/best.ckpt"
    )
    add_overrides(parser, "ppt")


def run(options: argparse.Namespace) -> None:
    """Train and test what is not finished yet; the folder with the table is the last line on stdout."""
    if print_only("ppt", options):
        return
    from p3m_lightning.configuration import compose_run

    config = compose_run("ppt", given_overrides(options), ".")  # errors show before torch is loaded
    from p3m_lightning.experiments.ppt.plan import Plan
    from p3m_lightning.experiments.ppt.report import write_report
    from p3m_lightning.experiments.ppt.seeds import run_seeds
    from p3m_lightning.experiments.ppt.steps import run_plan
    from p3m_lightning.tables import print_markdown

    plan = Plan.from_config(config)
    table = run_seeds(plan, config["seeds"]) if config["seeds"] else write_report(plan, run_plan(plan))
    print_markdown(table)
    print(plan.folder)
