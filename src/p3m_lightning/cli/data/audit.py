"""`p3m data audit`: measure how anonymous anonymized faces are."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from p3m_lightning.cli import AtLeast
from p3m_lightning.messages import shortened

SHOWN = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.epilog = (
        "example: p3m data audit photos blurred --mattes mattes -o audit\n"
        "Faces are found and described by dlib (pip install 'p3m_lightning[face]'); its 68-point model was trained on "
        "300-W, which is licensed for research only."
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="folder of the originals")
    parser.add_argument("destination", type=Path, metavar="DST", help="folder of the anonymized images")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="folder for audit.json and worst.png (default: DST.audit)"
    )
    parser.add_argument(
        "--mattes", type=Path, metavar="DIR", help="mattes by stem: nothing may change in their soft pixels"
    )
    parser.add_argument(
        "--landmarks",
        type=Path,
        metavar="JSON",
        help="faces of the originals (default: DST.anonymize.json, if it exists)",
    )
    parser.add_argument(
        "--detector", default="both", help="hog (frontal), cnn (also profiles; slow) or both (default: both)"
    )
    parser.add_argument(
        "--smallest-face",
        type=float,
        default=0.04,
        metavar="S",
        help="smallest face, as a share of the longer side of the image (default: 0.04)",
    )
    parser.add_argument("--worst", type=int, default=8, metavar="N", help="faces shown in worst.png (default: 8)")
    parser.add_argument("--workers", action=AtLeast, metavar="N", help="processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Audit the folders and print the table; return 2 if some images could not be read."""
    from p3m_lightning.files import write_whole
    from p3m_lightning.images import write_image
    from p3m_lightning.landmarks import read_landmarks
    from p3m_lightning.privacy.anonymize_folder import report_path
    from p3m_lightning.privacy.audit import Auditor, audit_folders
    from p3m_lightning.privacy.audit_report import audit_report, worst_cases
    from p3m_lightning.privacy.dlib_faces import NOTICE, DlibFaceFinder, face_descriptor
    from p3m_lightning.sheets import sheet

    print(f"note: {NOTICE}", file=sys.stderr)
    landmarks = options.landmarks or report_path(options.destination)
    images, missing = audit_folders(
        options.source,
        options.destination,
        Auditor(DlibFaceFinder(options.detector, options.smallest_face), face_descriptor),
        mattes=options.mattes,
        landmarks=read_landmarks(landmarks) if options.landmarks or landmarks.exists() else None,
        workers=options.workers,
    )
    report = audit_report(images, missing)
    folder = options.output or report_path(options.destination).with_name(f"{options.destination.resolve().name}.audit")
    write_whole(folder / "audit.json", (json.dumps(report, indent=1) + "\n").encode())
    rows, notes = worst_cases(images, options.worst)
    if rows:
        write_image(folder / "worst.png", sheet(rows, notes))
    _print(report, folder)
    return 2 if report["summary"]["failed"] else 0


def _print(report: dict[str, Any], folder: Path) -> None:
    summary = report["summary"]
    for key, value in summary.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {number}" for name, number in value.items())
        print(f"{key.replace('_', ' '):34} {'-' if value is None else value}")
    failed = [f"{image['name']} ({image['reason']})" for image in report["images"] if image["reason"]]
    for what, files in (("failed", failed), ("not in the destination", report["missing"])):
        if files:
            print("\n  ".join([f"{len(files)} {what}:", *shortened(files, SHOWN, ", see audit.json")]))
    print(folder)
