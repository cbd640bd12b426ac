"""`p3m compare`: run folders side by side, as HTML and Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from p3m_lightning.cli import AtLeast


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m compare released=outputs/p3m_released/RUN paper=outputs/p3m_paper/RUN -o report"
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="[LABEL=]RUN",
        help="folders that p3m train or p3m eval wrote, and files of p3m score --json",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("outputs/compare"),
        metavar="DIR",
        help="folder for compare.html and compare.md (default: outputs/compare)",
    )
    parser.add_argument("--set", metavar="NAME", help="a single test set (default: all that the runs share)")
    parser.add_argument("--metrics", nargs="+", metavar="KEY", help="metrics to test (default: the ten usual ones)")
    parser.add_argument(
        "--samples", action=AtLeast, default=10_000, metavar="N", help="bootstrap resamples (default: 10000)"
    )
    parser.add_argument(
        "--seed", action=AtLeast, least=0, default=0, metavar="N", help="seed of the resampling (default: 0)"
    )
    parser.add_argument(
        "--images", action=AtLeast, least=0, default=6, metavar="N", help="portraits to show per set (default: 6)"
    )


def run(options: argparse.Namespace) -> None:
    """Compare; the path of the page is the last line on stdout."""
    from p3m_lightning.experiments.compare.report import TESTED, Settings, compare
    from p3m_lightning.experiments.pages import write_html, write_markdown
    from p3m_lightning.experiments.run_folders import read_runs

    tested = tuple(options.metrics) if options.metrics else TESTED
    settings = Settings(options.set, tested, options.samples, options.seed, options.images)
    runs = read_runs(options.runs)
    blocks = compare(runs, settings)
    page = options.output / "compare.html"
    write_html(page, f"p3m compare: {', '.join(run.label for run in runs)}", blocks)
    write_markdown(options.output / "compare.md", blocks)
    print(page)
