"""Privacy-preserving training (PPT, Li et al., ACM MM 2021): trained on B or N, tested on B and N.

A cell is a method, what it was trained on, and what it is tested on. Every cell is a run folder of its own, and so is
every training; what is finished is not run again.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from p3m_lightning.configuration import compose_run
from p3m_lightning.experiments.ppt.images import hide_faces
from p3m_lightning.experiments.run_folders import Run, flatten, read_run
from p3m_lightning.messages import refuse_other_settings
from p3m_lightning.models import model_card
from p3m_lightning.models.classical import METHODS
from p3m_lightning.models.weights import read_checkpoint
from p3m_lightning.progress import progress_bar
from p3m_lightning.schema import InputError
from p3m_lightning.training.run import build, evaluate, train

TRADITIONAL, TRIMAP_BASED, TRIMAP_FREE = "traditional", "trimap-based", "trimap-free"
QUIET = ("callbacks.progress=null", "++data.prepare=null")
NOT_TRAINED = "-"


@dataclass(frozen=True)
class Cell:
    """One field of the table."""

    model: str
    trained_on: str  # a condition, or NOT_TRAINED for a traditional method
    tested_on: str  # a condition

    @property
    def title(self) -> str:
        """What tables call it: `B:N` is trained on blurred and tested on normal images."""
        return self.tested_on if self.trained_on == NOT_TRAINED else f"{self.trained_on}:{self.tested_on}"


@dataclass(frozen=True)
class Plan:
    """What is to be trained and tested; `conf/ppt.yaml`, resolved."""

    folder: Path
    models: Sequence[str]
    train_on: Sequence[str]
    test_on: Sequence[str]
    seed: int
    root: str  # of the data set
    folders: Mapping[str, str]  # condition -> folder of images that the data set has
    styles: Mapping[str, Mapping[str, Any]]  # condition -> keys of `obfuscate`
    test: str  # name of the test set
    data: Sequence[str]  # overrides of every training and every test
    train: Sequence[str]  # overrides of every training
    methods: Mapping[str, Mapping[str, Any]]  # model -> experiment, train (overrides), published (a recipe)
    train_overrides: Sequence[str] = ()  # of every training, after those of the methods
    checkpoints: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # model -> condition -> file

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Plan:
        """Read a plan out of the resolved configuration.

        Raises:
            InputError: a model, a condition or a checkpoint that nothing is known of.
        """
        protocol = config["protocol"]
        keys = ("models", "train_on", "test_on", "seed", "train_overrides", "styles", "checkpoints")
        own = {key: protocol[key] for key in ("folders", "test", "train", "methods")}
        own["data"] = [*protocol["data"], *config["data_overrides"]]
        paths = config["paths"]
        plan = cls(Path(paths["run"]), root=paths["data"], **own, **{key: config[key] for key in keys})
        plan.check()
        return plan

    def check(self) -> None:
        """Refuse names that nothing is known of, before anything is trained."""
        for name in self.models:
            model_card(name)
            if name not in self.methods and kind_of(name) != TRADITIONAL:
                raise InputError(
                    f"models: the protocol does not say how to train {name}; it knows {_listed(self.methods)}"
                )
        for condition in (*self.train_on, *self.test_on):
            if condition not in self.folders and condition not in self.styles:
                known = _listed([*self.folders, *self.styles])
                raise InputError(f"train_on, test_on: {condition!r} is not one of {known}")
        for name, files in self.checkpoints.items():
            for condition, path in files.items():
                if path and condition not in self.train_on:
                    raise InputError(f"checkpoints.{name}.{condition}: not among train_on, {_listed(self.train_on)}")
                if path:
                    self._check_checkpoint(name, path)

    def cells(self) -> Iterator[Cell]:
        """Yield all cells, method by method."""
        for model in self.models:
            trained = [NOT_TRAINED] if kind_of(model) == TRADITIONAL else self.train_on
            yield from (Cell(model, side, condition) for side in trained for condition in self.test_on)

    def training_folder(self, model: str, side: str) -> Path:
        """Return the run folder of a training."""
        return self.folder / model / f"trained_on_{side}"

    def cell_folder(self, cell: Cell) -> Path:
        """Return the run folder of a test."""
        if cell.trained_on == NOT_TRAINED:
            return self.folder / cell.model / f"tested_on_{cell.tested_on}"
        return self.folder / cell.model / f"{cell.trained_on}_tested_on_{cell.tested_on}"

    def images(self, condition: str, split: str) -> str:
        """Return the folder of images of a condition, as `images` of a data set takes it."""
        return self.folders.get(condition) or str((self.folder / "images" / condition / split).absolute())

    def checkpoint(self, model: str, side: str) -> Path:
        """Return the file of a trained network: the one that was given, else the best of our training."""
        given = (self.checkpoints.get(model) or {}).get(side)
        return Path(given) if given else self.training_folder(model, side) / "checkpoints" / "best.ckpt"

    def _check_checkpoint(self, name: str, path: str) -> None:
        found = read_checkpoint(path).config["model"]["name"]
        if found != name:
            raise InputError(f"checkpoints.{name}: {path} holds {found}")


def kind_of(model: str) -> str:
    """Return TRADITIONAL (nothing to train), TRIMAP_BASED or TRIMAP_FREE."""
    if model in METHODS:
        return TRADITIONAL
    return TRIMAP_BASED if model_card(model).needs_trimap else TRIMAP_FREE


def run_plan(plan: Plan) -> dict[Cell, Run]:
    """Train and test what is not finished yet, and return every cell's run.

    Raises:
        InputError: images that are not there, a folder with results of other settings.
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
    """Make the data set where it is one that can be made, and the images of the styles."""
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
    """Train a method on the images of one condition; goes on where an interrupted training stopped."""
    folder, config = plan.training_folder(model, side), training_config(plan, model, side)
    last = folder / "checkpoints" / "last.ckpt"
    if not is_finished(folder, config, ignored=("ckpt",)):  # what it goes on from is no setting
        with quiet(folder):
            train({**config, "ckpt": str(last) if last.is_file() else None})


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
    """Score a method on the images of one condition, the face region too."""
    folder, overrides = plan.cell_folder(cell), [*plan.data, *_common(plan)]
    if cell.trained_on == NOT_TRAINED:
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
    """Let what a run prints, and what it is warned of, go to `log.txt` in its folder: the table comes at the end."""
    with (folder / "log.txt").open("a") as log, contextlib.redirect_stdout(log), warnings.catch_warnings():

        def show(message: Warning | str, *_: object, **__: object) -> None:
            log.write(f"warning: {message}\n")

        warnings.showwarning = show
        yield


def is_finished(folder: Path, config: Mapping[str, Any], ignored: Sequence[str] = ()) -> bool:
    """Tell whether a run folder has results; make it where it is not there.

    Results that are older than the checkpoint they are said to be of do not count.

    Args:
        folder: of the run.
        config: of the run, which what is there must agree with.
        ignored: keys in which it may differ.

    Raises:
        InputError: it has results, or a checkpoint to go on from, of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config.yaml").is_file():
        return False
    before, now = (flatten(one, str(folder)) for one in (yaml.safe_load((folder / "config.yaml").read_text()), config))
    given = {key: value for key, value in now.items() if value is not None and key not in ignored}
    recorded = {key: before.get(key) for key in given}
    refuse_other_settings(folder, recorded, given, "delete it, or choose another paths.run")
    results, checkpoint = folder / "results.json", config["ckpt"]
    if not results.is_file():
        return False
    return not checkpoint or results.stat().st_mtime >= Path(checkpoint).stat().st_mtime


def quoted(path: str | Path) -> str:
    """Return a path as a value of a Hydra override, whatever characters it has."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _common(plan: Plan) -> list[str]:
    return [*QUIET, f"seed={plan.seed}", f"paths.data={quoted(plan.root)}"]


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names)
