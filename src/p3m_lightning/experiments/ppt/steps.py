"""Steps of a PPT plan: every training and every test has a run folder of its own; finished ones are not run again."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from p3m_lightning.configuration import compose_run, current_targets
from p3m_lightning.configuration.quoting import quoted
from p3m_lightning.experiments.ppt.images import hide_faces
from p3m_lightning.experiments.ppt.plan import NOT_TRAINED, Cell, Plan
from p3m_lightning.experiments.run_folders import Run, flatten, read_run
from p3m_lightning.files import make_folder, naming
from p3m_lightning.messages import refuse_other_settings
from p3m_lightning.progress import progress_bar
from p3m_lightning.records import read_record
from p3m_lightning.schema import InputError
from p3m_lightning.training.resume import ASSUMED
from p3m_lightning.training.run import build, evaluate, train_once

QUIET = ("callbacks.progress=null", "++data.prepare=null")


def run_plan(plan: Plan) -> dict[Cell, Run]:
    """Train and test what is not finished yet, and return every cell's run.

    Raises:
        InputError: images are missing, or a folder has results of other settings.
    """
    cells = list(plan.cells())
    trainings = [
        (cell.model, cell.trained_on)
        for cell in cells
        if cell.trained_on != NOT_TRAINED and not (plan.checkpoints.get(cell.model) or {}).get(cell.trained_on)
    ]
    prepare(plan)
    steps = {f"{model}: training on {side}": partial(train_side, plan, model, side) for model, side in trainings}
    steps |= {f"{cell.model}: {cell.title}": partial(test_cell, plan, cell) for cell in cells}
    with progress_bar() as bar:
        task = bar.add_task("", total=len(steps))
        for title, step in steps.items():
            bar.update(task, description=title)
            step()
            bar.advance(task)
    return {cell: read_run(plan.cell_folder(cell), cell.title) for cell in cells}


def prepare(plan: Plan) -> None:
    """Make the data set if it is a synthetic one, and the images of the styles."""
    data = compose_run("train", [*plan.data, f"paths.data={quoted(plan.root)}"], plan.folder)["data"]
    if data.get("prepare"):
        build(data["prepare"])()
    for conditions, node in ((plan.train_on, data["train"]), (plan.test_on, data["tests"].get(plan.test))):
        if node is None or "images" not in node:
            raise InputError(f"protocol: data.train and data.tests.{plan.test} must be single data sets with `images`")
        for style in (condition for condition in conditions if condition in plan.styles):
            target = Path(plan.images(style, node["split"]))
            hide_faces(plan.root, node["name"], node["split"], plan.folders["N"], target, plan.styles[style])


def train_side(plan: Plan, model: str, side: str) -> None:
    """Train a method on the images of one condition; resume an interrupted training."""
    folder, config = plan.training_folder(model, side), training_config(plan, model, side)
    last = folder / "checkpoints" / "last.ckpt"
    if not is_finished(folder, config, ignored=("ckpt",)):  # the checkpoint it resumes from is not a setting
        with quiet(folder):
            train_once({**config, "ckpt": str(last) if last.is_file() else None})


def training_config(plan: Plan, model: str, side: str) -> dict[str, Any]:
    """Return the configuration of a training: the method's recipe, with the images of one condition and no tests."""
    method = plan.methods[model]
    overrides = [f"experiment={method.get('experiment', 'default')}", *plan.data, *plan.train, *method.get("train", ())]
    overrides += [*plan.train_overrides, *_common(plan), f"experiment_name=ppt/{model}/{side}"]
    config = compose_run("train", overrides, plan.training_folder(model, side))
    node = config["data"]["train"]
    config["data"] |= {"train": {**node, "images": plan.images(side, node["split"])}, "tests": {}}
    return config


def test_cell(plan: Plan, cell: Cell) -> None:
    """Score a method on the images of one condition, including the face region."""
    folder, overrides = plan.cell_folder(cell), [*plan.data, *_common(plan)]
    if cell.model in plan.rivals:
        overrides += ["model=external", f"weights={quoted(Path(plan.rivals[cell.model]).absolute())}"]
    elif cell.trained_on == NOT_TRAINED:
        overrides.append(f"model={cell.model}")
    else:
        overrides.append(f"ckpt={quoted(plan.checkpoint(cell.model, cell.trained_on))}")
    config = compose_run("eval", [*overrides, "experiment_name=ppt"], folder)
    node = config["data"]["tests"][plan.test]
    images = plan.images(cell.tested_on, node["split"])
    config["data"]["tests"] = {plan.test: {**node, "images": images, "face": True}}
    if not is_finished(folder, config):
        with quiet(folder):
            evaluate(config)


@contextlib.contextmanager
def quiet(folder: Path) -> Iterator[None]:
    """Redirect the output and warnings of a run to `log.txt` in its folder: only the final table is printed."""
    path = folder / "log.txt"
    with naming(path), path.open("a") as log, contextlib.redirect_stdout(log), warnings.catch_warnings():

        def show(message: Warning | str, *_: object, **__: object) -> None:
            log.write(f"warning: {message}\n")

        warnings.showwarning = show
        yield


def is_finished(folder: Path, config: Mapping[str, Any], ignored: Sequence[str] = ()) -> bool:
    """Return whether a run folder has results; create the folder if it does not exist.

    Results older than their checkpoint do not count.

    Args:
        folder: of the run.
        config: of the run, which existing results must agree with.
        ignored: keys in which it may differ.

    Raises:
        InputError: it has results, or a checkpoint to resume from, of other settings.
    """
    make_folder(folder)
    if not (folder / "config.yaml").is_file():
        return False
    cure = "delete it, or choose another paths.run"
    stored = current_targets(read_record(folder / "config.yaml", {}, cure=cure))
    before, now = (flatten(one, str(folder)) for one in (stored, config))
    given = {key: value for key, value in now.items() if value is not None and key not in ignored}
    recorded = {key: before.get(key, ASSUMED.get(key)) for key in given}
    refuse_other_settings(folder, recorded, given, cure)
    results, checkpoint = folder / "results.json", config["ckpt"] or config.get("weights")
    if not results.is_file():
        return False
    return not checkpoint or results.stat().st_mtime >= Path(checkpoint).stat().st_mtime


def _common(plan: Plan) -> list[str]:
    return [*QUIET, f"seed={plan.seed}", f"paths.data={quoted(plan.root)}"]
