from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.loading.samplers import EpochSampler, ShardSampler
from p3m_lightning.data.transforms import TrainTransform, UnknownBandCrop
from p3m_lightning.images import write_image
from p3m_lightning.schema import InputError


@pytest.fixture
def root(tmp_path):
    """P3M-10k with ten training portraits, three and two in the test sets, of 24 x 30 pixels."""
    generator = np.random.default_rng(0)
    for folder, images, count in (
        ("train", "blurred_image", 10),
        ("validation/P3M-500-P", "blurred_image", 3),
        ("validation/P3M-500-NP", "original_image", 2),
    ):
        for number in range(count):
            alpha = np.zeros((24, 30), np.uint8)
            alpha[8:20, 10:22] = 255
            alpha[7, 10:22] = 120
            name = f"{folder[-2:]}_{number}"
            write_image(tmp_path / folder / images / f"{name}.jpg", generator.integers(0, 256, (24, 30, 3), np.uint8))
            write_image(tmp_path / folder / f"mask/{name}.png", alpha)
    return tmp_path


def module(root, **arguments):
    transform = TrainTransform(UnknownBandCrop(sides=(12, 16), size=12, kernels=(3, 5)))
    tests = {name: partial(MattingDataset, root, split=name) for name in ("P3M-500-P", "P3M-500-NP")}
    arguments = {"batch_size": 2, "num_workers": 0, "holdout": 2} | arguments
    return MattingDataModule(train=partial(MattingDataset, root, transform=transform), tests=tests, **arguments)


def names(loader):
    return [name for batch in loader for name in batch["name"]]


def ready(data, loader):
    """Batches as the trainer hands them to the network."""
    for batch in loader:
        yield data.on_after_batch_transfer(data.on_before_batch_transfer(batch, 0), 0)


def test_training_and_held_out_images_are_disjoint_and_test_sets_apart(root):
    data = module(root)
    data.setup("fit")
    assert data.val_names == ["holdout"]
    assert data.test_names == ["P3M-500-P", "P3M-500-NP"]
    train, held = names(data.train_dataloader()), names(data.val_dataloader()[0])
    assert len(train) == 8
    assert len(held) == 2
    assert not set(train) & set(held)
    assert [len(names(loader)) for loader in data.test_dataloader()] == [3, 2]


def test_validation_can_also_run_the_test_sets_behind_the_held_out_split(root):
    data = module(root, validate_tests=True)
    data.setup("fit")
    assert data.val_names == ["holdout", "P3M-500-P", "P3M-500-NP"]
    assert [len(names(loader)) for loader in data.val_dataloader()] == [2, 3, 2]


def test_batches_are_crops_in_training_and_whole_images_in_evaluation(root):
    data = module(root)
    data.setup("fit")
    batch = next(ready(data, data.train_dataloader()))
    assert batch["image"].shape == (2, 3, 12, 12)
    assert batch["alpha"].shape == batch["trimap"].shape == (2, 1, 12, 12)
    assert next(ready(data, data.val_dataloader()[0]))["image"].shape == (1, 3, 24, 30)


def test_a_batch_holds_the_samples_of_its_draws(root):
    data = module(root, num_workers=1)
    data.setup("fit")
    loader = data.train_dataloader()
    draws = list(loader.sampler)[:2]
    batch = next(ready(data, loader))
    for number, draw in enumerate(draws):
        sample = data.train_set[draw]
        assert sample["name"] == batch["name"][number]
        for role in ("image", "alpha", "trimap"):
            assert torch.equal(sample[role], batch[role][number])
            assert sample[role].dtype == batch[role].dtype


def epochs(root, workers, count=2):
    data = module(root, num_workers=workers, seed=5)
    data.setup("fit")
    loader = data.train_dataloader()
    result = []
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)
        result.append([(batch["name"], batch["image"].clone()) for batch in loader])
    return result


def test_an_epoch_is_the_same_with_any_number_of_workers_and_another_epoch_is_not(root):
    alone, shared = epochs(root, 0), epochs(root, 2)
    for first, second in zip(alone, shared, strict=True):
        for (names_a, images_a), (names_b, images_b) in zip(first, second, strict=True):
            assert names_a == names_b
            assert torch.equal(images_a, images_b)
    assert [names_ for names_, _ in alone[0]] != [names_ for names_, _ in alone[1]]


