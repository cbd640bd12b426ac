"""`p3m data anonymize`: obfuscate the faces of a folder of portraits."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from p3m_lightning.cli import AtLeast
from p3m_lightning.messages import shortened

SHOWN = 20
BARELY = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.epilog = (
        "example: p3m data anonymize photos blurred --mattes mattes --masks facemask\n"
        "Faces are found by dlib (pip install 'p3m_lightning[face]'); its 68-point model was trained on 300-W, which "
        "is licensed for research only: for other work, give --landmarks. No detector is perfect: look at the result."
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="folder of images")
    parser.add_argument("destination", type=Path, metavar="DST", help="folder for the anonymized images")
    parser.add_argument("--mattes", type=Path, metavar="DIR", help="mattes by stem; hair and edges are left unchanged")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="write the face masks there, PNG of 0 and 255")
    parser.add_argument(
        "--landmarks",
        type=Path,
        metavar="JSON",
        help='landmarks by hand or of another detector: {"landmarks": {"photo": [[[x, y], ... 68], ... faces]}}, '
        "[] for no face; images not listed go to dlib",
    )
    parser.add_argument("--mode", default="blur", help="blur, mosaic or zero (default: blur)")
    sizes = parser.add_argument_group("sizes, in units of the face (longer side of the box around its landmarks)")
    sizes.add_argument(
        "--blur-sigma", type=float, metavar="S", help="standard deviation of the Gaussian (default: 0.12)"
    )
    sizes.add_argument("--mosaic-cell", type=float, metavar="S", help="side of a mosaic cell (default: 0.16)")
    sizes.add_argument(
        "--transition-margin", type=float, metavar="S", help="widening of the transition area (default: 0.03)"
    )
    finder = parser.add_argument_group("finding faces")
    finder.add_argument(
        "--detector",
        default="auto",
        help="hog (frontal), cnn (also profiles; slow), both; auto: hog, and the rest only where a person of the "
        "mattes, or an image without a matte, has no face yet (default: auto)",
    )
    finder.add_argument(
        "--smallest-face",
        type=float,
        default=0.04,
        metavar="S",
        help="smallest face, as a share of the longer side of the image (default: 0.04)",
    )
    parser.add_argument(
        "--format",
        default="same",
        help="same: a JPEG stays a JPEG, with its own quantization tables; png: lossless (default: same)",
    )
    parser.add_argument("--copy-unfound", action="store_true", help="also write images in which no face was found")
    parser.add_argument(
        "--report", type=Path, metavar="JSON", help="report of what was done (default: DST.anonymize.json, beside DST)"
    )
    parser.add_argument("--workers", action=AtLeast, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--overwrite", action="store_true", help="discard what was done before")


def run(options: argparse.Namespace) -> int:
    """Anonymize the folder and print a summary; return 2 if some images could not be read."""
    from p3m_lightning.privacy.anonymize_folder import Recipe, anonymize_folder, report_path
    from p3m_lightning.privacy.anonymize_report import FAILED, HIDDEN, NO_FACE, OBFUSCATED, found_by
    from p3m_lightning.privacy.dlib_faces import NOTICE, DlibFaceFinder
    from p3m_lightning.schema import InputError

    sizes = {key: getattr(options, key) for key in ("blur_sigma", "mosaic_cell", "transition_margin")}
    recipe = Recipe(
        DlibFaceFinder(options.detector, options.smallest_face),
        options.mode,
        copy_unfound=options.copy_unfound,
        **{key: value for key, value in sizes.items() if value is not None},
    )
    report = options.report or report_path(options.destination)
    entries = anonymize_folder(
        options.source,
        options.destination,
        recipe,
        mattes=options.mattes,
        masks=options.masks,
        landmarks=options.landmarks,
        output_format=options.format,
        report=report,
        workers=options.workers,
        overwrite=options.overwrite,
    )
    done = [entry for entry in entries.values() if entry.status == OBFUSCATED]
    if not all(entry.given for entry in entries.values()):
        print(f"note: {NOTICE}", file=sys.stderr)
    if entries and not options.copy_unfound and all(entry.status == NO_FACE for entry in entries.values()):
        raise InputError(
            f"{options.source}: no face found in any of the {len(entries)} images, so none was written; "
            "give --mattes, a lower --smallest-face or --landmarks, or --copy-unfound if there are none to hide"
        )
    print(f"{len(done)} of {len(entries)} images obfuscated, {sum(entry.faces for entry in done)} faces -> {report}")
    if found := found_by(done):
        print("faces found by " + ", ".join(f"{who}: {count}" for who, count in found.items()))
    _list("barely obfuscated, the matte is soft inside the face", [e.file for e in done if e.kept < BARELY])
    not_written = "copied as they are" if options.copy_unfound else "not written"
    for status, fate in ((NO_FACE, not_written), (HIDDEN, "not written"), (FAILED, "not written")):
        concerned = [entry for entry in entries.values() if entry.status == status]
        _list(f"{status}, {fate}", [f"{e.file} ({e.reason})" if e.reason else e.file for e in concerned])
    return 2 if any(entry.status == FAILED for entry in entries.values()) else 0


def _list(what: str, files: list[str]) -> None:
    if files:
        print("\n  ".join([f"{len(files)} {what}:", *shortened(files, SHOWN, ", see the report")]))
