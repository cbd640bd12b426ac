"""What a run leaves: config.yaml, results.json with its provenance, metrics per image, and a table for people."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table

from p3m_lightning.images import atomic_path

PACKAGES = ("p3m_lightning", "torch", "torchvision", "pytorch-lightning", "hydra-core", "albumentations", "numpy")
SHOWN = ("sad", "mse", "mad", "sad_unknown", "gradient", "connectivity")


def save_config(config: Mapping[str, Any], folder: Path) -> None:
    """Write the resolved configuration as config.yaml."""
    with atomic_path(folder / "config.yaml") as aside:
        aside.write_text(yaml.safe_dump(dict(config), sort_keys=False))


def provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what another person needs to repeat the run: seed, git revision, versions, machine."""
    return {
        "experiment": config.get("experiment_name"),
        "seed": config["seed"],
        "git_revision": git_revision(),
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU",
    }


def git_revision() -> str | None:
    """Return the revision of the checkout that holds this file, with `+changes` if it differs; None outside one."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def print_results(sets: Mapping[str, Any], trivial: Mapping[str, Mapping[str, float]]) -> None:
    """Print the mean metrics of every set, and below them the SAD of predictors that never look at the image."""
    table = Table(title="mean over the images", title_justify="left")
    table.add_column("metric", no_wrap=True)
    for name in sets:
        table.add_column(name, justify="right")
    for key in SHOWN:
        values = [report["mean"].get(key) for report in sets.values()]
        table.add_row(key, *("-" if value is None else f"{value:.4g}" for value in values))
    table.add_section()
    for key, label in (("constant", "sad of the best constant"), ("mean_matte", "sad of the mean matte")):
        table.add_row(label, *(f"{trivial[name][key]:.4g}" for name in sets))
    Console().print(table)
