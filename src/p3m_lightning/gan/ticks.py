"""The endless order in which a GAN sees its images, and their loader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from p3m_lightning.data.datasets import SeededIndex
from p3m_lightning.data.loading.batches import Guarded
from p3m_lightning.data.loading.samplers import LateLoader
from p3m_lightning.gan.rgba import GANDataset, stack_pictures
from p3m_lightning.parallel import available_cores
from p3m_lightning.schema import InputError


class TickSampler(Sampler[SeededIndex]):
    """Sampler of the k-th stretch ("tick", an epoch) of an endless shuffled order, divided among the processes.

    Order and seeds follow from (seed, position) alone, so a run resumed at any tick continues as if never interrupted.

    Args:
        length: images of the data set.
        tick: images of a stretch, over all processes.
        seed: of the run.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, length: int, tick: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.length, self.tick, self.seed, self.rank, self.world_size = length, tick, seed, rank, world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the next stretch; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.tick // self.world_size

    def __iter__(self) -> Iterator[SeededIndex]:
        start, stop = self.epoch * self.tick, (self.epoch + 1) * self.tick
        for turn in range(start // self.length, -(-stop // self.length)):
            generator = np.random.default_rng([self.seed, turn])
            order, seeds = generator.permutation(self.length), generator.integers(2**31, size=self.length)
            for position in range(max(start, turn * self.length), min(stop, (turn + 1) * self.length)):
                if position % self.world_size == self.rank:
                    yield SeededIndex(int(order[position % self.length]), int(seeds[position % self.length]))


def gan_loader(
    dataset: GANDataset,
    batch_size: int,
    tick: int,
    seed: int = 0,
    place: tuple[int, int] = (0, 1),
    workers: int | str = "auto",
) -> DataLoader:
    """Return a loader of {"rgba": (N, 4, S, S), "background": (N, 3, S, S)} in bytes, or of an InputError.

    Args:
        dataset: the data set to load from.
        batch_size: images per process and step.
        tick: see `TickSampler`; a multiple of all processes' batches.
        seed: of the order.
        place: rank of this process, and the number of processes.
        workers: loader processes; "auto" for one per core.
    """
    workers = available_cores() if workers == "auto" else int(workers)
    return LateLoader(
        Guarded(dataset),
        batch_size=batch_size,
        sampler=TickSampler(len(dataset), tick, seed, *place),
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        collate_fn=collate_pictures,
        worker_init_fn=_start_worker,
    )


def collate_pictures(items: Sequence[tuple[np.ndarray, np.ndarray] | InputError]) -> dict[str, Tensor] | InputError:
    """Stack portraits and backgrounds, channels first, as bytes; pass on the first error if there is one."""
    errors = [item for item in items if isinstance(item, InputError)]
    if errors:
        return errors[0]
    rgba, backgrounds = zip(*items, strict=True)
    return {"rgba": stack_pictures(rgba), "background": stack_pictures(backgrounds)}


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism
