"""Image sheets of every evaluation set, in training and in the test."""

from __future__ import annotations

from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor, nn

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.images import write_image
from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.schema import MattingOutput, Sample
from p3m_lightning.sheets import MattingPanels, matting_panels, sheet
from p3m_lightning.training.module import MattingModule


class PictureSheet(Callback):
    """Write image, trimap prediction, matte, ground truth and error of some portraits of every evaluation set.

    Args:
        folder: where `<set>.png` and, during training, `<set>_epoch<k>.png` go.
        count: portraits per set, evenly spaced.
        side: longer side of an image in the sheet, in pixels.
        every_n_validations: write sheets during training every this many validations; 0 for none.
    """

    def __init__(self, folder: str | Path, count: int = 6, side: int = 320, every_n_validations: int = 0) -> None:
        self.folder = Path(folder)
        self.count = count
        self.side = side
        self.every_n_validations = every_n_validations
        self.validations = 0
        self.rows: dict[str, list[tuple[MattingPanels, str]]] = {}

    def on_validation_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: STEP_OUTPUT, batch: Sample, index: int, which: int = 0
    ) -> None:
        """Keep the images of the chosen portraits if this validation gets a sheet."""
        due = self.every_n_validations and self.validations % self.every_n_validations == 0
        if due and not trainer.sanity_checking:
            name = MattingDataModule.of(trainer).val_names[which]
            self._keep(name, trainer.num_val_batches[which], module, outputs, batch, index)

    def on_test_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: STEP_OUTPUT, batch: Sample, index: int, which: int = 0
    ) -> None:
        """Keep the images of the chosen portraits."""
        name = MattingDataModule.of(trainer).test_names[which]
        self._keep(name, trainer.num_test_batches[which], module, outputs, batch, index)

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the sheets of this validation."""
        if not trainer.sanity_checking:
            self.validations += 1
            self._write(trainer, suffix=f"_epoch{trainer.current_epoch}")

    def on_test_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Write the sheets of the test sets."""
        self._write(trainer, suffix="")

    def _keep(
        self, name: str, batches: float, module: LightningModule, alpha: STEP_OUTPUT, batch: Sample, index: int
    ) -> None:
        assert isinstance(alpha, Tensor), "evaluation steps return mattes"
        step = max(1, int(batches) // self.count)
        kept = self.rows.setdefault(name, [])
        if index % step or len(kept) >= self.count:
            return
        image, truth = batch["image"][0], batch["alpha"][0]
        trimap = _predicted_trimap(MattingModule.of(module), batch)
        panels = matting_panels(image, trimap, alpha[0], truth)
        sad = (alpha[0].double() - truth.double()).abs().sum().item() / 1000
        kept.append((panels, f"{batch['name'][0]}: SAD {sad:.2f}"))

    def _write(self, trainer: Trainer, suffix: str) -> None:
        for name, kept in self.rows.items():
            if not kept or not trainer.is_global_zero:
                continue
            rows, notes = zip(*kept, strict=True)
            write_image(self.folder / f"{name}{suffix}.png", sheet(rows, notes, self.side))
            panels = [sheet([row], [note], self.side) for row, note in kept]
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    logger.log_image(f"pictures/{name}", panels, caption=list(notes))
        self.rows = {}


class _SemanticAsAlpha(MattingNetwork):
    """The trimap classes of a network, as an alpha of 0, 1/2 and 1, so that `infer` resizes them."""

    needs_trimap = False

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> MattingOutput:
        return MattingOutput(self.net(images).semantic.argmax(dim=1, keepdim=True) / 2)


def _predicted_trimap(module: MattingModule, batch: Sample) -> Tensor:
    """Return the classes (1, H, W) that the network's semantic pass predicts, else the sample's trimap."""
    net, image = module.net, batch["image"][:1]
    if net.needs_trimap:
        return batch["trimap"][0]
    semantic = net(image[..., :32, :32]).semantic  # a small crop suffices to see the kind of network
    if semantic is None or semantic.shape[1] != 3:
        return batch["trimap"][0]
    return torch.round(2 * module.infer(_SemanticAsAlpha(net), image, mode="resize", optimize=False))[0]
