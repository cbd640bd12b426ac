"""Report of a cycle: report.md with its tables, and images of every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.files import atomic_path
from p3m_lightning.images import from_unit, list_images, open_image, read_image, write_image
from p3m_lightning.inference import Predictor
from p3m_lightning.markdown import inline, markdown_table
from p3m_lightning.records import read_rows
from p3m_lightning.sheets import Panel, error_picture, sheet, to_picture

SHOWN = ("sad", "mse", "sad_unknown", "gradient", "connectivity")
ARMS = {"before": "before", "control": "trained further without portraits", "after": "trained further with portraits"}
COUNT = 6  # images of a kind
SQUARE = 8  # pixels of the checkerboard behind transparent images


def write_report(config: Mapping[str, Any], folder: Path, outcomes: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write `report.md` and its images into `folder`.

    Args:
        config: of the cycle.
        folder: of the cycle.
        outcomes: of every step; see `steps.STEPS`.

    Returns:
        The report.
    """
    show_cutouts(folder)
    some_refused = show_portraits(folder)
    shown = [name for name in outcomes["after"]["sets"] if show_mattes(config, folder, outcomes, name)]
    lines = [
        f"# {inline(config['experiment_name'])}",
        "",
        score_table(outcomes),
        "",
        production_table(outcomes),
        "",
        *(f"![{text}](report/{name}.jpg)\n" for name, text in PICTURES.items() if name != "refused" or some_refused),
        *(f"![{name}: before and after](report/{name}.jpg)\n" for name in shown),
        markdown_table(["step", "seconds"], [[name, f"{each['seconds']:.0f}"] for name, each in outcomes.items()]),
    ]
    report = folder / "report.md"
    with atomic_path(report) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return report


PICTURES = {
    "cutouts": "photographs as the network cut them out: the training images of the generator",
    "portraits": "generated portraits that passed, over photographs, with their mattes",
    "refused": "generated portraits that were refused, and why",
}


def score_table(outcomes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the mean metrics of every test set, before and after, as a Markdown table."""
    rows = []
    for name in outcomes["after"]["sets"]:
        for arm in (arm for arm in ARMS if arm in outcomes):
            scores = outcomes[arm]["sets"][name]
            rows.append([name, ARMS[arm], *(f"{scores[key]:.4g}" if key in scores else "-" for key in SHOWN)])
    return markdown_table(["test set", "network", *SHOWN], rows)


def production_table(outcomes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the products of the steps between, as a Markdown table."""
    made, learned = outcomes["portraits"], outcomes["gan"]
    distances = {when: learned["distance"][when] for when in ("start", "best") if learned["distance"][when]}
    rows = {
        "photographs cut out": f"{outcomes['mattes']['photographs'] - len(outcomes['mattes']['failed'])}",
        "images shown to the generator": f"{learned['images']:,}",
        **{f"distance at {when}: {key}": f"{value:.4g}" for when, d in distances.items() for key, value in numbers(d)},
        "portraits sampled": f"{made['candidates']}",
        "portraits kept": f"{made['kept']}",
        **{f"refused for {key}": f"{count}" for key, count in made["refused"].items()},
    }
    return markdown_table(["what", "number"], list(rows.items()))


def numbers(entries: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the float entries, under their full names only."""
    return [(key, value) for key, value in entries.items() if isinstance(value, float) and key != "distance"]


def show_cutouts(folder: Path) -> None:
    """Write a sheet of the first cut-outs."""
    files = list_images(folder / "mattes" / "cutout")[:COUNT]
    write_image(
        folder / "report/cutouts.jpg", sheet([[Panel(f.stem, on_checkerboard(f)) for f in files]], [""], side=160)
    )


def show_portraits(folder: Path) -> bool:
    """Write a sheet of kept portraits with their mattes, and one of refused ones with the reasons if there are any."""
    home = folder / "portraits"
    rows = read_rows(home / "gate.csv", ["name", "refused"], "delete the step `portraits` and those after it")
    kept = spaced([row["name"] for row in rows if not row["refused"]])
    image = [Panel(name, read_image(home / f"train/original_image/{name}.jpg")) for name in kept]
    matte = [Panel(name, read_image(home / f"train/mask/{name}.png")) for name in kept]
    write_image(folder / "report/portraits.jpg", sheet([image, matte], ["", ""], side=160))
    refused = spaced([row for row in rows if row["refused"]])
    panels = [
        Panel(f"{number}: {row['refused']}", on_checkerboard(home / f"candidates/{row['name']}.png"))
        for number, row in enumerate(refused, 1)
    ]
    if panels:
        write_image(folder / "report/refused.jpg", sheet([panels], [""], side=160))
    return bool(panels)


def spaced(items: Sequence[Any]) -> Sequence[Any]:
    """Return `COUNT` of the items, evenly spaced, since neighbors have similar psis."""
    return items[:: max(1, len(items) // COUNT)][:COUNT]


def show_mattes(config: Mapping[str, Any], folder: Path, outcomes: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    """Write a sheet of some portraits of a test set, before and after; return False if the set is not of P3M-10k."""
    try:
        tests = MattingDataset(config["paths"]["data"], "p3m-10k", name)
    except ValueError:
        return False
    nets = {
        when: Predictor.from_checkpoint(outcomes[step]["checkpoint"], config["device"], mode="auto")
        for when, step in (("before", "start"), ("after", "after"))
    }
    rows, notes = [], []
    for index in range(0, len(tests), max(1, len(tests) // 4))[:4]:
        sample = tests[index]
        picture = from_unit(sample["image"].permute(1, 2, 0).numpy())
        mattes = {when: torch.from_numpy(net(picture).alpha)[None] for when, net in nets.items()}
        errors = {when: (alpha - sample["alpha"])[0].numpy() for when, alpha in mattes.items()}
        rows.append(
            [Panel("image", to_picture(sample["image"])), Panel("truth", to_picture(sample["alpha"]))]
            + [Panel(when, to_picture(alpha)) for when, alpha in mattes.items()]
            + [Panel(f"error {when}", error_picture(error)) for when, error in errors.items()]
        )
        sads = {when: np.abs(error).sum() / 1000 for when, error in errors.items()}
        notes.append(f"SAD {sads['before']:.2f} -> {sads['after']:.2f}")
    write_image(folder / f"report/{name}.jpg", sheet(rows, notes, side=200))
    return True


def on_checkerboard(path: Path) -> np.ndarray:
    """Read an RGBA image and composite it over a checkerboard: uint8 (H, W, 3)."""
    with open_image(path) as picture:
        pixels = np.asarray(picture.convert("RGBA")).astype(np.float32)
    y, x = np.indices(pixels.shape[:2]) // SQUARE
    board = np.where((x + y) % 2, 160, 220)[..., None]
    alpha = pixels[..., 3:] / 255
    return np.rint(alpha * pixels[..., :3] + (1 - alpha) * board).astype(np.uint8)
