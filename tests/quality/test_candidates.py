import numpy as np
import pytest

from p3m_lightning.data.datasets import MattingDataset, SeededIndex
from p3m_lightning.images import write_image
from p3m_lightning.quality.candidates import CandidateTransform, judged_size, reduced
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic import render_portrait


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("candidates")
    for seed in range(3):
        portrait = render_portrait(seed, 96)
        write_image(root / f"train/image/p{seed}.png", portrait.image[:, :80])
        write_image(root / f"train/mask/p{seed}.png", np.ascontiguousarray(portrait.alpha[:, :80]))
    return root


def dataset(folder, **keys):
    return MattingDataset(folder, "folder", transform=CandidateTransform(size=64, **keys))


def test_a_window_is_a_square_with_its_candidates(folder):
    sample = dataset(folder, windows=0.5)[SeededIndex(0, 5)]
    assert sample["image"].shape == (3, 64, 64)
    assert sample["candidates"].shape == (3, 64, 64)
    assert sample["alpha"].shape == (1, 64, 64)


def test_one_seed_one_window_and_another_seed_another(folder):
    data = dataset(folder, windows=0.5)
    one, same, other = (data[SeededIndex(0, seed)]["candidates"] for seed in (5, 5, 6))
    assert (one == same).all()
    assert (one != other).any()


def test_a_test_set_is_the_same_each_time(folder):
    data = dataset(folder, count=4)
    first, again = data[1], data[1]
    assert first["image"].shape == (3, 64 + 32, 64) or first["image"].shape == (3, 64, 64)
    assert (first["candidates"] == again["candidates"]).all()
    assert len(first["candidates"]) == 4


def test_without_faults_candidates_are_the_true_matte(folder):
    sample = dataset(folder, most=0, count=2)[0]
    assert (sample["candidates"] == sample["alpha"]).all()


@pytest.mark.parametrize(
    ("size", "expected"), [((830, 550), (480, 320)), ((512, 512), (320, 320)), ((40, 4000), (320, 32000))]
)
def test_pictures_are_judged_at_multiples_of_32(size, expected):
    assert judged_size(size, 320) == expected


def test_reducing_by_areas_keeps_the_mean():
    values = np.random.default_rng(0).random((64, 96)).astype(np.float32)
    assert reduced(values, (16, 24)).mean() == pytest.approx(values.mean(), abs=1e-6)


def test_a_size_that_the_network_cannot_take_is_refused():
    with pytest.raises(InputError, match="size=100: give a multiple of 32"):
        CandidateTransform(size=100)
