"""Scores on old and new images before, during and after a fine-tuning: what was gained, and what was forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer

from p3m_lightning.files import atomic_path
from p3m_lightning.records import write_json
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.base import RunCallback
from p3m_lightning.training.finetuning.report import forgetting_page
from p3m_lightning.training.module import MattingModule


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
        """Refuse a training without scores to compare with."""
        if stage == "fit" and trainer.num_sanity_val_steps != float("inf"):
            raise InputError("trainer.num_sanity_val_steps: give -1, so that the start is scored; or null the callback")

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