def test_the_crops_of_an_image_differ_from_epoch_to_epoch_without_shuffling(root):
    data = module(root)
    data.setup("fit")
    crops = []
    for epoch in range(4):
        sampler = EpochSampler(len(data.train_set), shuffle=False)
        sampler.set_epoch(epoch)
        crops.append(data.train_set[next(iter(sampler))]["image"])
    assert any(not torch.equal(crops[0], crop) for crop in crops[1:])


def test_the_epoch_may_still_be_told_when_the_iterator_is_there(root):
    batches = epochs(root, 0)[1]
    data = module(root, num_workers=1, seed=5)
    data.setup("fit")
    loader = data.train_dataloader()
    iterator = iter(loader)  # as Lightning does, before it knows which epoch a resumed run is in
    loader.sampler.set_epoch(1)
    assert [batch["name"] for batch in iterator] == [names for names, _ in batches]


def test_an_incomplete_last_batch_is_left_out_unless_it_is_the_only_one(root):
    data = module(root, batch_size=3)
    data.setup("fit")
    assert [len(batch["name"]) for batch in data.train_dataloader()] == [3, 3]
    data = module(root, batch_size=20)
    data.setup("fit")
    assert [len(batch["name"]) for batch in data.train_dataloader()] == [8]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_training_deals_equal_parts_without_repeats_to_every_process(world):
    parts = [[draw.position for draw in EpochSampler(11, rank=rank, world_size=world)] for rank in range(world)]
    assert {len(part) for part in parts} == {11 // world}
    together = [index for part in parts for index in part]
    assert len(set(together)) == len(together)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_evaluation_sees_every_image_exactly_once_over_all_processes(world):
    together = [index for rank in range(world) for index in ShardSampler(5, rank, world)]
    assert sorted(together) == list(range(5))


def test_a_broken_file_stops_the_training_in_one_line_even_from_a_worker(root):
    (root / "train/blurred_image/in_3.jpg").write_text("no picture")
    data = module(root, num_workers=1)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    with pytest.raises(InputError) as caught:
        trainer.fit(Idle(), data)
    assert "in_3.jpg" in str(caught.value)
    assert "\n" not in str(caught.value)


class Idle(pl.LightningModule):
    """Looks at its batches and learns nothing."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        self.seen += batch["name"]
        return self.weight.sum()

    def validation_step(self, batch, index):
        self.seen += batch["name"]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_lightning_sets_the_epoch_of_the_sampler(root):
    idle, data = Idle(), module(root)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        limit_val_batches=0,
    )
    trainer.fit(idle, data)
    first, second = idle.seen[:8], idle.seen[8:]
    assert sorted(first) == sorted(second)
    assert first != second


def test_what_is_to_be_prepared_is_there_when_it_is_read(root):
    (root / "train").rename(root / "not yet")
    data = module(root, prepare=lambda: (root / "not yet").rename(root / "train"))
    with pytest.raises(InputError, match="train"):
        data.setup("fit")
    data.prepare_data()
    data.setup("fit")
    assert len(data.train_set) == 8


def test_a_test_set_that_shares_images_with_the_training_is_refused(root):
    data = MattingDataModule(
        train=partial(MattingDataset, root), tests={"same": partial(MattingDataset, root)}, num_workers=0
    )
    with pytest.raises(InputError, match=r"data\.tests\.same"):
        data.setup("fit")
    data.setup("test")
    assert len(data.test_dataloader()) == 1


def test_evaluation_alone_needs_no_training_set(root):
    data = MattingDataModule(tests={"P": partial(MattingDataset, root, split="P3M-500-P")}, num_workers=0)
    data.setup("test")
    assert data.val_names == []
    assert names(data.test_dataloader()[0]) == ["-P_0", "-P_1", "-P_2"]
    with pytest.raises(InputError, match=r"data\.train"):
        data.train_dataloader()


def test_data_sets_already_built_are_taken_too(root):
    dataset = MattingDataset(root)
    data = MattingDataModule(train=dataset, num_workers=0, batch_size=1, holdout=0.3)
    data.setup("fit")
    assert len(data.train_set) == 7
    assert isinstance(data.train_dataloader(), DataLoader)
