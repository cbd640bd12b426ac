from pathlib import Path

import numpy as np
import p3m_lightning.conf
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from p3m_lightning.cli import main
from p3m_lightning.data.cards import DATASETS
from p3m_lightning.data.datamodule import MattingDataModule
from p3m_lightning.data.datasets import ImageDataset
from p3m_lightning.data.transforms import TrainTransform, UnknownBandCrop
from p3m_lightning.images import write_image

CONFIGS = sorted(path.stem for path in Path(p3m_lightning.conf.__file__).parent.glob("data/[!_]*.yaml"))


def build(name, root, *overrides):
    places = [
        f"+paths.{place}={root}" for place in ("data", "images", "portraits", "am2k", "backgrounds", "new", "old")
    ]
    with initialize_config_module("p3m_lightning.conf", version_base=None):
        config = compose(overrides=[f"+data={name}", *places, "+seed=3", *overrides])
    return config.data, instantiate(config.data, _convert_="all")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_builds_a_data_module(tmp_path, name):
    write_image(tmp_path / "background.png", np.zeros((4, 4, 3), np.uint8))
    _, data = build(name, tmp_path)
    assert isinstance(data, MattingDataModule)


def test_every_data_set_has_a_configuration():
    assert {name.replace("-", "") for name in DATASETS} <= set(CONFIGS)


def test_the_released_recipe_is_the_default_of_transforms_and_configuration_alike(tmp_path):
    config, data = build("p3m10k", tmp_path)
    configured, default = config.train.transform.crop, UnknownBandCrop()
    for key in ("sides", "size", "kernels", "p_unknown", "rule"):
        value = getattr(default, key)
        assert (tuple(configured[key]) if isinstance(value, tuple) else configured[key]) == value
    assert config.train.transform.p_flip == 0.5
    assert data.batch_size == config.batch_size == 8
    assert data.seed == 3


def test_the_mini_set_is_read_by_name(samples):
    _, data = build("p3m10k", samples / "p3m-10k-mini", "data.batch_size=1", "data.num_workers=0")
    data.setup()
    assert len(data.train_set) == 2
    assert data.test_names == ["P3M-500-P", "P3M-500-NP"]
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (1, 3, 512, 512)


def test_a_mixture_reads_its_sets_side_by_side(samples, tmp_path):
    (tmp_path / "P3M-10k").symlink_to(samples / "p3m-10k-mini")
    (tmp_path / "AM-2k/train").mkdir(parents=True)
    (tmp_path / "AM-2k/train/original").symlink_to(samples / "p3m/image")
    (tmp_path / "AM-2k/train/mask").symlink_to(samples / "p3m/matte_p3mnet_r34")
    _, data = build("mix", tmp_path, "data.num_workers=0")
    data.setup()
    assert len(data.train_set) == 2 + 8
    assert data.train_set.shares.tolist() == [0.75, 0.25]
    assert len(data.val_sets["holdout"]) == 2


def test_further_augmentations_are_named_in_the_configuration(tmp_path):
    _, data = build(
        "p3m10k",
        tmp_path,
        "data.train.transform.augment=[{_target_: albumentations.HueSaturationValue, p: 0.3}]",
    )
    transform = data._train.keywords["transform"]
    assert isinstance(transform, TrainTransform)
    assert "HueSaturationValue" in repr(transform.pipeline)


def test_sets_without_mattes_give_images(samples, tmp_path):
    (tmp_path / "train").symlink_to(samples / "p3m/image")
    _, data = build("bg20k", tmp_path, "data.num_workers=0", "data.batch_size=2")
    data.setup()
    assert isinstance(data.train_set, ImageDataset)
    assert next(iter(data.train_dataloader()))["image"].shape == (2, 3, 512, 512)


def test_training_on_images_without_mattes_is_refused_in_one_line(samples, tmp_path, capsys):
    (tmp_path / "images1024x1024").symlink_to(samples / "p3m/image")
    keys = ["trainer=cpu", "logger=none", "model.width=0.25", "data.num_workers=0"]
    assert main(["train", "data=ffhq", f"paths.data={tmp_path}", f"paths.output={tmp_path / 'out'}", *keys]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("p3m: data: its images have no mattes")
