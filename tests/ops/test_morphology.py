import json

import cv2
import numpy as np
import pytest

from p3m_lightning.ops import elliptic_kernel, trimap_from_alpha
from p3m_lightning.ops.morphology import dilate
from p3m_lightning.schema import InputError

CODES = np.array([0, 128, 255], np.uint8)


@pytest.mark.parametrize("size", [*range(1, 32), 63, 64, 65, 127, 128, 129])
def test_dilation_is_that_of_opencv_with_the_same_element(size):
    generator = np.random.default_rng(size)
    for density in (0.001, 0.02, 0.4):
        mask = generator.random(tuple(generator.integers(1, 150, 2))) < density
        expected = cv2.dilate(mask.astype(np.uint8), elliptic_kernel(size)) > 0
        assert np.array_equal(dilate(mask, size), expected)


@pytest.mark.parametrize("size", [15, 22, 25, 29, 30])
def test_elements_are_the_recorded_ones(golden, size):
    assert np.array_equal(elliptic_kernel(size), np.load(golden / "data/trimap.npz")[f"kernel_k{size}"])
    facts = json.loads((golden / "data/data.json").read_text())["trimap"]["per_kernel"][str(size)]
    assert elliptic_kernel(size).sum(1).tolist() == facts["row_widths"]


@pytest.mark.parametrize("size", range(1, 61))
def test_elements_have_rows_as_wide_as_the_disc_rounded_to_pixels(size):
    radius = size // 2
    for row, ones in enumerate(elliptic_kernel(size)):
        reach = round(float(np.sqrt(radius**2 - (row - radius) ** 2)))
        first, last = max(radius - reach, 0), min(radius + reach, size - 1)
        assert np.flatnonzero(ones).tolist() == list(range(first, last + 1))


@pytest.mark.parametrize("size", [15, 22, 25, 29, 30])
def test_trimaps_of_a_portrait_are_the_recorded_ones(golden_portraits, size):
    recorded = np.load(golden_portraits / "data/trimap.npz")
    assert np.array_equal(CODES[trimap_from_alpha(recorded["alpha"], size)], recorded[f"trimap_k{size}"])


@pytest.mark.parametrize("size", [22, 29, 30])
def test_even_elements_reach_further_down_and_right(golden, size):
    recorded = np.load(golden / "data/trimap.npz")
    for name in ("dot", "hole"):
        assert np.array_equal(CODES[trimap_from_alpha(recorded[name], size)], recorded[f"{name}_k{size}"])


def test_trimaps_of_16_bits_are_those_of_8():
    alpha = np.random.default_rng(0).integers(0, 256, (64, 48)).astype(np.uint8)
    alpha[:20], alpha[40:] = 0, 255
    assert np.array_equal(trimap_from_alpha(alpha.astype(np.uint16) * 257, 25), trimap_from_alpha(alpha, 25))


@pytest.mark.parametrize("kind", ["int64", "float32", "bool", "int8", "uint32"])
def test_mattes_of_other_types_are_refused_by_name(kind):
    with pytest.raises(InputError, match=rf"^alpha: {kind} \(8, 8\); give the matte as uint8 or uint16"):
        trimap_from_alpha(np.ones((8, 8), kind), 3)


def test_mattes_of_other_shapes_are_refused_by_name():
    with pytest.raises(InputError, match=r"^alpha: uint8 \(8, 8, 1\)"):
        trimap_from_alpha(np.ones((8, 8, 1), np.uint8), 3)


@pytest.mark.parametrize("size", [0, -1, 2.5, None, "3"])
def test_elements_without_a_side_are_refused_by_name(size):
    with pytest.raises(InputError, match=f"^kernel_size={size}: give a whole number"):
        trimap_from_alpha(np.ones((8, 8), np.uint8), size)


def test_the_side_of_an_element_may_be_a_number_of_numpy():
    alpha = np.tril(np.full((9, 9), 255, np.uint8))
    assert np.array_equal(trimap_from_alpha(alpha, np.int64(3)), trimap_from_alpha(alpha, 3))
