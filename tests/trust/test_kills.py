"""SIGKILL at random moments: what goes on afterwards ends as if nothing had happened, and no file is broken."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from processes import Zygote
from verbs import LONG

from brief_training import BRIEF
from p3m_lightning.images import write_image
from p3m_lightning.synthetic import render_portrait

pytestmark = pytest.mark.slow  # not in make test before all of it has been seen green

KILLS = 50 if LONG else 6
WRITING_KILLS = 40 if LONG else 3
PER_RUN = 5  # kills of one training before it may end
VARYING = "train/images_per_second"


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    with Zygote(tmp_path_factory.mktemp("zygote")) as process:
        yield process


def training(portraits: Path, folder: Path, *more: str) -> list:
    last = folder / "checkpoints" / "last.ckpt"
    resumed = [f"ckpt={last}"] if last.is_file() else []
    options = ["trainer.max_epochs=3", "callbacks.last.every_n_minutes=0", "logger=csv"]
    return ["train", *BRIEF, f"paths.data={portraits}", f"hydra.run.dir={folder}", *options, *more, *resumed]


def state_of(folder: Path) -> dict:
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {k: content[k] for k in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch")}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if v and k != VARYING} for row in csv.DictReader(file)]


def scores_of(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())["sets"]


def same(a: object, b: object) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def differences(folder: Path, unbroken: Path) -> str:
    faults = [name for name, read in {"state": state_of, "rows": rows_of, "scores": scores_of}.items()
              if not same(read(folder), read(unbroken))]  # fmt: skip
    left = [path.name for path in folder.rglob(".part-*")]
    return ", ".join([*faults, *left])


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_killed_at_random_ends_as_the_unbroken_one(workers, zygote, portraits, tmp_path, tally):
    options = [f"data.num_workers={workers}"]
    unbroken = zygote.run(training(portraits, tmp_path / "unbroken", *options))
    assert unbroken.ended.code == 0, unbroken.ended.err
    rng, lost, kills, number = random.Random(workers), [], 0, 0
    while kills < KILLS // (2 if LONG else 1):
        number += 1
        folder = tmp_path / f"run{number}"
        for _ in range(PER_RUN):
            outcome = zygote.run(training(portraits, folder, *options), rng.uniform(0.02, 0.9) * unbroken.seconds)
            if not outcome.signal:
                lost += [f"run {number}: {fault}"] if (fault := outcome.ended.faults((0,))) else []
                break
            kills += 1
        outcome = zygote.run(training(portraits, folder, *options))
        fault = outcome.ended.faults((0,)) or differences(folder, tmp_path / "unbroken")
        lost += [f"run {number}: {fault}"] if fault else []
        shutil.rmtree(folder)
    tally(f"kills of train, {workers} loader processes", kills, lost)


def photographs(folder: Path, count: int = 6) -> Path:
    for number in range(count):
        write_image(folder / f"{number}.png", render_portrait(number, 96).image)
    return folder


def broken_files(folder: Path) -> list[str]:
    """Return the finished pictures and tables of a folder that cannot be read."""
    broken = []
    for path in folder.rglob("*"):
        if not path.is_file() or path.name.startswith(".part-"):
            continue
        try:
            if path.suffix in (".png", ".jpg"):
                with Image.open(path) as image:
                    image.load()
            elif path.suffix == ".json":
                json.loads(path.read_text())
        except (OSError, SyntaxError, ValueError) as error:
            broken.append(f"{path.name}: {error}")
    return broken


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def writing(verb: str, given: Path, out: Path, checkpoint: Path) -> list:
    """Return the command line of a verb that writes many files, and goes on when it is run again."""
    photos, data = given / "photos", given / "set"
    return {
        "predict": ["predict", photos, "-o", out, "--ckpt", checkpoint, "--cutout", "--resume", "--device", "cpu"],
        "data foregrounds": ["data", "foregrounds", data, "--name", "p3m-10k", "--out", out, "--workers", 1],
        "data pack": ["data", "pack", data, "--name", "p3m-10k", "--out", out, "--workers", 1],
        "data anonymize": ["data", "anonymize", photos, out / "a", "--copy-unfound", "--workers", 1],
        "data synthesize": ["data", "synthesize", out, "--train", 4, "--test", 2, "--size", 96, "--workers", 1],
    }[verb]


VERBS = ("predict", "data foregrounds", "data pack", "data anonymize", "data synthesize")


@pytest.mark.parametrize("verb", [VERBS[0], *(pytest.param(v, marks=pytest.mark.slow) for v in VERBS[1:])])
def test_what_writes_many_files_survives_kills(verb, zygote, portraits, checkpoint, tmp_path, tally):
    photographs(tmp_path / "photos")
    (tmp_path / "set").symlink_to(portraits)
    unbroken = zygote.run(writing(verb, tmp_path, tmp_path / "unbroken", checkpoint))
    assert unbroken.ended.code == 0, unbroken.ended.err
    whole, lost, kills = contents(tmp_path / "unbroken"), [], 0
    rng = random.Random(verb)
    while kills < WRITING_KILLS:
        out = tmp_path / "out"
        for _ in range(PER_RUN):
            outcome = zygote.run(writing(verb, tmp_path, out, checkpoint), rng.uniform(0.05, 0.9) * unbroken.seconds)
            lost += [f"after a kill: {fault}" for fault in broken_files(out)]
            if not outcome.signal:
                break
            kills += 1
        outcome = zygote.run(writing(verb, tmp_path, out, checkpoint))
        found = contents(out)
        changed = [k for k in whole.keys() | found.keys() if whole.get(k) != found.get(k) and not k.endswith(".json")]
        fault = outcome.ended.faults((0,)) or ", ".join(sorted(changed))
        lost += [fault] if fault else []
        shutil.rmtree(out)
    tally(f"kills of {verb}", kills, lost)
