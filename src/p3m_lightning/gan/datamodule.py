"""The LightningDataModule of a GAN: one loader of ticks from portraits and backgrounds."""

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
        portraits: factory of the real portraits, called once the files are needed.
        backgrounds: factory of the backgrounds to composite them over.
        tick: images of an "epoch", over all processes, rounded down to whole steps.
        mirror: mirror every other portrait.
        batch_size: images per process and step.
        num_workers: loader processes; "auto" for the cores that a training leaves to them
            (`training.optimization.cores`), or one per core outside a training.
        prepare: called without arguments before the data sets are made, once per machine, e.g. to render portraits.
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
        """Call `prepare`, if it is given."""
        if self._prepare is not None:
            self._prepare()

    def setup(self, stage: str | None = None) -> None:
        """Find the files."""
        self.dataset = self.dataset or GANDataset(self._portraits(), self._backgrounds(), self.mirror)

    def train_dataloader(self) -> DataLoader:
        """Return a loader whose epochs are ticks, each process getting its share."""
        assert self.trainer is not None  # Lightning calls this in a run
        assert self.dataset is not None  # after `setup`
        world = self.trainer.world_size
        tick = self.tick // (self.batch_size * world) * self.batch_size * world
        if not tick:
            raise InputError(f"tick: {self.tick} images are less than one step of {self.batch_size * world}")
        place = (self.trainer.global_rank, world)
        return gan_loader(self.dataset, self.batch_size, tick, self.seed, place, self.num_workers)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Mapping[str, Tensor]:
        """Raise the error that a worker handed over instead of a batch."""
        if isinstance(batch, InputError):
            raise batch
        return batch

    def on_after_batch_transfer(self, batch: Mapping[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Convert bytes to floats on the device, where it costs least."""
        return {role: pictures.float() / 255 for role, pictures in batch.items()}
