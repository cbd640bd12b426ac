import random

import albumentations as A
import numpy as np
import pytest

from p3m_lightning.data.composition import ComposeOnBackground, brightness_gain, lay_before, random_part
from p3m_lightning.data.transforms import TARGETS
from p3m_lightning.images import write_image
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError

PLAIN = {"p": 1, "p_denoise": 0, "p_blur": 0, "p_noise": 0, "match_brightness": 0}


@pytest.fixture
def folder(tmp_path):
    """Backgrounds: one green, one a fine grey pattern."""
    write_image(tmp_path / "green.png", np.full((90, 120, 3), (10, 200, 30), np.uint8))
    pattern = np.indices((200, 150)).sum(0) % 2 * 255
    write_image(tmp_path / "below/pattern.png", np.repeat(pattern[..., None], 3, 2).astype(np.uint8))
    return tmp_path


def crop(value=100):
    alpha = np.zeros((40, 40), np.uint8)
    alpha[10:30, 10:30] = 255
    alpha[9, 10:30] = 128
    return {
        "image": np.full((40, 40, 3), 7, np.uint8),
        "foreground": np.full((40, 40, 3), value, np.uint8),
        "background": np.full((40, 40, 3), 7, np.uint8),
        "alpha": alpha,
    }


def compose(maps, seed=0, **arguments):
    pipeline = A.Compose([ComposeOnBackground(**arguments)], additional_targets=TARGETS)
    pipeline.set_random_seed(seed)
    return pipeline(**maps)


def test_the_image_is_the_foreground_over_the_new_background(folder):
    for seed in range(5):
        maps = compose(crop(), seed, backgrounds=folder, **PLAIN)
        weight = maps["alpha"][..., None] / 255
        expected = weight * maps["foreground"] + (1 - weight) * maps["background"]
        assert np.abs(maps["image"] - expected).max() <= 0.5
        assert np.array_equal(maps["foreground"], crop()["foreground"])
        assert not (maps["background"] == 7).all()


def test_every_background_below_the_folder_is_used(folder):
    greens = [compose(crop(), seed, backgrounds=folder, **PLAIN)["background"][0, 0].tolist() for seed in range(20)]
    assert 3 < greens.count([10, 200, 30]) < 17


def test_noise_and_blur_change_what_they_should(folder):
    (folder / "green.png").unlink()
    sharp = compose(crop(), backgrounds=folder, **PLAIN)
    blurred = compose(crop(), backgrounds=folder, **PLAIN | {"p_blur": 1, "blur": (20, 20)})
    noisy = compose(crop(), backgrounds=folder, **PLAIN | {"p_noise": 1, "noise": 10})
    assert blurred["background"].std() < sharp["background"].std() / 3
    assert np.array_equal(blurred["foreground"], sharp["foreground"])
    grain = noisy["foreground"].astype(int) - sharp["foreground"]
    assert 8 < grain.std() < 12
    inside = np.abs(noisy["image"].astype(int) - noisy["foreground"])[11:29, 11:29]
    assert inside.max() == 0  # one grain for both, or the edge would show


def test_denoising_smooths_the_foreground_too(folder):
    maps = crop()
    maps["foreground"] = np.random.default_rng(0).normal(100, 8, (40, 40, 3)).astype(np.uint8)
    smooth = compose(maps, backgrounds=folder, **PLAIN | {"p_denoise": 1, "denoise": 40})
    assert smooth["foreground"].std() < maps["foreground"].std() * 0.7


