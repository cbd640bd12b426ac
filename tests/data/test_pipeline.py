import albumentations as A
import numpy as np
import pytest
from hydra.utils import instantiate

from p3m_lightning import compose_run
from p3m_lightning.data.datasets import MattingDataset, SeededIndex
from p3m_lightning.data.pipeline import PipelineTransform
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.schema import InputError


def test_all_maps_go_through_the_steps_together_and_the_trimap_is_made_of_the_result(portraits):
    steps = [A.HorizontalFlip(p=1), A.Crop(0, 0, 100, 80)]
    plain = MattingDataset(portraits, "synthetic", foreground="cached")
    cut = MattingDataset(portraits, "synthetic", foreground="cached", transform=PipelineTransform(steps, [9, 9]))
    whole, sample = plain.maps(SeededIndex(0, 1))[0], cut.maps(SeededIndex(0, 1))[0]
    for role in ("image", "foreground", "background", "alpha"):
        np.testing.assert_array_equal(sample[role], whole[role][:, ::-1][:80, :100])
    np.testing.assert_array_equal(sample["trimap"], trimap_from_alpha(sample["alpha"], 9))


def test_a_draw_fixes_a_sample_and_mattes_stay_soft_when_turned(portraits):
    steps = [A.Affine(rotate=[20, 30], mask_interpolation=1, p=1), A.RandomCrop(64, 64)]
    dataset = MattingDataset(portraits, "synthetic", transform=PipelineTransform(steps))
    first, again, other = (dataset.maps(SeededIndex(2, seed))[0] for seed in (5, 5, 6))
    assert all(np.array_equal(first[role], again[role]) for role in first)
    assert not np.array_equal(first["image"], other["image"])
    assert len(np.unique(dataset.maps(SeededIndex(2, 7))[0]["alpha"])) > 20


@pytest.mark.parametrize("arguments", [{"steps": []}, {"steps": [A.HorizontalFlip()], "kernels": [9, 3]}])
def test_steps_and_kernels_that_make_no_sense_are_refused(arguments):
    with pytest.raises(InputError):
        PipelineTransform(**arguments)


def test_stylematte_recipes_give_crops_of_800_and_lay_animals_over_backgrounds(portraits):
    overrides = ["experiment=stylematte_am2k", f"paths.data={portraits}", f"paths.am2k={portraits}"]
    config = compose_run("train", [*overrides, f"paths.backgrounds={portraits}/train/bg"], "run")
    portrait = config["data"]["train"] | {"name": "synthetic", "limit": 1}
    animal = config["stages"]["am2k"]["data"]["train"] | {"name": "synthetic", "foreground": "cached", "limit": 1}
    for node in (portrait, animal):
        sample = instantiate(node, _convert_="all")().maps(SeededIndex(0, 3))[0]
        assert sample["image"].shape == (800, 800, 3)
        assert sample["alpha"].shape == sample["trimap"].shape == (800, 800)
