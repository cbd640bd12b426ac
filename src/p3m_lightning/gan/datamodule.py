"""The Lightning side of a GAN's pictures: portraits and backgrounds in, one loader of ticks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from p3m_lightning.gan.rgba import Backgrounds, GANDataset, RGBADataset
from p3m_lightning.gan.ticks import gan_loader
from p3m_lightning.schema import InputError


class PortraitDataModule(LightningDataModule):
    """Batches {"rgba": (N, 4, S, S), "background": (N, 3, S, S)}, floats in [0, 1], in an endless order.

    Args:
        portraits: makes the real pictures, once files are wanted.
        backgrounds: makes what they are laid over.
        tick: pictures of an "epoch", over all processes, rounded down to whole steps.
        mirror: mirror every other portrait.
        batch_size: pictures per process and step.
        num_workers: loader processes; "auto" for what a training leaves to them (`training.optimization.cores`);
            outside of one, one per core.
        prepare: called with nothing before the data sets are made, once per machine, as to render synthetic portraits.
        seed: of the order and the random draws.
    """

    def __init__(
        self,
        portraits: Callable[[], RGBADataset],
        backgrounds: Callable[[], Backgrounds],
        tick: int,
        mirror: bool = True,
        batch_size: int = 32,
        num_workers: int | str = "auto",
        prepare: Callable[[], object] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._portraits, self._backgrounds, self._prepare = portraits, backgrounds, prepare
        self.tick, self.mirror, self.batch_size = tick, mirror, batch_size
        self.num_workers, self.seed = num_workers, seed
        self.dataset: GANDataset | None = None

    def prepare_data(self) -> None:
        """Make what is not there yet."""
        if self._prepare is not None:
            self._prepare()

    def setup(self, stage: str | None = None) -> None:
        """Find the files."""
        self.dataset = self.dataset or GANDataset(self._portraits(), self._backgrounds(), self.mirror)

    def train_dataloader(self) -> DataLoader:
        """One tick after another, dealt out to the processes."""
        assert self.trainer is not None  # Lightning asks, in a run
        assert self.dataset is not None  # after `setup`
        world = self.trainer.world_size
        tick = self.tick // (self.batch_size * world) * self.batch_size * world
        if not tick:
            raise InputError(f"tick: {self.tick} pictures are less than one step of {self.batch_size * world}")
        place = (self.trainer.global_rank, world)
        return gan_loader(self.dataset, self.batch_size, tick, self.seed, place, self.num_workers)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Mapping[str, Tensor]:
        """Raise the error that a worker handed over instead of a batch."""
        if isinstance(batch, InputError):
            raise batch
        return batch

    def on_after_batch_transfer(self, batch: Mapping[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Make floats of bytes on the device, where it is free."""
        return {role: pictures.float() / 255 for role, pictures in batch.items()}
