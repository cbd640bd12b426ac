"""Files of a run: config.yaml, results.json with its provenance, metrics per image, and a printed table."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning.utilities import rank_zero_only

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.data.storage.fingerprint import fingerprint
from p3m_lightning.files import atomic_path, clear_leftovers
from p3m_lightning.tables import print_table

PACKAGES = ("p3m_lightning", "torch", "torchvision", "pytorch-lightning", "hydra-core", "albumentations", "numpy")
SHOWN = ("sad", "mse", "mad", "sad_unknown", "gradient", "connectivity")


def save_config(config: Mapping[str, Any], folder: Path) -> None:
    """Write the resolved configuration as config.yaml; remove half-written files of a killed run from the folder."""
    if getattr(rank_zero_only, "rank", 0) == 0:  # other processes could be writing such files
        clear_leftovers(folder, "checkpoints", "report/**")
    with atomic_path(folder / "config.yaml") as aside:
        aside.write_text(yaml.safe_dump(dict(config), sort_keys=False))


def provenance(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the information needed to repeat the run: seed, git revision, versions, machine."""
    return {
        "experiment": config.get("experiment_name"),
        "task": config.get("task_name"),
        "tags": config.get("tags") or [],
        "seed": config["seed"],
        "git_revision": git_revision(),
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU",
    }


def data_fingerprints(data: MattingDataModule) -> dict[str, dict[str, Any]]:
    """Return the `fingerprint` of the training set, of the held-out part, and of every test set."""
    train = {"train": data.train_set} if data.train_set is not None else {}
    return {name: fingerprint(one) for name, one in (train | data.val_sets | data.test_sets).items()}


def git_revision() -> str | None:
    """Return the revision of the checkout that holds this file, with `+changes` if it differs; None outside one."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def print_results(results: Mapping[str, Any], images: Mapping[str, int]) -> None:
    """Print the mean metrics of every set, and below them the SAD of trivial predictors and published figures.

    Args:
        results: the content of `results.json`.
        images: number of images of each set.
    """
    published = results["published"]
    quoted = (key for figures in published.values() for one in figures for key in one["mean"])
    metrics = dict.fromkeys((*SHOWN, *quoted))
    rows: list[tuple[str, ...]] = []
    sections: list[int] = []

    def add(label: str, count: int, mode: str, values: Mapping[str, float]) -> None:
        rows.append((label, str(count), mode, *(f"{values[key]:.4g}" if key in values else "-" for key in metrics)))

    for name, report in results["sets"].items():
        trivial = results["trivial_sad"][name]
        add(name, images[name], results["inference"]["mode"], report["mean"])
        add("  the best constant", images[name], "-", {"sad": trivial["constant"]})
        add("  the mean matte", images[name], "-", {"sad": trivial["mean_matte"]})
        for figures in published.get(name, []):
            add(f"  {figures['source']}", figures["images"], figures["inference"] or "?", figures["mean"])
        sections.append(len(rows) - 1)
    print_table(("set", "images", "mode", *metrics), rows, "means over the images", left=["mode"], sections=sections)
