"""Plan of privacy-preserving training (PPT, Li et al., ACM MM 2021): methods trained on B or N, tested on B and N.

A cell is a method, the condition it was trained on, and the condition it is tested on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from p3m_lightning.messages import no_such
from p3m_lightning.models import MODELS, model_card
from p3m_lightning.models.classical import METHODS
from p3m_lightning.models.external import card_path, read_card
from p3m_lightning.models.weights import read_checkpoint
from p3m_lightning.schema import InputError

TRADITIONAL, TRIMAP_BASED, TRIMAP_FREE = "traditional", "trimap-based", "trimap-free"
OUTSIDE, OUTSIDE_TRIMAP = "outside", "outside, trimap"  # networks that others trained in their own way
NOT_OURS = (TRADITIONAL, OUTSIDE, OUTSIDE_TRIMAP)  # nothing is trained here, so there are only two cells
WHOLE_IMAGE = (TRIMAP_FREE, OUTSIDE)  # scored over the whole image; the others in the unknown region
NOT_TRAINED = "-"


@dataclass(frozen=True)
class Cell:
    """One field of the table."""

    model: str
    trained_on: str  # a condition, or NOT_TRAINED for a traditional method or a network from outside
    tested_on: str  # a condition

    @property
    def title(self) -> str:
        """Title in tables: `B:N` is trained on blurred and tested on normal images."""
        return self.tested_on if self.trained_on == NOT_TRAINED else f"{self.trained_on}:{self.tested_on}"


@dataclass(frozen=True)
class Plan:
    """Trainings and tests of a table; `conf/ppt.yaml`, resolved."""

    folder: Path
    models: Sequence[str]
    train_on: Sequence[str]
    test_on: Sequence[str]
    seed: int
    root: str  # of the data set
    folders: Mapping[str, str]  # condition -> folder of images in the data set
    styles: Mapping[str, Mapping[str, Any]]  # condition -> keys of `obfuscate`
    test: str  # name of the test set
    data: Sequence[str]  # overrides of every training and every test
    train: Sequence[str]  # overrides of every training
    methods: Mapping[str, Mapping[str, Any]]  # model -> experiment, train (overrides), published (a recipe)
    train_overrides: Sequence[str] = ()  # of every training, after those of the methods
    checkpoints: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # model -> condition -> file
    rivals: Mapping[str, str] = field(default_factory=dict)  # name -> file from outside, its card beside it
    hidden: Path | None = None  # folder of the images of the styles; None: in `folder`

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Plan:
        """Read a plan from the resolved configuration.

        Raises:
            InputError: an unknown model, condition or checkpoint.
        """
        protocol = config["protocol"]
        keys = ("models", "train_on", "test_on", "seed", "train_overrides", "styles", "checkpoints")
        own = {key: protocol[key] for key in ("folders", "test", "train", "methods")}
        own["data"] = [*protocol["data"], *config["data_overrides"]]
        paths = config["paths"]
        given = {key: config[key] for key in keys}
        given |= {"rivals": config["rivals"], "models": [*config["models"], *config["rivals"]]}
        plan = cls(Path(paths["run"]), root=paths["data"], **own, **given)
        plan.check()
        return plan

    def check(self) -> None:
        """Refuse unknown names before anything is trained."""
        for name, path in self.rivals.items():
            if name in MODELS or self.models.count(name) > 1:
                raise InputError(f"rivals.{name}: a method of this package has that name; choose another")
            if not Path(path).is_file():
                raise InputError(f"rivals.{name}: {no_such(path)}")
            read_card(card_path(path))
        for name in (name for name in self.models if name not in self.rivals):
            model_card(name)
            if name not in self.methods and kind_of(name) != TRADITIONAL:
                raise InputError(f"models: the protocol has no training for {name}, only for {_listed(self.methods)}")
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

    def of_seed(self, seed: int) -> Plan:
        """Return the same plan with another seed, in a folder of its own."""
        return replace(self, seed=seed, folder=self.folder / f"seed_{seed}", hidden=self.folder)

    def cells(self) -> Iterator[Cell]:
        """Yield all cells, method by method."""
        for model in self.models:
            trained = [NOT_TRAINED] if self.kind_of(model) in NOT_OURS else self.train_on
            yield from (Cell(model, side, condition) for side in trained for condition in self.test_on)

    def kind_of(self, model: str) -> str:
        """Return the kind of method of one of `models`."""
        if model not in self.rivals:
            return kind_of(model)
        return OUTSIDE_TRIMAP if read_card(card_path(self.rivals[model])).trimap else OUTSIDE

    def training_folder(self, model: str, side: str) -> Path:
        """Return the run folder of a training."""
        return self.folder / model / f"trained_on_{side}"

    def cell_folder(self, cell: Cell) -> Path:
        """Return the run folder of a test."""
        if cell.trained_on == NOT_TRAINED:
            return self.folder / cell.model / f"tested_on_{cell.tested_on}"
        return self.folder / cell.model / f"{cell.trained_on}_tested_on_{cell.tested_on}"

    def images(self, condition: str, split: str) -> str:
        """Return the folder of images of a condition, in the form that `images` of a data set takes."""
        return self.folders.get(condition) or str(
            ((self.hidden or self.folder) / "images" / condition / split).absolute()
        )

    def checkpoint(self, model: str, side: str) -> Path:
        """Return the file of a trained network: the given checkpoint, else the best of our training."""
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


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(names)
