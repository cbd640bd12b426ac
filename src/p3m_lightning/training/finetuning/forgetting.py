"""Scores on old and new images before, during and after a fine-tuning: what was gained, and what was forgotten."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import LightningModule, Trainer

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.mixtures import MixedDataset
from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.files import atomic_path, write_json
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.base import RunCallback
from p3m_lightning.training.finetuning.report import forgetting_page
from p3m_lightning.training.module import MattingModule

LOOKED_AT = 8  # number of labels of a part that are examined
HARD = 0.002  # a matte with a smaller part of fractional pixels has no hair in it


class ForgettingReport(RunCallback):
    """Score all validation sets before the first step, and compare with the scores of the chosen checkpoint.

    Writes `forgetting.json` and `forgetting.md` into the run folder. The trainer must validate everything before
    training (`trainer.num_sanity_val_steps=-1`); validated are the held-out parts, and the test sets with
    `data.validate_tests`.

    Args:
        folder: the run folder.
        new: names of the sets of new images.
        old: names of the sets that the network was trained on.

    Raises:
        InputError: nothing is scored before the training, or a set is missing.
    """

    def __init__(self, folder: str | Path, new: Sequence[str], old: Sequence[str]) -> None:
        self.folder = Path(folder)
        self.kinds = dict.fromkeys(new, "new") | dict.fromkeys(old, "old")
        self.course: list[dict[str, Any]] = []
        self.before: dict[str, dict[str, float]] = {}  # set -> image -> SAD
        self.tested: dict[str, Any] = {}
        self.report: dict[str, Any] = {}

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Refuse a training without scores to compare with; warn about masks given as mattes."""
        if stage != "fit":
            return
        if trainer.num_sanity_val_steps != float("inf"):
            raise InputError("trainer.num_sanity_val_steps: give -1, so that the start is scored; or null the callback")
        data = MattingDataModule.of(trainer)
        if trainer.is_global_zero and data.train_set is not None:
            for name in hard_parts(data.train_set):
                warnings.warn(
                    f"data.train{name}: its mattes are practically binary; as mattes they unteach hair. Set"
                    f" data.train{name}.labels=mask",
                    stacklevel=2,
                )

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Record the scores before the module resets them."""
        metrics = MattingModule.of(module).metrics["val"]
        if trainer.sanity_checking and self.course:  # a resumed run, whose start has been scored already
            return
        if trainer.sanity_checking:
            self.before = {name: {row["name"]: row["sad"] for row in one.rows()} for name, one in metrics.items()}
        sets = {name: one.compute() for name, one in metrics.items()}
        self.course.append({"step": trainer.global_step, "epoch": trainer.current_epoch, "sets": sets})

    def on_test_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Compare the chosen checkpoint with the start."""
        tests = MattingModule.of(module).metrics["test"]
        after = {name: {row["name"]: row["sad"] for row in one.rows()} for name, one in tests.items()}
        means = {name: one.compute() for name, one in tests.items()}
        if not self.course or not trainer.is_global_zero:
            return
        chosen = chosen_point(self.course, trainer)
        self.report = {
            "chosen_step": chosen["step"],
            "sets": {
                name: comparison(self.kinds.get(name, "other"), start, means.get(name, chosen["sets"].get(name)))
                | shares(self.before.get(name, {}), after.get(name, {}))
                for name, start in self.course[0]["sets"].items()
            },
            "course": self.course,
        }
        write_json(self.folder / "forgetting.json", self.report)
        with atomic_path(self.folder / "forgetting.md") as aside:
            aside.write_text(forgetting_page(self.report), encoding="utf-8")

    def results(self) -> dict[str, Any]:
        """Return gains and losses, without the course."""
        return {"forgetting": {key: value for key, value in self.report.items() if key != "course"}}

    def state_dict(self) -> dict[str, Any]:
        """Return the scores, so that a resumed run still knows its start."""
        return {"course": self.course, "before": self.before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the scores."""
        self.course, self.before = state["course"], state["before"]


def chosen_point(course: Sequence[Mapping[str, Any]], trainer: Trainer) -> Mapping[str, Any]:
    """Return the validation at which the tested checkpoint was saved; the last one if none was chosen."""
    best = next((c for c in trainer.checkpoint_callbacks if getattr(c, "best_model_score", None) is not None), None)
    held = [name for name in course[0]["sets"] if name.startswith("holdout")]
    trained = course[1:] or course
    if best is None or not held:
        return trained[-1]
    return min(trained, key=lambda point: sum(point["sets"][name]["sad"] for name in held))


def comparison(kind: str, before: Mapping[str, float], after: Mapping[str, float] | None) -> dict[str, Any]:
    """Return the metrics of a set before and after, and the relative change of its SAD."""
    if after is None:
        return {"kind": kind, "before": dict(before), "after": None, "change": None}
    change = after["sad"] / before["sad"] - 1 if before["sad"] else None
    return {"kind": kind, "before": dict(before), "after": dict(after), "change": change}


def shares(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """Return the numbers of images whose SAD fell and rose; nothing if there are no scores of single images."""
    names = before.keys() & after.keys()
    if not names:
        return {}
    return {
        "images": len(names),
        "better": sum(after[name] < before[name] for name in names),
        "worse": sum(after[name] > before[name] for name in names),
    }


def hard_parts(dataset: Any) -> list[str]:
    """Return the parts of a training set whose labels are masks but declared as mattes, as dotted keys; "" is the set.

    Up to `LOOKED_AT` labels of each are read; they count as masks if none has fractional pixels.
    """
    if isinstance(dataset, MixedDataset):
        seen = {name: one for name, one in dataset.datasets.items() if dataset.weights[name] > 0}
        return [f".datasets.{name}" for name, one in seen.items() if hard_parts(one)]
    if not isinstance(dataset, MattingDataset) or dataset.labels != "matte":
        return []
    return [""] if all(fraction_between(dataset, name) < HARD for name in dataset.names[:LOOKED_AT]) else []


def fraction_between(dataset: MattingDataset, name: str) -> float:
    """Return the share of the pixels of a label between background and foreground."""
    values = SampleFiles(dataset.files[name]).alpha()
    most = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    part = values / np.float32(most)
    return float(np.mean((part > 0.1) & (part < 0.9)))
