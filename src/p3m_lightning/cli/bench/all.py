"""`p3m bench all`: startup, photo and step, each with its defaults."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from p3m_lightning.cli.shared.benchmark_results import add_folder

VERBS_OF_ALL = ("startup", "photo", "step")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m bench all -o benchmarks/results"
    add_folder(parser)


def run(options: argparse.Namespace) -> None:
    """Run them one after another; the last line is JSON."""
    for name in VERBS_OF_ALL:
        print(f"p3m: bench {name}", file=sys.stderr)
        module = import_module(f"p3m_lightning.cli.bench.{name}")
        parser = argparse.ArgumentParser()
        module.configure(parser)
        module.run(parser.parse_args(["-o", str(options.output)]))
