"""Teacher and student: a trained network labels photographs without mattes for a smaller one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as nnf
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor, nn

from p3m_lightning.configuration.recorded import build_recorded
from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.files import atomic_path
from p3m_lightning.markdown import markdown_table
from p3m_lightning.metrics import MattingMetrics
from p3m_lightning.models import load_model
from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.models.weights import read_checkpoint
from p3m_lightning.schema import InputError, Sample
from p3m_lightning.training.callbacks.base import RunCallback
from p3m_lightning.training.module import MattingModule

INFER = {"_target_": "p3m_lightning.inference.infer", "_partial_": True}
"""How networks are applied; exported weights record the arguments alone."""


def certain_trimap(alpha: Tensor, kernel: int, certain: float) -> Tensor:
    """Make a trimap from a predicted matte, which is nowhere exactly 0 or 1.

    Args:
        alpha: (N, 1, H, W) in [0, 1].
        kernel: odd side of the square by which the unknown region grows.
        certain: alphas this close to 0 or 1 are known.

    Returns:
        int64 (N, 1, H, W) of BACKGROUND, UNKNOWN, FOREGROUND.
    """
    reached = nnf.max_pool2d((alpha > certain).to(alpha), kernel, stride=1, padding=kernel // 2)
    kept = 1 - nnf.max_pool2d((alpha < 1 - certain).to(alpha), kernel, stride=1, padding=kernel // 2)
    return (reached + kept).long()  # kept lies inside reached, so their sum counts from background to foreground


class Teacher(RunCallback):
    """Let a trained network, frozen and in evaluation mode, provide the mattes to train another one.

    Every training batch gets the teacher's mattes and trimaps of them, as do validation batches without mattes.
    In the test both networks are applied to every image, each in the mode of its own checkpoint, one after the other:
    `results.json` gets `distillation`, the run folder `teacher_student.md`.

    Args:
        ckpt: checkpoint of the teacher.
        folder: the run folder.
        kernel: see `certain_trimap`.
        certain: see `certain_trimap`.

    Raises:
        InputError: no such checkpoint, or one of a network that needs a trimap.
    """

    replaces_mattes = True

    def __init__(self, ckpt: str | Path, folder: str | Path, kernel: int = 15, certain: float = 0.02) -> None:
        if kernel < 1 or kernel % 2 == 0:
            raise InputError(f"callbacks.teacher.kernel: {kernel} is not an odd number")
        self.ckpt, self.folder = str(ckpt), Path(folder)
        self.kernel, self.certain = kernel, certain
        self.net = load_model(ckpt).requires_grad_(False)
        if self.net.needs_trimap:
            raise InputError(f"teacher: {ckpt} is a {self.net.name}, which needs trimaps; use a network without")
        recorded = read_checkpoint(ckpt).config.get("inference")
        self.infer = build_recorded({**INFER, **recorded}, self.ckpt) if recorded else _native
        self.metrics: dict[str, MattingMetrics] = {}
        self.seconds: dict[str, list[float]] = {"teacher": [], "student": []}
        self.found: dict[str, Any] = {}

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        """Move the teacher to the device of the student."""
        self.net.to(module.device).eval()

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Sample, index: int) -> None:
        """Label the batch."""
        self._label(trainer, module, batch)

    def on_validation_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Sample, index: int, which: int = 0
    ) -> None:
        """Label a batch without mattes."""
        if "alpha" not in batch:
            self._label(trainer, module, batch)

    def on_test_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Create the metrics of the teacher."""
        self.net.to(module.device)
        self.metrics = {name: MattingMetrics().to(module.device) for name in MattingDataModule.of(trainer).test_names}

    def on_test_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: STEP_OUTPUT, batch: Sample, index: int, which: int = 0
    ) -> None:
        """Apply both networks to the image once more, and time them."""
        student = MattingModule.of(module)
        with trainer.precision_plugin.forward_context():
            _clocked(student.infer, student.net, batch["image"], self.seconds["student"])
            alpha = _clocked(self.infer, self.net, batch["image"], self.seconds["teacher"])
        name = MattingDataModule.of(trainer).test_names[which]
        self.metrics[name].update(alpha.float(), batch["alpha"], batch["trimap"], batch["name"])

    def on_test_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Compare both networks, and write the table."""
        learned = MattingModule.of(module)
        scores = {
            "teacher": {name: _means(metrics) for name, metrics in self.metrics.items()},
            "student": {name: _means(metrics) for name, metrics in learned.test_metrics().items()},
        }
        nets = {"teacher": self.net, "student": learned.net}
        self.found = {who: describe(nets[who], scores[who], self.seconds[who]) for who in nets}
        self.found["teacher"]["ckpt"] = self.ckpt
        teacher, student = self.found["teacher"], self.found["student"]
        self.found["sad_lost"] = {
            name: student["sets"][name]["sad"] - teacher["sets"][name]["sad"] for name in teacher["sets"]
        }
        if teacher["images_per_second"]:
            self.found["times_as_fast"] = student["images_per_second"] / teacher["images_per_second"]
        if trainer.is_global_zero and self.metrics:
            table = comparison_table(self.found)
            with atomic_path(self.folder / "teacher_student.md") as aside:
                aside.write_text(table)
            print(table)

    def results(self) -> dict[str, Any]:
        """Return additional entries for `results.json`."""
        return {"distillation": self.found}

    @torch.no_grad()
    def _label(self, trainer: Trainer, module: LightningModule, batch: Sample) -> None:
        with trainer.precision_plugin.forward_context():
            alpha = self.net(batch["image"]).alpha
        batch["alpha"] = alpha.float().clamp(0, 1)
        batch["trimap"] = certain_trimap(batch["alpha"], self.kernel, self.certain)


def describe(net: MattingNetwork, sets: Mapping[str, Mapping[str, float]], seconds: list[float]) -> dict[str, Any]:
    """Return name, size, scores and speed of a network; the speed is a median, to ignore outliers."""
    return {
        "name": net.name,
        "parameters": sum(p.numel() for p in net.parameters()),
        "sets": sets,
        "images_per_second": 1 / median(seconds) if seconds else None,
    }


def comparison_table(found: Mapping[str, Any]) -> str:
    """Return the findings of `Teacher` as a Markdown table: SAD lost and speed gained."""
    names = list(found["sad_lost"])
    header = ["", "parameters", *(f"SAD {name}" for name in names), "images/s"]
    rows = []
    for who in ("teacher", "student"):
        one = found[who]
        cells = [f"{one['sets'][name]['sad']:.2f}" for name in names]
        rows.append([f"{who}: {one['name']}", f"{one['parameters']:,}", *cells, f"{one['images_per_second']:.2f}"])
    cells = [f"{found['sad_lost'][name]:+.2f}" for name in names]
    share = found["student"]["parameters"] / found["teacher"]["parameters"]
    rows.append(["lost, won", f"x {share:.2f}", *cells, f"x {found['times_as_fast']:.2f}"])
    return markdown_table(header, rows) + "\n"


def _native(net: nn.Module, images: Tensor, trimap: Tensor | None = None) -> Tensor:
    return net(images).alpha


def _clocked(infer: Any, net: nn.Module, images: Tensor, seconds: list[float]) -> Tensor:
    """Apply a network, and append its time to `seconds`."""
    wait = torch.cuda.synchronize if images.is_cuda else lambda: None
    wait()
    started = time.perf_counter()
    with torch.no_grad():
        alpha = infer(net, images, trimap=None)
    wait()
    seconds.append(time.perf_counter() - started)
    return alpha


def _means(metrics: MattingMetrics) -> dict[str, float]:
    return {key: float(value) for key, value in metrics.compute().items()}
