"""What a run leaves: config.yaml, results.json with its provenance, metrics per image, and a table for people."""

from __future__ import annotations

import json
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


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON, whole or not at all."""
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n")


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
    """Print the mean metrics of every set, and beside its SAD what predictors that never look at the image get."""
    table = Table(title="mean over the images of each set")
    table.add_column("set")
    for key in SHOWN:
        table.add_column(key, justify="right")
    table.add_column("SAD of the best constant", justify="right")
    table.add_column("SAD of the mean matte", justify="right")
    for name, report in sets.items():
        values = [f"{report['mean'][key]:.4g}" if key in report["mean"] else "-" for key in SHOWN]
        table.add_row(name, *values, f"{trivial[name]['constant']:.4g}", f"{trivial[name]['mean_matte']:.4g}")
    Console().print(table)
