"""Which samples a process sees, in which order, with which seeds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from p3m_lightning.data.datasets import Draw


class EpochSampler(Sampler[Draw]):
    """Shuffled indices for training, dealt out to the processes, each with the seed of its random draws.

    Every process gets the same number; the few left over are another few in every epoch. Order and seeds follow from
    (seed, epoch, index) alone: not from the number of workers, nor from what ran before.

    Args:
        length: samples of the data set.
        seed: of the run.
        rank: of this process.
        world_size: number of processes.
        shuffle: else by index.
    """

    def __init__(self, length: int, seed: int = 0, rank: int = 0, world_size: int = 1, shuffle: bool = True) -> None:
        self.length, self.seed, self.rank, self.world_size, self.shuffle = length, seed, rank, world_size, shuffle
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to be dealt out next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world_size

    def __iter__(self) -> Iterator[Draw]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(self.length) if self.shuffle else np.arange(self.length)
        seeds = generator.integers(2**31, size=self.length)
        for index in order[: len(self) * self.world_size][self.rank :: self.world_size]:
            yield Draw(int(index), int(seeds[index]))


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
