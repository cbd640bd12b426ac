"""`p3m models`: list the networks."""

from __future__ import annotations

import argparse
import json
from typing import Any

SIZE = 512  # side of the image that multiply-adds are counted for


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m models --json"
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these networks")
    parser.add_argument("--json", action="store_true", help="print JSON, with all digits")


def run(options: argparse.Namespace) -> None:
    """Print a line for every network."""
    from p3m_lightning.models import MODELS, model_card
    from p3m_lightning.progress import track

    names = options.names or list(MODELS)
    for name in names:
        model_card(name)  # an unknown name is refused before anything is counted
    rows = [describe(name) for name in track(names, "counting")]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)


def describe(name: str) -> dict:
    """Return the facts about the network `name`; sizes are left out where its packages are not installed."""
    from p3m_lightning.experiments.bench.complexity import count
    from p3m_lightning.models import create_model, model_card
    from p3m_lightning.schema import InputError

    card = model_card(name)
    row = {"name": name, "paper": card.paper, "needs_trimap": card.needs_trimap, "extra": card.extra}
    try:
        size = count(create_model(name), SIZE)
    except InputError:  # the extra is not installed
        return row | {"parameters": None, f"multiply_adds_{SIZE}": None}
    return row | {"parameters": size.parameters, f"multiply_adds_{SIZE}": size.multiply_adds}


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the networks as a table."""
    from p3m_lightning.tables import print_table as print_cells

    head = ("name", "parameters", f"multiply-adds at {SIZE}", "trimap", "paper")
    cells = [
        (
            row["name"],
            scaled(row["parameters"], 1e6, "M", row["extra"]),
            scaled(row[f"multiply_adds_{SIZE}"], 1e9, "G", row["extra"]),
            "needed" if row["needs_trimap"] else "-",
            row["paper"],
        )
        for row in rows
    ]
    print_cells(head, cells, left=["trimap"], sentences=["paper"])
    print("model=p3mnet and model=basic take model.encoder=NAME, any network of timm with maps at strides 4 to 32.")
    print("Multiply-adds of convolutions and matrix products for one image; without norms, activations, resizing.")


def scaled(number: int | None, unit: float, letter: str, extra: str | None) -> str:
    """Return a count in units of `unit`, or the reason why there is none."""
    if number is None:
        return f"needs [{extra}]"
    return f"{number / unit:,.1f} {letter}" if number else "-"
