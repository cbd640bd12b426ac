from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch

from p3m_lightning.data.datasets import MattingDataset, SeededIndex
from p3m_lightning.data.mixtures import MixedDataset
from p3m_lightning.data.transforms import EvalTransform
from p3m_lightning.images import write_image
from p3m_lightning.schema import InputError


@pytest.fixture
def sets(tmp_path):
    """Two folders: `large` of 12 images, `small` of 3."""
    result = {}
    for name, count in (("large", 12), ("small", 3)):
        for number in range(count):
            write_image(tmp_path / name / f"image/{name}_{number}.png", np.full((8, 8, 3), number, np.uint8))
            write_image(tmp_path / name / f"alpha/{name}_{number}.png", np.full((8, 8), 255, np.uint8))
        result[name] = partial(MattingDataset, tmp_path / name, name="folder")
    return result


def drawn(dataset, count=600):
    return [dataset[SeededIndex(0, seed)]["name"] for seed in range(count)]


def test_weights_say_how_often_a_set_is_seen_whatever_its_size(sets):
    origins = Counter(name.split("_")[0] for name in drawn(MixedDataset(sets, {"large": 1, "small": 3})))
    assert abs(origins["small"] / 600 - 0.75) < 0.08  # 4.5 standard deviations


def test_every_sample_of_a_set_is_as_likely_as_the_others(sets):
    counts = Counter(drawn(MixedDataset(sets, {"large": 1, "small": 0})))
    assert len(counts) == 12
    assert max(counts.values()) < 90  # 50 are expected, 5.8 standard deviations


def test_a_draw_is_fixed_by_its_seed_and_a_plain_index_follows_torch(sets):
    mixed = MixedDataset(sets)
    assert drawn(mixed, 20) == drawn(mixed, 20)
    names = []
    for _ in range(2):
        torch.manual_seed(3)
        names.append([mixed[0]["name"] for _ in range(20)])
    assert names[0] == names[1]
    assert len(set(names[0])) > 3


def test_the_length_is_that_of_all_sets_unless_told(sets):
    assert len(MixedDataset(sets)) == 15
    assert len(MixedDataset(sets, length=100)) == 100


def test_a_part_of_every_set_is_held_out_and_never_drawn(sets):
    rest, held = MixedDataset(sets, {"large": 1, "small": 1}).hold_out(0.34, EvalTransform())
    names = [held[index]["name"] for index in range(len(held))]
    assert Counter(name.split("_")[0] for name in names) == {"large": 4, "small": 1}
    assert not set(names) & set(drawn(rest, 300))
    assert len(set(drawn(rest, 300)) | set(names)) == 15
    assert len(rest.image_files()) == 10


@pytest.mark.parametrize(
    "weights", [{"large": 1}, {"large": 1, "other": 1}, {"large": -1, "small": 2}, {"large": 0, "small": 0}]
)
def test_weights_that_make_no_sense_are_refused(sets, weights):
    with pytest.raises(InputError, match="weights"):
        MixedDataset(sets, weights)


def test_images_are_held_out_from_the_validated_sets_only(sets):
    rest, held = MixedDataset(sets, {"large": 1, "small": 1}, validated=["large"]).hold_out(4, EvalTransform())
    assert {held.maps(k)[1].split("_")[0] for k in range(len(held))} == {"large"}
    assert (len(held), len(rest.datasets["large"]), len(rest.datasets["small"])) == (4, 8, 3)
    with pytest.raises(InputError, match="validated"):
        MixedDataset(sets, validated=["huge"])
