import json

import albumentations as A
import cv2
import numpy as np
import pytest

from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.data.transforms import (
    CropPlan,
    EvalTransform,
    TrainTransform,
    UnknownBandCrop,
    resize_window,
    trimap_of_window,
)
from p3m_lightning.data.windows import Window
from p3m_lightning.images import read_image, read_matte, write_image
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError

CODES = np.array([0, 128, 255], np.uint8)


def blob(height, width):
    """A soft disk in the middle, uint8."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2) / min(height, width)
    return np.clip((0.3 - distance) * 2550, 0, 255).astype(np.uint8)


@pytest.fixture
def files(tmp_path):
    """One sample of 200 x 150 pixels with every role."""
    generator = np.random.default_rng(0)
    alpha = blob(200, 150)
    names = {role: tmp_path / f"{role}.png" for role in ("image", "foreground", "background", "alpha", "face")}
    for role in ("image", "foreground", "background"):
        write_image(names[role], generator.integers(0, 256, (200, 150, 3), np.uint8))
    write_image(names["alpha"], alpha)
    write_image(names["face"], np.where(alpha > 200, 255, 0).astype(np.uint8))
    return names


def small(**arguments):
    return TrainTransform(UnknownBandCrop(sides=(64, 96, 128), size=64, kernels=(5, 9), **arguments))


def golden_cases(golden_portraits):
    return json.loads((golden_portraits / "data/data.json").read_text())["crop"]["cases"]


@pytest.mark.parametrize("index", range(6))
def test_a_given_window_flip_and_kernel_give_the_recorded_crop(golden_portraits, samples, index):
    case = golden_cases(golden_portraits)[index]
    recorded = np.load(golden_portraits / "data/crop.npz")
    window = Window(case["window"]["y"], case["window"]["x"], *2 * [case["window"]["crop_size_width"]])
    alpha = read_matte(samples / f"p3m/matte_p3mnet_r34/{case['id']}.png")
    image = read_image(samples / f"p3m/image/{case['id']}.jpg")
    pipeline = A.Compose(
        [UnknownBandCrop(rule="2021"), A.HorizontalFlip(p=float(case["window"]["flip"]))],
        additional_targets={"alpha": "mask", "trimap": "mask"},
    )
    crop = pipeline(image=image, alpha=alpha, plan=CropPlan(window, case["kernel_size"]))
    codes = recorded[f"{case['array']}/trimap"]
    assert np.array_equal(crop["alpha"], recorded[f"{case['array']}/mask"])
    assert np.array_equal(crop["trimap"], np.select([codes == 0, codes == 255], [BACKGROUND, FOREGROUND], UNKNOWN))
    if f"{case['array']}/image" in recorded:
        assert np.array_equal(crop["image"], recorded[f"{case['array']}/image"])


@pytest.mark.parametrize("index", range(6))
def test_the_trimap_of_the_2024_rule_is_the_recorded_one_cut_at_its_thresholds(golden_portraits, samples, index):
    case = golden_cases(golden_portraits)[index]
    codes = np.load(golden_portraits / "data/crop.npz")[f"{case['array']}/trimap"]
    window = Window(case["window"]["y"], case["window"]["x"], *2 * [case["window"]["crop_size_width"]])
    alpha = read_matte(samples / f"p3m/matte_p3mnet_r34/{case['id']}.png")
    crop = UnknownBandCrop()(image=alpha, alpha=alpha, plan=CropPlan(window, case["kernel_size"]))
    expected = np.select([codes < 50, codes > 180], [BACKGROUND, FOREGROUND], UNKNOWN)
    flipped = expected[:, ::-1] if case["window"]["flip"] else expected
    assert np.array_equal(crop["trimap"], flipped)


@pytest.mark.parametrize("seed", range(8))
def test_the_trimap_of_a_window_is_the_window_of_the_trimap(seed):
    generator = np.random.default_rng(seed)
    alpha = cv2.GaussianBlur(generator.choice([0, 255], (120, 90), p=[0.7, 0.3]).astype(np.uint8), (5, 5), 1)
    alpha[alpha < 60], alpha[alpha > 190] = 0, 255
    side, kernel = int(generator.integers(1, 90)), int(generator.integers(1, 31))
    window = Window(*(int(generator.integers(0, length - side + 1)) for length in alpha.shape), side, side)
    assert np.array_equal(trimap_of_window(alpha, window, kernel), trimap_from_alpha(alpha, kernel)[window.slices])


def test_every_map_of_a_crop_has_its_size_and_fits_the_others(files):
    maps = small()(SampleFiles(files, face=True), seed=3)
    whole = {role: read_image(path) for role, path in files.items()}
    assert {maps[role].shape[:2] for role in ("image", "alpha", "trimap", "foreground", "background", "face")} == {
        (64, 64)
    }
    # the alpha is where the image is: cut the image's window by hand and compare
    plan = maps["plan"]
    for role in ("image", "alpha", "foreground"):
        cut = resize_window(whole[role][plan.window.slices], 64)
        found = maps[role] if maps[role].ndim == 3 else np.repeat(maps[role][..., None], 3, 2)
        assert np.array_equal(found, cut) or np.array_equal(found, cut[:, ::-1])


def test_a_seed_fixes_every_draw_and_another_seed_changes_them(files):
    transform = small()
    first, again = (transform(SampleFiles(files), seed=7) for _ in range(2))
    others = [transform(SampleFiles(files), seed=seed) for seed in range(8, 12)]
    assert all(np.array_equal(first[role], again[role]) for role in ("image", "alpha", "trimap", "foreground"))
    assert not all(np.array_equal(first["image"], other["image"]) for other in others)


def test_flips_are_as_likely_as_asked(files):
    def flipped(probability):
        transform = TrainTransform(UnknownBandCrop(sides=(150,), size=150), p_flip=probability)
        image = read_image(files["image"])
        count = 0
        for seed in range(40):
            maps = transform(SampleFiles(files), seed)
            count += not np.array_equal(maps["image"], image[maps["plan"].window.slices])
        return count

    assert flipped(0) == 0
    assert flipped(1) == 40
    assert 10 <= flipped(0.5) <= 30


@pytest.mark.parametrize("rule", ["2021", "2024"])
@pytest.mark.parametrize("shape", [(40, 300), (64, 64), (1, 1), (65, 500)])
def test_an_image_smaller_than_every_window_gives_a_sample_all_the_same(rule, shape):
    crop = UnknownBandCrop(sides=(64, 96), size=32, kernels=(3, 5), rule=rule)
    alpha = blob(*shape)
    result = crop(image=np.zeros((*shape, 3), np.uint8), alpha=alpha)
    assert result["image"].shape == (32, 32, 3)
    assert result["trimap"].shape == (32, 32)


def test_a_missing_foreground_is_estimated_for_the_crop_when_asked_for(files):
    bare = {role: files[role] for role in ("image", "alpha")}
    assert "foreground" not in small()(SampleFiles(bare), seed=1)
    maps = small()(SampleFiles(bare, estimate=True), seed=1)
    alpha = maps["alpha"][..., None] / 255
    composed = alpha * maps["foreground"] + (1 - alpha) * maps["background"]
    assert np.abs(composed - maps["image"]).mean() < 4  # noise is the hardest image to explain
    assert maps["foreground"].dtype == np.uint8


def test_an_existing_foreground_is_not_estimated(files):
    transform = small()
    given, asked = (transform(SampleFiles(files, estimate=estimate), seed=1) for estimate in (False, True))
    assert np.array_equal(given["foreground"], asked["foreground"])


def test_evaluation_keeps_the_whole_image_and_the_trimap_that_came_with_it(files, tmp_path):
    made = EvalTransform(kernel=9)(SampleFiles(files), seed=0)
    assert np.array_equal(made["trimap"], trimap_from_alpha(read_matte(files["alpha"]), 9))
    assert np.array_equal(made["image"], read_image(files["image"]))
    write_image(tmp_path / "t.png", np.full((200, 150), 128, np.uint8))
    given = EvalTransform()(SampleFiles({**files, "trimap": tmp_path / "t.png"}), seed=0)
    assert (given["trimap"] == UNKNOWN).all()


def test_color_changes_of_albumentations_reach_image_and_foreground_but_not_the_matte(files):
    plain = TrainTransform(UnknownBandCrop(sides=(64,), size=64, kernels=(5, 5)), p_flip=0)
    darker = A.RandomBrightnessContrast(brightness_limit=(-0.5, -0.5), contrast_limit=(0, 0), p=1)
    changed = TrainTransform(UnknownBandCrop(sides=(64,), size=64, kernels=(5, 5)), p_flip=0, augment=[darker])
    before, after = (transform(SampleFiles(files), seed=2) for transform in (plain, changed))
    assert np.array_equal(before["alpha"], after["alpha"])
    assert after["image"].mean() < before["image"].mean() - 10
    assert after["foreground"].mean() < before["foreground"].mean() - 10


@pytest.mark.parametrize(
    "arguments", [{"rule": "2022"}, {"sides": ()}, {"size": 0}, {"kernels": (9, 5)}, {"kernels": (0, 5)}]
)
def test_impossible_keys_are_refused(arguments):
    with pytest.raises(InputError):
        UnknownBandCrop(**arguments)
