"""Several data sets as one, with a weight for each."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from p3m_lightning.data.datasets import ArrayDataset, MattingDataset, SeededIndex, SplittableDataset, Transform
from p3m_lightning.data.loading.batches import Maps
from p3m_lightning.schema import InputError


class MixedDataset(SplittableDataset):
    """Samples of several data sets, drawn in proportion to the weights whatever their sizes.

    Every sample is drawn anew: first the data set by the weights, then one of its samples uniformly; the seed of a
    `SeededIndex` fixes both. So an epoch does not go through every sample of a set exactly once.

    Args:
        datasets: name -> data set, or a factory of it (`_partial_` in Hydra).
        weights: name -> share of the samples, in any unit; equal shares by default.
        length: samples per epoch; by default as many as all sets have together.
        validated: names of the sets from which images are held out; all by default. Leave out generated
            portraits, whose mattes are not true enough to choose a checkpoint by.

    Raises:
        InputError: no data sets, weights of other names, negative weights or none above 0; unknown or no validated set.
    """

    def __init__(
        self,
        datasets: Mapping[str, MattingDataset | Callable[[], MattingDataset]],
        weights: Mapping[str, float] | None = None,
        length: int | None = None,
        validated: Sequence[str] | None = None,
    ) -> None:
        weights = dict.fromkeys(datasets, 1.0) if weights is None else weights
        if not datasets or weights.keys() != datasets.keys():
            raise InputError(f"weights: {sorted(weights)} must name the data sets {sorted(datasets)}, one or more")
        shares = np.array([weights[name] for name in datasets], float)
        if shares.min() < 0 or shares.sum() <= 0:
            raise InputError(f"weights: {dict(weights)} must not be negative, and one must be above 0")
        self.datasets = {name: one if isinstance(one, Dataset) else one() for name, one in datasets.items()}
        self.weights = weights
        self.shares = shares / shares.sum()
        self.length = length
        self.validated = list(datasets) if validated is None else list(validated)
        if not self.validated or not set(self.validated) <= set(datasets):
            raise InputError(f"validated: {self.validated} must name one or more of {sorted(datasets)}")

    def __len__(self) -> int:
        return self.length or sum(map(len, self.datasets.values()))

    def maps(self, item: int | SeededIndex) -> tuple[Maps, str]:
        """Return the arrays of one sample of one of the sets, and its name."""
        seed = item.seed if isinstance(item, SeededIndex) else int(torch.randint(2**31, ()))
        generator = np.random.default_rng(seed)
        dataset = list(self.datasets.values())[generator.choice(len(self.shares), p=self.shares)]
        return dataset.maps(SeededIndex(int(generator.integers(len(dataset))), int(generator.integers(2**31))))

    def sources(self) -> Iterator[tuple[str, Mapping[str, Path]]]:
        """Yield name and files, role -> path, of every sample of every set."""
        return chain.from_iterable(dataset.sources() for dataset in self.datasets.values())

    def image_files(self) -> set[Path]:
        """Return the files of the images, to see whether two sets share any."""
        files: set[Path] = set()
        return files.union(*(dataset.image_files() for dataset in self.datasets.values()))

    def hold_out(self, size: float, transform: Transform) -> tuple[MixedDataset, JoinedDataset]:
        """Split the validated sets as `MattingDataset.hold_out` does; the held-out parts follow one another."""
        parts = {name: self.datasets[name].hold_out(size, transform) for name in self.validated}
        left = self.datasets | {name: part[0] for name, part in parts.items()}
        rest = MixedDataset(left, self.weights, self.length, self.validated)
        return rest, JoinedDataset([part[1] for part in parts.values()], list(parts))


class JoinedDataset(ArrayDataset):
    """Several data sets one after another.

    Args:
        datasets: the sets, in order.
        names: of the sets; their numbers by default.
    """

    def __init__(self, datasets: Sequence[ArrayDataset], names: Sequence[str] | None = None) -> None:
        self.datasets = list(datasets)
        self.names = list(names or map(str, range(len(self.datasets))))
        self.ends = list(accumulate(map(len, self.datasets)))

    def __len__(self) -> int:
        return self.ends[-1]

    def maps(self, item: int | SeededIndex) -> tuple[Maps, str]:
        """Return the arrays of one sample and its name."""
        index, seed = item if isinstance(item, SeededIndex) else (item, None)
        which = bisect.bisect_right(self.ends, index)
        index -= self.ends[which - 1] if which else 0
        return self.datasets[which].maps(index if seed is None else SeededIndex(index, seed))

    def sources(self) -> Iterator[tuple[str, Mapping[str, Path]]]:
        """Yield name and files, role -> path, of every sample of every set."""
        return chain.from_iterable(dataset.sources() for dataset in self.datasets)
