"""P3M-CP at feature level (FCP), in training: faces pasted into the features between the stages of the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from p3m_lightning.data.image_copy_paste import FaceJitter, FaceSource, place_face
from p3m_lightning.images import write_image
from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.ops import pad_to_multiple
from p3m_lightning.ops.feature_paste import paste_features, pasted_region
from p3m_lightning.schema import InputError, Sample
from p3m_lightning.sheets import Panel, outlined, sheet, to_picture
from p3m_lightning.training.callbacks.base import RunCallback
from p3m_lightning.training.module import MattingModule

STATISTICS = ("running", "batch")


@dataclass
class PastePlan:
    """Plan of the features pasted into one training batch."""

    images: Tensor  # (B, 3, H, W) source images in [0, 1], of the size of the targets
    source_mask: Tensor  # (B, 1, H, W)
    target_mask: Tensor  # (N, 1, H, W)
    recording: bool = False  # the network is running on the source
    features: dict[str, Tensor] = field(default_factory=dict)  # of the source, by stage
    energy: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)  # mean |feature| before and after, (h, w)

    def of_target(self, maps: Tensor) -> Tensor:
        """Repeat sources (B, ...) so that each of the N targets has one."""
        return maps[torch.arange(len(self.target_mask), device=maps.device) % len(maps)]


class FeatureCopyPaste(RunCallback):
    """Feature-level copy and paste: after given encoder stages, a source face's features replace the target's.

    Ma et al., Rethinking Portrait Matting with Privacy Preserving (IJCV 2023), P3M-CP. In a batch chosen for it,
    the network first processes source images without gradient; then, in the pass over the batch, the outputs of
    `stages` are merged by `paste_features`. The batch needs `face`, the masks of the obfuscated faces.

    Args:
        source: the faces to paste.
        stages: names of submodules of the network whose outputs are merged, such as `encoder.layer1`.
        p: probability for each batch (authors: 0.5).
        start_epoch: first epoch with pasting (authors: 50).
        source_batch: source images per batch (authors: 1).
        face_scale: side of the source's frame as a share of the training crop's (authors, for CelebAMask-HQ: 0.3 to
            0.7).
        frame: side of that frame in face sizes: an image of CelebAMask-HQ is about 2 of its masks wide.
        rotation: largest rotation of the source in degrees.
        p_flip: probability of mirroring the source.
        threshold: share of a feature cell that must lie in the face.
        statistics: "running" normalizes the source with the running statistics, without updating them; "batch" runs it
            in training mode.
        channels_last: stage outputs are (N, h, w, C), as in Swin and ViTAE.
        seed: of all draws.
        folder: where `copy_paste_features.png` goes; None: no sheet.
        count: rows of that sheet.
    """

    def __init__(
        self,
        source: FaceSource,
        stages: Sequence[str],
        p: float = 0.5,
        start_epoch: int = 50,
        source_batch: int = 1,
        face_scale: Sequence[float] = (0.3, 0.7),
        frame: float = 2.0,
        rotation: float = 0.0,
        p_flip: float = 0.5,
        threshold: float = 0.5,
        statistics: str = "running",
        channels_last: bool = False,
        seed: int = 0,
        folder: str | Path | None = None,
        count: int = 4,
    ) -> None:
        if statistics not in STATISTICS:
            raise InputError(f"statistics: {statistics!r} is not one of {', '.join(STATISTICS)}")
        if source_batch < 1 or not stages:
            raise InputError("copy and paste of features needs at least one stage and one source image")
        self.source, self.stages, self.p, self.start_epoch = source, list(stages), p, start_epoch
        self.source_batch, self.frame, self.threshold = source_batch, frame, threshold
        smallest, largest = face_scale
        self.jitter = FaceJitter(rotation, (smallest, largest), p_flip)
        self.statistics, self.channels_last, self.seed = statistics, channels_last, seed
        self.folder, self.count = folder and Path(folder), count
        self.plan: PastePlan | None = None
        self.rows: list[tuple[list[Panel], str]] = []
        self.handles: list[RemovableHandle] = []

    def verify(self, net: MattingNetwork) -> None:
        """Find out whether the network has the stages.

        Raises:
            InputError: a stage that it does not have, or a network that takes a trimap.
        """
        modules = dict(net.named_modules())
        unknown = [stage for stage in self.stages if stage not in modules]
        if unknown:
            encoder = [name for name in modules if name.startswith("encoder.") and name.count(".") == 1]
            raise InputError(f"stages: {unknown[0]} is not a part of the network; choose from {', '.join(encoder)} ...")
        if net.needs_trimap:
            raise InputError("stages: networks that take a trimap see no faces in the features worth pasting")

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Hook the stages; raises as `verify`."""
        net = MattingModule.of(module).net
        self.verify(net)
        modules = dict(net.named_modules())
        self.handles = [modules[stage].register_forward_hook(partial(self._merge, stage)) for stage in self.stages]
        self.handles.append(net.register_forward_pre_hook(self._run_source))

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Sample, index: int) -> None:
        """Decide whether to paste in this batch, and draw the source images."""
        self.plan = None
        generator = np.random.default_rng([self.seed, trainer.current_epoch, index, trainer.global_rank])
        if trainer.current_epoch >= self.start_epoch and generator.random() < self.p:
            self.plan = self.draw(batch, generator)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Sample, index: int
    ) -> None:
        """Disable the hooks, and keep a row for the sheet."""
        if self.plan and self.plan.energy and len(self.rows) < self.count and trainer.is_global_zero and self.folder:
            self.rows.append(paste_panels(batch, self.plan, self.threshold))
            write_image(self.folder / "copy_paste_features.png", sheet(*zip(*self.rows, strict=True)))
        self.plan = None

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Remove the hooks."""
        self._unhook()

    def on_fit_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Remove the hooks."""
        self._unhook()

    def draw(self, batch: Sample, generator: np.random.Generator) -> PastePlan:
        """Draw source images for a batch.

        Raises:
            InputError: the batch has no face masks.
        """
        if "face" not in batch:
            raise InputError("P3M-CP needs the masks of the obfuscated faces: data.train.face=true")
        height, width = batch["image"].shape[-2:]
        center = ((width - 1) / 2, (height - 1) / 2)
        pictures, masks = [], []
        for _ in range(self.source_batch):
            face = self.source.draw(generator)
            size = min(height, width) / (self.frame * max(cv2.boundingRect(face.mask)[2:]))
            picture, mask = place_face(face, self.jitter.draw(center, size, generator), (height, width))
            pictures.append(torch.from_numpy(picture).permute(2, 0, 1))
            masks.append(torch.from_numpy(mask)[None])
        images, faces = (torch.stack(maps).to(batch["image"]) / 255 for maps in (pictures, masks))
        # padded as networks do, so that masks align with feature maps
        return PastePlan(images, pad_to_multiple(faces, 32), pad_to_multiple(batch["face"], 32))

    def _run_source(self, net: nn.Module, arguments: tuple[Any, ...]) -> None:
        """Run the network on the source before the batch, so that the hooks of the stages can keep its features."""
        plan = self.plan
        if plan is None or plan.recording or plan.features:
            return
        modes = {part: part.training for part in net.modules()}
        plan.recording = True
        try:
            net.train(self.statistics == "batch")
            with torch.no_grad():
                net(plan.images)
        finally:
            plan.recording = False
            for part, mode in modes.items():
                part.training = mode

    def _merge(self, stage: str, part: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """Keep a stage's output for the source, or paste it into that for the batch."""
        plan = self.plan
        if plan is None:
            return None
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise InputError(f"stages: {stage} does not return one map (N, C, h, w); name a stage of the encoder")
        maps = output.permute(0, 3, 1, 2) if self.channels_last else output  # (N, C, h, w)
        if plan.recording:
            plan.features[stage] = maps.detach()
            return None
        source, source_mask = plan.of_target(plan.features[stage]), plan.of_target(plan.source_mask)
        merged = paste_features(maps, source, plan.target_mask, source_mask, self.threshold)
        plan.energy.setdefault(stage, (_energy(maps), _energy(merged)))
        return merged.permute(0, 2, 3, 1) if self.channels_last else merged

    def _unhook(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles = []


def _energy(maps: Tensor) -> Tensor:
    """Return the mean |feature| (h, w) of the first of (N, C, h, w)."""
    return maps[0].detach().abs().mean(dim=0)


def paste_panels(batch: Sample, plan: PastePlan, threshold: float) -> tuple[list[Panel], str]:
    """Return images of the pasting into the first portrait of a batch.

    Returns:
        Target, source and, for each stage, the replaced cells and the mean absolute feature before and after; uint8
        (H, W, 3); and a note.
    """
    height, width = batch["image"].shape[-2:]
    panels = [
        Panel("target", outlined(batch["image"][0], batch["face"][0])),
        Panel("source", outlined(plan.images[0], plan.source_mask[0, :, :height, :width])),
    ]
    counts = []
    for stage, (before, after) in plan.energy.items():
        rows, columns = before.shape
        inside, _ = pasted_region(plan.target_mask[:1], plan.source_mask[:1], (rows, columns), threshold)
        counts.append(f"{stage} {int(inside.sum())}")
        top = before.max().clamp_min(1e-6)
        panels += [
            Panel(f"{stage}: replaced", _cells(inside[0].float(), height)),
            Panel(f"{stage}: before", _cells(before[None] / top, height)),
            Panel(f"{stage}: after", _cells(after[None] / top, height)),
        ]
    return panels, f"{batch['name'][0]}: cells replaced: {', '.join(counts)}"


def _cells(maps: Tensor, height: int) -> np.ndarray:
    """Return an image of a feature map (1, h, w) in [0, 1], enlarged to about `height` rows with visible cells."""
    factor = max(1, height // maps.shape[-2])
    return to_picture(maps).repeat(factor, axis=0).repeat(factor, axis=1)
