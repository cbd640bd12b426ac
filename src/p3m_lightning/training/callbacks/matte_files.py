"""Mattes of every test image as small files, for comparisons of runs."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.types import STEP_OUTPUT
from torch import Tensor

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.images import from_unit, write_image
from p3m_lightning.schema import Sample
from p3m_lightning.sheets import reduced


class MatteFiles(Callback):
    """Write the matte of every test image as 8-bit PNG, `<set>/<stem>.png`: `p3m compare` shows them side by side.

    Args:
        folder: where the folders of the sets go.
        side: longer side of a file in pixels, larger mattes are reduced to it; None for full size, for `p3m score`.
    """

    def __init__(self, folder: str | Path, side: int | None = 384) -> None:
        self.folder = Path(folder)
        self.side = side

    def on_test_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: STEP_OUTPUT, batch: Sample, index: int, which: int = 0
    ) -> None:
        """Write the mattes (N, 1, H, W) of a batch."""
        assert isinstance(outputs, Tensor), "the test step returns mattes"
        folder = self.folder / MattingDataModule.of(trainer).test_names[which]
        for alpha, name in zip(outputs, batch["name"], strict=True):
            matte = from_unit(alpha[0].float().cpu().numpy())
            write_image(folder / f"{name}.png", matte if self.side is None else reduced(matte, self.side))