def test_brightness_is_drawn_to_the_foreground_as_far_as_asked():
    dark, bright = (np.full((4, 4, 3), value, np.uint8) for value in (79, 119))
    weight = np.ones((4, 4, 1), np.float32)
    assert brightness_gain(dark, weight, bright, 0) == 1
    assert brightness_gain(dark, weight, bright, 1) == pytest.approx(80 / 120)
    assert brightness_gain(dark, weight, bright, 0.5) == pytest.approx((80 / 120) ** 0.5)
    assert brightness_gain(dark // 40, weight, bright, 1) == 0.5
    assert brightness_gain(dark, 0 * weight, bright, 1) == 1


@pytest.mark.parametrize("size", [(40, 40), (30, 80), (200, 10)])
def test_a_part_keeps_its_proportions_inside_the_image(size):
    columns = np.broadcast_to(np.arange(120, dtype=np.uint8)[None, :, None], (90, 120, 3))
    for seed in range(10):
        part = random_part(np.ascontiguousarray(columns), size, random.Random(seed))
        assert part.shape == (*size, 3)
        assert (np.diff(part[0, :, 0].astype(int)) >= 0).all()


def test_without_backgrounds_nothing_is_composed():
    assert np.array_equal(compose(crop(), p=1)["image"], crop()["image"])


def test_missing_foregrounds_and_folders_are_refused(folder, tmp_path):
    maps = crop()
    del maps["foreground"]
    with pytest.raises(InputError, match="foreground=cached"):
        compose(maps, backgrounds=folder, **PLAIN)
    with pytest.raises(InputError, match="no such folder"):
        ComposeOnBackground(backgrounds=tmp_path / "nowhere")


def person(seed):
    """A sample that composes exactly: layers, a soft matte and its trimap."""
    draws = np.random.default_rng(seed)
    alpha = np.clip(draws.normal(100, 180, (24, 32)), 0, 255).astype(np.uint8)
    foreground, background = draws.integers(0, 256, (2, 24, 32, 3)).astype(np.uint8)
    weight = alpha[..., None] / 255
    image = np.rint(weight * foreground + (1 - weight) * background).astype(np.uint8)
    trimap = np.select([alpha == 0, alpha == 255], [BACKGROUND, FOREGROUND], UNKNOWN).astype(np.uint8)
    return {"image": image, "foreground": foreground, "background": background, "alpha": alpha, "trimap": trimap}


def test_two_people_compose_to_their_picture():
    front, back = person(0), person(1)
    both = lay_before(front, back)
    ahead, behind = front["alpha"] / 255, back["alpha"] / 255
    assert np.abs(both["alpha"] / 255 - (ahead + behind - ahead * behind)).max() <= 0.5 / 255
    weight = both["alpha"][..., None] / 255
    composed = weight * both["foreground"] + (1 - weight) * both["background"]
    assert np.abs(both["image"] - composed).max() <= 2.5  # three roundings
    assert np.array_equal(both["background"], back["background"])


def test_people_of_two_sizes_are_refused_with_both():
    front = {role: pixels[:20] for role, pixels in person(0).items()}
    with pytest.raises(InputError, match=r"p_companion: .* 32 x 20 pixels .* 32 x 24; use a transform to one size"):
        lay_before(front, person(1))


def test_what_is_surely_a_person_of_either_is_foreground():
    front, back = person(0), person(1)
    trimap = lay_before(front, back)["trimap"]
    sure = (front["trimap"] == FOREGROUND) | (back["trimap"] == FOREGROUND)
    empty = (front["trimap"] == BACKGROUND) & (back["trimap"] == BACKGROUND)
    assert np.array_equal(trimap == FOREGROUND, sure)
    assert np.array_equal(trimap == BACKGROUND, empty)


def test_a_mask_is_laid_inside_its_edge_with_the_colors_of_its_image():
    front, back = crop(), crop()
    del front["foreground"], front["background"], back["foreground"], back["background"]
    front |= {"image": np.full((40, 40, 3), 200, np.uint8), "trimap": np.zeros((40, 40), np.uint8)}
    both = lay_before(front, {**back, "alpha": np.zeros((40, 40), np.uint8), "trimap": front["trimap"]})
    assert (both["image"][20, 20] == 200).all()
    assert (both["image"][9, 20] == 7).all()  # the outermost pixels of the mask may be the old background's
    assert (both["image"][10, 20] < 50).all()
    assert np.array_equal(both["alpha"], front["alpha"])
    assert "foreground" not in both
