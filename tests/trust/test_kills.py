"""SIGKILL at random moments: resumed work ends with the same result, and no file is broken."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from processes import Apart, Zygote
from trainings import TRAININGS, differences, training, write_given
from verbs import LONG

from p3m_lightning.images import write_image
from p3m_lightning.synthetic import render_portrait

SHARE = float(os.environ.get("P3M_TRUST_KILLS", 1))  # of the kills of the long form, for a machine that is busy
KILLS = max(2, round(25 * SHARE)) if LONG else 6  # for each number of loader processes
OTHER_KILLS = {"a sweep": 4, "train by two processes": 4}  # every process of these begins with all imports
WRITING_KILLS = max(2, round(40 * SHARE)) if LONG else 3
PER_RUN = 5 if LONG else 6  # kills of one training before it may end
BRIEFLY = ["trainer.max_epochs=2", "data.tests.P3M-500-P.limit=1", "~data.tests.P3M-500-NP"]


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    with Zygote(tmp_path_factory.mktemp("zygote")) as process:
        yield process


def kill_and_go_on(
    run: Callable, command: Callable[[Path], list], compare: Callable[[Path, Path], str], place: Path, wanted: int
) -> tuple[int, list[str]]:
    """Kill runs at random moments, let them finish, and compare them with the uninterrupted one.

    Returns:
        The number of kills, and descriptions of what was lost.
    """
    unbroken = run(command(place / "unbroken"))
    assert unbroken.ended.code == 0, unbroken.ended.err + unbroken.ended.out
    rng, lost, kills, number = random.Random(str(command(Path())[:2])), [], 0, 0
    while kills < wanted:
        number += 1
        folder = place / f"run{number}"
        for _ in range(min(PER_RUN, wanted - kills)):
            outcome = run(command(folder), kill_after=rng.uniform(0.02, 0.9) * unbroken.seconds)
            if not outcome.signal:
                lost += [f"run {number}: {fault}"] if (fault := outcome.ended.faults((0,))) else []
                break
            kills += 1
        outcome = run(command(folder))
        fault = outcome.ended.faults((0,)) or compare(folder, place / "unbroken")
        lost += [f"run {number}: {fault}"] if fault else []
        shutil.rmtree(folder)
    return kills, lost


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_killed_at_random_ends_as_the_unbroken_one(workers, zygote, portraits, tmp_path, tally):
    options = [f"data.num_workers={workers}", *(() if LONG else BRIEFLY)]
    kills, lost = kill_and_go_on(
        zygote.run, lambda folder: training(portraits, folder, *options), differences, tmp_path, KILLS
    )
    tally(f"kills of train, {workers} loader processes", kills, lost)


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_other_trainings_killed_at_random_end_as_the_unbroken_ones(
    name, zygote, portraits, checkpoint, tmp_path, tally
):
    given, one = write_given(tmp_path / "given", portraits, checkpoint), TRAININGS[name]

    def compare(folder: Path, unbroken: Path) -> str:
        pairs = zip(one.runs(folder), one.runs(unbroken), strict=True)
        return ", ".join(filter(None, (differences(*pair) for pair in pairs)))

    run = Apart().run if one.apart else zygote.run
    wanted = OTHER_KILLS.get(name, max(2, round(10 * SHARE)))
    kills, lost = kill_and_go_on(run, lambda folder: one.command(given, folder), compare, tmp_path, wanted)
    tally(f"kills of {name}", kills, lost)


def photographs(folder: Path, count: int = 6) -> Path:
    for number in range(count):
        write_image(folder / f"{number}.png", render_portrait(number, 96).image)
    return folder


def write_given_pictures(folder: Path, portraits: Path, count: int) -> Path:
    """Write the inputs of `writing`: photographs, a data set, and one without foregrounds."""
    photographs(folder / "photos", count)
    (folder / "set").symlink_to(portraits)
    (folder / "bare" / "train").mkdir(parents=True)
    for role in ("blurred_image", "mask"):
        (folder / "bare" / "train" / role).symlink_to(portraits / "train" / role)
    return folder


def broken_files(folder: Path) -> list[str]:
    """Return the finished images and tables of a folder that cannot be read."""
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
    """Return the command line of a verb that writes many files and continues when run again."""
    photos, data = given / "photos", given / "set"
    bare = given / "bare"
    return {
        "predict": ["predict", photos, "-o", out, "--ckpt", checkpoint, "--cutout", "--resume", "--device", "cpu"],
        "data foregrounds": ["data", "foregrounds", bare, "--name", "p3m-10k", "--output", out, "--workers", 1],
        "data pack": ["data", "pack", data, "--name", "p3m-10k", "--output", out, "--workers", 1],
        "data anonymize": [
            "data",
            "anonymize",
            photos,
            out / "a",
            "--copy-unfound",
            "--detector",
            "hog",
            "--workers",
            1,
        ],
        "data synthesize": ["data", "synthesize", out, "--train", 4, "--test", 2, "--size", 96, "--workers", 1],
    }[verb]


VERBS = ("predict", "data foregrounds", "data pack", "data anonymize", "data synthesize")


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_what_writes_many_files_survives_kills(verb, zygote, portraits, checkpoint, tmp_path, tally):
    write_given_pictures(tmp_path, portraits, 6)

    def compare(out: Path, unbroken: Path) -> str:
        whole, found = contents(unbroken), contents(out)
        changed = [k for k in whole.keys() | found.keys() if whole.get(k) != found.get(k) and not k.endswith(".json")]
        return ", ".join(sorted(changed))

    broken: list[str] = []

    def run(command: list, **keys: float):
        outcome = zygote.run(command, **keys)
        broken.extend(f"after a kill: {fault}" for path in tmp_path.glob("run*") for fault in broken_files(path))
        return outcome

    kills, lost = kill_and_go_on(
        run, lambda out: writing(verb, tmp_path, out, checkpoint), compare, tmp_path, WRITING_KILLS
    )
    tally(f"kills of {verb}", kills, [*broken, *lost])
