"""`p3m score`: the metrics for anyone's predicted mattes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p3m_lightning.cli import AtLeast
from p3m_lightning.messages import printable, shortened
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # imported where used, so that the help answers at once
    from rich.table import Table

SHOWN = 20  # images listed one by one, and reasons for skipped ones
WIDE = 10_000  # columns where nobody looks: tables are as wide as what is in them
PER_IMAGE = ("sad", "mse", "sad_unknown", "gradient", "connectivity")
CONVENTIONS = {
    "p3m": "P3M (Li et al., ACM MM 2021)",
    "adobe": "Adobe / Deep Image Matting (Xu et al., CVPR 2017)",
    "mask": "agreement with masks",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m score mattes/ P3M-10k/validation/P3M-500-P/mask --trimap-kernel 25 --json scores.json"
    parser.add_argument("pred_dir", metavar="PRED_DIR", type=Path, help="folder of predicted mattes")
    parser.add_argument("gt_dir", metavar="GT_DIR", type=Path, help="folder of true mattes, paired by file stem")
    trimaps = parser.add_mutually_exclusive_group()
    trimaps.add_argument(
        "--trimaps", type=Path, metavar="DIR", help="trimaps of 0 / 128 / 255 or 0 / 1 / 2; adds the regions"
    )
    trimaps.add_argument(
        "--trimap-kernel", action=AtLeast, metavar="SIZE", help="instead, make trimaps of the true mattes (P3M: 25)"
    )
    parser.add_argument("--faces", type=Path, metavar="DIR", help="face masks; adds the errors inside the face")
    parser.add_argument(
        "--conventions",
        nargs="+",
        choices=list(CONVENTIONS),
        default=["p3m", "adobe"],
        help="definitions to score by, the first one at the top of the JSON file (default: p3m adobe)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write mean, median, tail and images")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line per image")
    parser.add_argument("--workers", action=AtLeast, metavar="N", help="images at a time (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Score, print the tables, write the files; 2 if any image had to be left out."""
    from p3m_lightning.metrics.folders import score_folders
    from p3m_lightning.metrics.report import metric_report
    from p3m_lightning.parallel import silence_libraries

    _check(options)
    silence_libraries()
    conventions = list(dict.fromkeys(options.conventions))
    scores = score_folders(
        options.pred_dir,
        options.gt_dir,
        trimaps=options.trimaps,
        trimap_kernel=options.trimap_kernel,
        faces=options.faces,
        conventions=conventions,
        workers=options.workers,
    )
    reports = {name: metric_report(scores.rows[name], name) for name in conventions}
    print_reports(reports, _trimap_origin(options))
    _write(options, reports, scores.skipped)
    for line in shortened((f"{name} left out: {why}" for name, why in scores.skipped.items()), SHOWN, " left out"):
        print(f"p3m: {line}", file=sys.stderr)
    return 2 if scores.skipped else 0


def print_reports(reports: Mapping[str, Mapping[str, Any]], trimap_origin: str) -> None:
    """Print a table per convention, each number beside its definition, and the worst images of the first one."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # whole names, one a line, for grep
        console = Console(width=WIDE)
    first = next(iter(reports.values()))
    for name, report in reports.items():
        console.print(_summary_table(f"{CONVENTIONS[name]}, {len(report['images'])} images", report))
    console.print(_image_table(first))
    tail = first["tail"]
    share = f"{100 * tail['sad_share']:.1f} % of the summed SAD"
    console.print(
        f"Worst tenth ({tail['images']} of {len(first['images'])}): mean SAD {_short(tail['mean']['sad'])}, {share}."
    )
    console.print(f"Trimaps: {trimap_origin}.", markup=False)


def _summary_table(title: str, report: Mapping[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("metric", no_wrap=True)
    for heading in ("mean", "median"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("definition")
    for key, text in report["definition"].items():
        table.add_row(key, _short(report["mean"][key]), _short(report["median"][key]), text)
    return table


def _image_table(report: Mapping[str, Any]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from p3m_lightning.metrics.report import worst_first

    rows = worst_first(report["images"])[:SHOWN]
    table = Table(title=f"Images, worst SAD first ({len(rows)} of {len(report['images'])})", title_justify="left")
    keys = [key for key in PER_IMAGE if key in report["mean"]]
    table.add_column("name", overflow="fold")
    for key in keys:
        table.add_column(key, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(escape(printable(row["name"])), *(_short(row[key]) for key in keys))
    return table


def _short(value: float) -> str:
    return f"{value:.5g}"


def _check(options: argparse.Namespace) -> None:
    for name in ("json", "csv"):
        path = getattr(options, name)
        if path is not None and path.is_dir():
            raise InputError(f"--{name} {path}: is a folder; name a file")


def _trimap_origin(options: argparse.Namespace) -> str:
    if options.trimaps:
        return f"from {options.trimaps}"
    if options.trimap_kernel:
        return f"made of the true mattes with an elliptic kernel of {options.trimap_kernel}"
    return "none, so no metrics of regions (--trimaps DIR or --trimap-kernel 25 adds them)"


def _write(options: argparse.Namespace, reports: Mapping[str, dict[str, Any]], skipped: Mapping[str, str]) -> None:
    from p3m_lightning.files import write_csv, write_json

    (first, report), *others = reports.items()
    extra = {"convention": first, "trimaps": _trimap_origin(options), "skipped": dict(skipped)}
    rows = [dict(row) for row in report["images"]]
    for name, other in others:
        for row, more in zip(rows, other["images"], strict=True):
            row |= {f"{name}_{key}": value for key, value in more.items() if key != "name"}
    try:
        path = options.json
        if path:
            write_json(path, report | extra | dict(others))
        path = options.csv
        if path:
            write_csv(path, rows)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
