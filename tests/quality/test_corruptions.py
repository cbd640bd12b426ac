from random import Random

import cv2
import numpy as np
import pytest

from p3m_lightning.quality.corruptions import CORRUPTIONS, corrupt
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic import render_portrait


@pytest.fixture(scope="module")
def portrait():
    rendered = render_portrait(3, 128)
    return (rendered.alpha / 255).astype(np.float32), rendered.image


def errors(portrait, name, count=12):
    alpha, image = portrait
    return [CORRUPTIONS[name](alpha, image, Random(seed)) - alpha for seed in range(count)]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_fault_changes_the_matte_and_repeats_by_its_draws(portrait, name):
    alpha, image = portrait
    first = [corrupt(alpha, image, Random(seed), [name], most=1) for seed in range(12)]
    again = [corrupt(alpha, image, Random(seed), [name], most=1) for seed in range(12)]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((one != alpha).any() for one in first)
    for one in first:
        assert one.dtype == np.float32
        assert one.shape == alpha.shape
        assert one.min() >= 0
        assert one.max() <= 1


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_every_fault_takes_mattes_without_a_person_and_without_background(portrait, name, value):
    empty = np.full(portrait[0].shape, value, np.float32)
    for seed in range(4):
        made = corrupt(empty, portrait[1], Random(seed), [name], most=1)
        assert np.isfinite(made).all()
        assert made.min() >= 0
        assert made.max() <= 1


@pytest.mark.parametrize("name", ["holes", "lost_part", "cut_off"])
def test_what_loses_a_part_never_adds_one(portrait, name):
    assert all(error.max() <= 1e-6 for error in errors(portrait, name))
    assert any(error.min() < -0.5 for error in errors(portrait, name))


@pytest.mark.parametrize("name", ["taken_along", "added_blobs"])
def test_what_takes_background_along_never_loses_the_person(portrait, name):
    assert all(error.min() >= -1e-6 for error in errors(portrait, name))
    assert any(error.max() > 0.5 for error in errors(portrait, name))


def test_a_binary_matte_has_two_values(portrait):
    alpha, image = portrait
    assert set(np.unique(CORRUPTIONS["binary"](alpha, image, Random(0)))) == {0, 1}


def test_what_is_taken_along_has_one_color():
    image = np.zeros((96, 96, 3), np.uint8)
    image[:, 48:] = 200  # a flag beside a person of another color
    alpha = np.zeros((96, 96), np.float32)
    made = CORRUPTIONS["taken_along"](alpha, image, Random(1))
    edges = cv2.dilate(cv2.Canny(image, 50, 150), np.ones((9, 9)))
    away = edges == 0
    assert {tuple(np.unique(made[away & side].round())) for side in (image[..., 0] > 100, image[..., 0] < 100)} == {
        (0.0,),
        (1.0,),
    }


def test_without_faults_the_matte_stays(portrait):
    alpha, image = portrait
    assert (corrupt(alpha, image, Random(0), most=0) == alpha).all()


def test_an_unknown_fault_is_refused_by_name(portrait):
    with pytest.raises(InputError, match="corruptions: halo: choose from binary"):
        corrupt(*portrait, Random(0), ["halo"])
