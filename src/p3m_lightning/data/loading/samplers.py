"""Samplers: the samples a process sees, their order and their seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Sampler

from p3m_lightning.data.datasets import SeededIndex


class EpochSampler(Sampler[SeededIndex]):
    """Shuffled indices for training, dealt out to the processes, each with the seed of its random draws.

    Every process gets the same number; the few left over are different ones in every epoch. Order and seeds follow from
    (seed, epoch, index) alone, not from the number of workers or from what ran before.

    Args:
        length: samples of the data set.
        seed: of the run.
        rank: of this process.
        world_size: number of processes.
        shuffle: shuffle the indices; else they come in order.
        seen: called when an epoch begins; returns how many of its samples this process has already had, in a run that
            resumes in mid-epoch.
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
        seen: Callable[[], int] = int,
    ) -> None:
        self.length, self.seed, self.rank, self.world_size, self.shuffle = length, seed, rank, world_size, shuffle
        self.seen = seen
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to be dealt out next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world_size

    def __iter__(self) -> Iterator[SeededIndex]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(self.length) if self.shuffle else np.arange(self.length)
        seeds = generator.integers(2**31, size=self.length)
        own = order[: len(self) * self.world_size][self.rank :: self.world_size]
        for index in own[self.seen() :]:
            yield SeededIndex(int(index), int(seeds[index]))


class ShardSampler(Sampler[int]):
    """Every index exactly once over all processes, none twice to fill up; processes may differ by one.

    Args:
        length: samples of the data set.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, length: int, rank: int = 0, world_size: int = 1) -> None:
        self.indices = range(rank, length, world_size)

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


class LateLoader(DataLoader):
    """A loader that starts its workers when the first batch is requested.

    PyTorch's starts them with the iterator. Lightning makes one before it tells the sampler which epoch a resumed run
    is in, so the workers would already be working on another epoch.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator does nothing until it is asked
        yield from super().__iter__()
