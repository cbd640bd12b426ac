"""`p3m quality rank`: list a folder of mattes, worst first, without true mattes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p3m_lightning.messages import shortened
from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    from p3m_lightning.quality import Quality

SHOWN = 20
HEADERS = ("name", "predicted SAD", "mean error x 1000", "differs from the box x 1000")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m quality rank mattes/ photos/ --maps errors/ --csv quality.csv"
    parser.add_argument("mattes", metavar="MATTES", type=Path, help="folder of mattes")
    parser.add_argument("photographs", metavar="PHOTOS", type=Path, help="folder of their photographs, by file stem")
    parser.add_argument(
        "--maps", type=Path, metavar="DIR", help="also write images that show where each matte looks wrong"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line per matte, worst first")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the same as JSON")
    parser.add_argument("--ckpt", type=Path, metavar="PATH", help="a head of p3m quality train (default: in the box)")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")


def run(options: argparse.Namespace) -> int:
    """Judge the mattes, print the table, write the files; return 2 if any matte was left out."""
    from p3m_lightning.images import images_by_stem
    from p3m_lightning.parallel import silence_libraries
    from p3m_lightning.progress import track
    from p3m_lightning.quality import Judge, judge_folder

    for name in ("csv", "json"):
        path = getattr(options, name)
        if path is not None and path.is_dir():
            raise InputError(f"--{name} {path}: is a folder; name a file")
    silence_libraries()
    total, pictures = len(images_by_stem(options.mattes)), images_by_stem(options.photographs)
    judge = Judge(options.ckpt, options.device)
    judged: dict[str, Quality] = {}
    skipped: dict[str, str] = {}
    for name, outcome in track(judge_folder(judge, options.mattes, options.photographs), "judging", total):
        if isinstance(outcome, InputError):
            skipped[name] = str(outcome)
            continue
        judged[name] = outcome
        if options.maps:
            write_map(options.maps / f"{name}.jpg", pictures[name], outcome)
    if not judged:
        name, reason = next(iter(skipped.items()))
        raise InputError(f"{options.mattes}: nothing could be judged; the first of {len(skipped)}: {name}: {reason}")
    _report(options, sorted(judged.items(), key=lambda one: -one[1].sad))
    for line in shortened((f"{name} left out: {why}" for name, why in skipped.items()), SHOWN, " left out"):
        print(f"p3m: {line}", file=sys.stderr)
    return 2 if skipped else 0


def write_map(path: Path, photograph: Path, quality: Quality) -> None:
    """Write the photograph with the errors of its matte drawn over it."""
    from p3m_lightning.images import read_image, write_image
    from p3m_lightning.quality.judge import error_picture

    write_image(path, error_picture(read_image(photograph), quality.errors))


def _report(options: argparse.Namespace, ranked: Sequence[tuple[str, Quality]]) -> None:
    from p3m_lightning.records import write_csv, write_json
    from p3m_lightning.tables import print_table

    shown = [
        (name, *(f"{value:.3g}" for value in (q.sad, 1000 * q.mean, 1000 * q.disagreement)))
        for name, q in ranked[:SHOWN]
    ]
    print_table(HEADERS, shown, f"Predicted, worst first ({len(shown)} of {len(ranked)})")
    rows: list[dict[str, Any]] = [
        {"name": name, "sad": q.sad, "mean_error": q.mean, "disagreement": q.disagreement} for name, q in ranked
    ]
    if options.csv:
        write_csv(options.csv, rows)
    if options.json:
        write_json(options.json, {"images": rows})
