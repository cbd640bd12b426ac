"""The LightningDataModule: loaders for given data sets."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from p3m_lightning.data.datasets import ArrayDataset, SplittableDataset
from p3m_lightning.data.loading.allocator import keep_freed_memory
from p3m_lightning.data.loading.batches import Guarded, as_floats, collate
from p3m_lightning.data.loading.samplers import EpochSampler, LateLoader, ShardSampler
from p3m_lightning.data.mixtures import JoinedDataset
from p3m_lightning.data.transforms import EvalTransform
from p3m_lightning.messages import whole_number
from p3m_lightning.parallel import available_cores
from p3m_lightning.schema import InputError, Sample

DatasetOrFactory = SplittableDataset | Callable[[], SplittableDataset]


class MattingDataModule(pl.LightningDataModule):
    """Loaders for training, for a validation split held out from the training images, and for the test sets.

    Loaders yield bytes (`batches.collate`); the hooks turn them into `Sample`s on the device.

    The checkpoint is chosen on the held-out split, never on a test set; `validate_tests` adds the test
    sets to every validation. Evaluation loaders give whole images one by one, each exactly once over
    all processes.

    Args:
        train: training set, or a factory of it (`_partial_` in Hydra), called once the files are needed.
        tests: name -> test set or factory.
        holdout: how much of the training set is held out: a fraction below 1 or a number of images.
        holdout_by_part: validate the parts of a mixture separately, as `holdout_<part>`, not as one set.
        batch_size: training samples per process and step.
        num_workers: loader processes; "auto" for the cores that a training leaves to them
            (`training.optimization.cores`), or one per core outside a training.
        eval_transform: transform of the held-out files.
        validate_tests: also run the test sets in every validation.
        prepare: called without arguments before the data sets are made, once per machine, e.g. to render portraits.
        seed: of the order and the random draws.
        pin_memory: page-locked batches, for a GPU; by default if there is one.

    Raises:
        InputError: invalid numbers.
    """

    def __init__(
        self,
        train: DatasetOrFactory | None = None,
        tests: Mapping[str, DatasetOrFactory] | None = None,
        holdout: float = 0.02,
        batch_size: int = 8,
        num_workers: int | str = "auto",
        eval_transform: EvalTransform | None = None,
        validate_tests: bool = False,
        prepare: Callable[[], object] | None = None,
        seed: int = 0,
        holdout_by_part: bool = False,
        pin_memory: bool | None = None,
    ) -> None:
        super().__init__()
        self._train, self._tests, self._prepare = train, dict(tests or {}), prepare
        self.holdout, self.holdout_by_part = holdout, holdout_by_part
        self.batch_size = whole_number("data.batch_size", batch_size, 1)
        self.num_workers = num_workers if num_workers == "auto" else whole_number("data.num_workers", num_workers, 0)
        self.eval_transform = eval_transform or EvalTransform()
        self.validate_tests = validate_tests
        self.seed = seed
        self.pin_memory = pin_memory
        self.train_set: SplittableDataset | None = None
        self.val_sets: dict[str, ArrayDataset] = {}
        self.test_sets: dict[str, SplittableDataset] = {}

    @staticmethod
    def of(trainer: pl.Trainer) -> MattingDataModule:
        """Return the data of a running trainer."""
        return trainer.datamodule  # type: ignore[attr-defined]  # Lightning attaches it without declaring it

    @property
    def val_names(self) -> list[str]:
        """Names of the validation loaders, in order; what is held out comes first."""
        if self.val_sets:
            return list(self.val_sets)
        tests = list(self._tests) if self.validate_tests else []
        return ["holdout", *tests] if self._train is not None else tests

    @property
    def test_names(self) -> list[str]:
        """Names of the test loaders, in order."""
        return list(self._tests)

    def prepare_data(self) -> None:
        """Call `prepare`, if it is given."""
        if self._prepare is not None:
            self._prepare()

    def setup(self, stage: str | None = None) -> None:
        """Build the data sets: the test sets always, the training set unless only tests are to run."""
        if not self.test_sets:
            self.test_sets = {name: _built(test) for name, test in self._tests.items()}
        if stage in ("test", "predict") or self._train is None or self.train_set is not None:
            return
        whole = _built(self._train)
        for name, test in self.test_sets.items():
            for shared in sorted(whole.image_files() & test.image_files())[:1]:
                raise InputError(
                    f"data.tests.{name}: {shared} is a training image too; `~data.tests` trains without tests"
                )
        self.train_set, held = whole.hold_out(self.holdout, self.eval_transform)
        self.val_sets = {"holdout": held}
        if self.holdout_by_part and isinstance(held, JoinedDataset):
            self.val_sets = {f"holdout_{name}": one for name, one in zip(held.names, held.datasets, strict=True)}
        if self.validate_tests:
            self.val_sets |= self.test_sets

    def train_dataloader(self) -> DataLoader:
        """Shuffled crops in batches; a last incomplete batch is left out where there is a complete one.

        A run that resumes in mid-epoch gets the rest of it.
        """
        if self.train_set is None:
            raise InputError("data.train: there is no training set in this data configuration")
        # the sampler continues from there
        warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that ended before the epoch ended")
        rank, world = self._place()
        sampler = EpochSampler(len(self.train_set), self.seed, rank, world, seen=self._seen_of_this_epoch)
        complete = len(sampler) >= self.batch_size
        return self._loader(self.train_set, sampler, self.batch_size, drop_last=complete)

    def val_dataloader(self) -> list[DataLoader]:
        """One loader for each of `val_names`."""
        return [self._eval_loader(self.val_sets[name]) for name in self.val_names]

    def test_dataloader(self) -> list[DataLoader]:
        """One loader for each of `test_names`."""
        return [self._eval_loader(self.test_sets[name]) for name in self.test_names]

    def on_before_batch_transfer(self, batch: Mapping[str, Any] | InputError, dataloader_idx: int) -> Mapping[str, Any]:
        """Raise the error that a worker handed over instead of a batch."""
        if isinstance(batch, InputError):
            raise batch
        return batch

    def on_after_batch_transfer(self, batch: Mapping[str, Any], dataloader_idx: int) -> Sample:
        """Convert bytes to floats on the device, where it costs least."""
        return as_floats(batch)

    def _eval_loader(self, dataset: ArrayDataset) -> DataLoader:
        rank, world = self._place()
        if len(dataset) < world:  # Lightning's processes would wait forever for one without images
            raise InputError(f"trainer.devices: {world} processes cannot share {len(dataset)} images; take fewer")
        return self._loader(dataset, ShardSampler(len(dataset), rank, world), batch_size=1)

    def _loader(
        self, dataset: ArrayDataset, sampler: EpochSampler | ShardSampler, batch_size: int, drop_last: bool = False
    ) -> DataLoader:
        most = available_cores() if self.num_workers == "auto" else int(self.num_workers)
        workers = min(most, -(-len(sampler) // batch_size))
        return LateLoader(
            Guarded(dataset),
            batch_size=batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._pins_memory(),
            collate_fn=collate,
            worker_init_fn=start_worker,
        )

    def _seen_of_this_epoch(self) -> int:
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready * self.batch_size if self.trainer else 0

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def _pins_memory(self) -> bool:
        return torch.cuda.is_available() if self.pin_memory is None else self.pin_memory


def _built(dataset: DatasetOrFactory) -> SplittableDataset:
    return dataset if isinstance(dataset, Dataset) else dataset()


def start_worker(worker: int = 0) -> None:
    """Set up a process that only makes samples."""
    cv2.setNumThreads(0)  # the workers are the parallelism
    keep_freed_memory()
