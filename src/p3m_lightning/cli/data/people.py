"""`p3m data people`: find people in photographs meant as backgrounds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from p3m_lightning.schema import InputError
from p3m_lightning.tables import print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.description = (
        "Look for people in photographs meant as backgrounds, using the network in the box: a person there would "
        "teach that people are background. Lists the files that show people; exit code 2 if there are any."
    )
    parser.epilog = "example: p3m data people BG-20k/train | cut -f1"
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of photographs, searched recursively")
    parser.add_argument(
        "--quick", action="store_true", help="one pass per photograph: a fifth of the time, but misses small people"
    )
    parser.add_argument(
        "--least", type=float, metavar="SHARE", help="smallest part of a view that a person fills (default: 0.004)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings for every photograph")


def run(options: argparse.Namespace) -> int:
    """Search, print the files with people; return 2 if there are any, or if files cannot be read."""
    from p3m_lightning.data.storage.layout import by_stem
    from p3m_lightning.inference.people import LEAST, find_people
    from p3m_lightning.messages import no_such
    from p3m_lightning.parallel import silence_libraries
    from p3m_lightning.progress import track
    from p3m_lightning.records import write_json

    if not options.folder.is_dir():
        raise InputError(no_such(options.folder, "folder"))
    least = LEAST if options.least is None else options.least
    if not 0 < least < 1:
        raise InputError(f"--least {least}: give a share between 0 and 1")
    silence_libraries()
    files = sorted(by_stem(options.folder, nested=True).values())
    sightings = list(track(find_people(files, closer=not options.quick), "looking for people", len(files)))
    found = [sighting for sighting in sightings if sighting.is_found(least)]
    broken = [sighting for sighting in sightings if sighting.reason]
    rows = [[str(one.file), f"{100 * one.share:.1f} %"] for one in sorted(found, key=lambda one: -one.share)]
    print_table(["file", "share"], rows)
    for one in broken:
        print(f"p3m: {one.reason}", file=sys.stderr)
    told = f"people in {len(found)} of {len(files)} photographs"
    print(told if sys.stdout.isatty() else f"p3m: {told}", file=sys.stdout if sys.stdout.isatty() else sys.stderr)
    if options.json:
        entries = [one._asdict() | {"file": str(one.file), "person": one.is_found(least)} for one in sightings]
        write_json(options.json, {"least": least, "quick": options.quick, "photographs": entries})
    return 2 if found or broken else 0
