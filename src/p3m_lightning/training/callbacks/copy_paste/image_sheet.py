"""Image sheet of image-level copy and paste."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.data.datasets import MattingDataset, SeededIndex, SplittableDataset
from p3m_lightning.data.image_copy_paste import ImageCopyPaste
from p3m_lightning.data.pipeline import PipelineTransform
from p3m_lightning.data.transforms import TrainTransform
from p3m_lightning.images import write_image
from p3m_lightning.schema import InputError, Sample
from p3m_lightning.sheets import Panel, outlined, sheet, to_picture


class ImagePasteSheet(Callback):
    """Write training crops before and after image-level copy and paste, once, before the training.

    Args:
        folder: where `copy_paste_images.png` goes.
        count: rows of the sheet.
        side: longer side of an image, in pixels.
    """

    def __init__(self, folder: str | Path, count: int = 6, side: int = 320) -> None:
        self.folder, self.count, self.side = Path(folder), count, side

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Draw the same crops without and with pasting.

        Raises:
            InputError: the training data have no `ImageCopyPaste`.
        """
        if not trainer.is_global_zero:
            return
        dataset = MattingDataModule.of(trainer).train_set
        paste = next((step for step in _steps(dataset) if isinstance(step, ImageCopyPaste)), None)
        if dataset is None or paste is None:
            raise InputError("data.train.transform.augment: no ImageCopyPaste in it, nothing to show")
        samples = []
        probability = paste.p
        for paste.p in (0.0, 1.0):
            samples.append([dataset[SeededIndex(k % len(dataset), k)] for k in range(self.count)])
        paste.p = probability
        rows, notes = zip(*(_before_after(*pair) for pair in zip(*samples, strict=True)), strict=True)
        write_image(self.folder / "copy_paste_images.png", sheet(rows, notes, self.side))


def _steps(dataset: SplittableDataset | None) -> Sequence[Any]:
    """Return the albumentations transforms of a training set; none if it has no list of them."""
    if isinstance(dataset, MattingDataset) and isinstance(dataset.transform, TrainTransform | PipelineTransform):
        return dataset.transform.pipeline.transforms
    return ()


def _before_after(before: Sample, after: Sample) -> tuple[list[Panel], str]:
    changed = (before["image"] != after["image"]).any(dim=0)
    panels = [
        Panel("target", to_picture(before["image"])),
        Panel("target face", outlined(before["image"], before["face"])),
        Panel("pasted", to_picture(after["image"])),
        Panel("changed", to_picture(changed[None].float())),
    ]
    outside = int((changed & (before["face"][0] < 1)).sum())
    return panels, f"{before['name']}: {int(changed.sum())} pixels changed, {outside} of them outside the face"
