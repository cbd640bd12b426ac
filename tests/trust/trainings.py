"""Trainings to kill: commands to start and resume each, and the results that must equal the uninterrupted run."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from brief_training import BRIEF
from p3m_lightning.images import read_matte, write_image
from tiny_gan import SHORT, TINY, write_discs

VARYING = ("train/images_per_second",)
SAVED = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")
OFTEN = ["callbacks.last.every_n_minutes=0", "logger=csv"]
STAGES = [
    "+stages.rough={trainer: {max_epochs: 1}, optimizer: {lr: 1e-3}, frozen: [encoder.*]}",
    "+stages.fine={trainer: {max_epochs: 2}}",
]
FINETUNE = ["trainer=cpu", "trainer.max_epochs=2", "data.prepare=null", "data.num_workers=0", "data.batch_size=2"]
FINETUNE += ["data.holdout=2", "data.train.length=4", "callbacks.progress=null", "callbacks.pictures=null"]
FINETUNE += ["+inference.short_side=96", "trainer.log_every_n_steps=1"]
FINETUNE += [f"data.train.datasets.{part}.transform.crop.sides=[96,128]" for part in ("new", "old")]
FINETUNE += [f"data.train.datasets.{part}.transform.crop.size=64" for part in ("new", "old")]


class Training(NamedTuple):
    """A training to kill."""

    command: Callable[[Path, Path], list]  # from what is given and the run folder; goes on with what lies there
    runs: Callable[[Path], list[Path]] = lambda folder: [folder]  # run folders in it that are compared
    apart: bool = False  # it starts processes by its own command line, which a fork does not have


def write_given(folder: Path, portraits: Path, checkpoint: Path) -> Path:
    """Write the data of the trainings."""
    folder.mkdir()
    (folder / "set").symlink_to(portraits)
    (folder / "checkpoint.safetensors").symlink_to(checkpoint)
    write_discs(folder)
    for path in sorted((portraits / "train" / "mask").glob("*.png"))[:4]:
        image = next(p for p in (portraits / "train").glob(f"*image/{path.stem}.*"))
        (folder / "own" / "image").mkdir(parents=True, exist_ok=True)
        shutil.copy(image, folder / "own" / "image" / f"own_{image.name}")
        write_image(folder / "own" / "mask" / f"own_{path.name}", (read_matte(path) > 127) * np.uint8(255))
    return folder


def resumed(folder: Path) -> list[str]:
    """Return the override that resumes a run, if there is anything to resume."""
    last = folder / "checkpoints" / "last.ckpt"
    return [f"ckpt={last}"] if last.is_file() else []


def training(portraits: Path, folder: Path, *more: str) -> list:
    """Return the command line of an uninterrupted training."""
    where = [f"paths.data={portraits}", f"hydra.run.dir={folder}"]
    return ["train", *BRIEF, *where, "trainer.max_epochs=3", *OFTEN, *more, *resumed(folder)]


def _stages(given: Path, folder: Path) -> list:
    return ["train", *BRIEF, *STAGES, *OFTEN, f"paths.data={given}/set", f"hydra.run.dir={folder}"]


def _gan(given: Path, folder: Path) -> list:
    where = [f"paths.data={given}/rgba", f"paths.backgrounds={given}/backgrounds", f"hydra.run.dir={folder}"]
    return ["gan", "train", *TINY, *SHORT, *where, "images=64", *resumed(folder)]


def _finetune(given: Path, folder: Path) -> list:
    where = [f"paths.new={given}/own", f"paths.old={given}/set", f"hydra.run.dir={folder}"]
    return ["finetune", *FINETUNE, *OFTEN, *where, f"init_from={given}/checkpoint.safetensors", *resumed(folder)]


def _sweep(given: Path, folder: Path) -> list:
    where = [f"paths.data={given}/set", f"hydra.sweep.dir={folder}"]
    return ["train", "-m", *BRIEF, *OFTEN, *where, "trainer.max_epochs=2", "optimizer.lr=1e-3,2e-3"]


def _processes(given: Path, folder: Path) -> list:
    return training(given / "set", folder, "trainer=ddp_sim")


TRAININGS = {
    "train in stages": Training(_stages, lambda folder: [folder, *sorted((folder / "stages").iterdir())]),
    "gan train": Training(_gan),
    "finetune": Training(_finetune),
    "a sweep": Training(_sweep, lambda folder: [folder / "0", folder / "1"], apart=True),
    "train by two processes": Training(_processes, apart=True),
}


def state_of(run: Path) -> dict[str, Any]:
    """Return weights, moments, schedules and counters."""
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {key: content.get(key) for key in SAVED}


def rows_of(run: Path) -> list[dict[str, str]]:
    """Return the rows of `metrics.csv` without the timings."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if v and k not in VARYING} for row in csv.DictReader(file)]


def scores_of(run: Path) -> dict[str, Any]:
    """Return the scores of the run; of a fine-tuning also its forgetting report."""
    results = json.loads((run / "results.json").read_text())
    return {key: results.get(key) for key in ("sets", "validation", "history", "forgetting")}


def differences(run: Path, unbroken: Path) -> str:
    """Return the differences between two runs, and files that a kill has left behind."""
    faults = []
    for name, read in {"state": state_of, "rows": rows_of, "scores": scores_of}.items():
        faults += [f"{name}{found}" for found in list(_differing(read(run), read(unbroken)))[:3]]
    return ", ".join([*faults, *(path.name for path in run.rglob(".part-*"))])


def _differing(a: Any, b: Any, place: str = "") -> Iterator[str]:
    """Yield the places at which two trees differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys(), key=str):
            if key in a and key in b:
                yield from _differing(a[key], b[key], f"{place}/{key}")
            else:
                yield f"{place}/{key} is in one only"
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            yield f"{place}: {len(a)} instead of {len(b)}"
        for number, (one, other) in enumerate(zip(a, b, strict=False)):
            yield from _differing(one, other, f"{place}[{number}]")
    elif not (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b or (a != a and b != b)):
        yield f"{place}: {str(a)[:40]} instead of {str(b)[:40]}"
