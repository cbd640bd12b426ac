"""`p3m score`: the metrics for anyone's predicted mattes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.cli import AtLeast
from p3m_lightning.messages import shortened
from p3m_lightning.schema import InputError

SHOWN = 20  # images listed one by one, and reasons for skipped ones
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
        "--trimap-kernel", action=AtLeast, metavar="SIZE", help="instead: make trimaps from the true mattes (P3M: 25)"
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
    """Score the mattes, print the tables, write the files; return 2 if any image was left out."""
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
    from p3m_lightning.metrics.report import worst_first
    from p3m_lightning.tables import print_table

    first = next(iter(reports.values()))
    for name, report in reports.items():
        summary = [
            (key, _short(report["mean"][key]), _short(report["median"][key]), text)
            for key, text in report["definition"].items()
        ]
        title = f"{CONVENTIONS[name]}, {len(report['images'])} images"
        print_table(("metric", "mean", "median", "definition"), summary, title, sentences=["definition"])
    rows = worst_first(first["images"])[:SHOWN]
    keys = [key for key in PER_IMAGE if key in first["mean"]]
    title = f"Images, worst SAD first ({len(rows)} of {len(first['images'])})"
    print_table(("name", *keys), [(row["name"], *(_short(row[key]) for key in keys)) for row in rows], title)
    tail = first["tail"]
    share = f"{100 * tail['sad_share']:.1f} % of the summed SAD"
    print(f"Worst tenth ({tail['images']} of {len(first['images'])}): mean SAD {_short(tail['mean']['sad'])}, {share}.")
    print(f"Trimaps: {trimap_origin}.")


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
        return f"made from the true mattes with an elliptic kernel of {options.trimap_kernel}"
    return "none, so no metrics of regions (--trimaps DIR or --trimap-kernel 25 adds them)"


def _write(options: argparse.Namespace, reports: Mapping[str, dict[str, Any]], skipped: Mapping[str, str]) -> None:
    from p3m_lightning.records import write_csv, write_json

    (first, report), *others = reports.items()
    extra = {"convention": first, "trimaps": _trimap_origin(options), "skipped": dict(skipped)}
    rows = [dict(row) for row in report["images"]]
    for name, other in others:
        for row, more in zip(rows, other["images"], strict=True):
            row |= {f"{name}_{key}": value for key, value in more.items() if key != "name"}
    if options.json:
        write_json(options.json, report | extra | dict(others))
    if options.csv:
        write_csv(options.csv, rows)
