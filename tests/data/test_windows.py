import numpy as np
import pytest

from p3m_lightning.data.windows import check_rule, choose_side, choose_window, draw_unknown
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.schema import UNKNOWN, InputError


def soft_square(height=120, width=170):
    alpha = np.zeros((height, width), np.uint8)
    alpha[30:80, 40:120] = 255
    alpha[30:34, 40:120] = 100
    return alpha


def draws(alpha, kernel, bounds, count, seed=0):
    generator = np.random.default_rng(seed)
    counts = np.zeros(alpha.shape, int)
    for _ in range(count):
        counts[draw_unknown(alpha, kernel, bounds, generator)] += 1
    return counts


@pytest.mark.parametrize("kernel", [3, 8, 15])
@pytest.mark.parametrize("bounds", [(60, 85), (25, 45)])
def test_only_unknown_pixels_within_bounds_are_drawn_and_all_alike(kernel, bounds):
    alpha = np.ascontiguousarray(soft_square()[::2, ::2])
    allowed = trimap_from_alpha(alpha, kernel) == UNKNOWN
    allowed[bounds[0] :] = False
    allowed[:, bounds[1] :] = False
    expected = 5
    counts = draws(alpha, kernel, bounds, expected * int(allowed.sum()))
    assert counts[~allowed].sum() == 0
    # chi-square per degree of freedom is 1 with a standard deviation of sqrt(2 / n); 5 deviations
    spread = ((counts[allowed] - expected) ** 2 / expected).mean()
    assert abs(spread - 1) < 5 * np.sqrt(2 / allowed.sum())


def test_a_single_unknown_pixel_among_many_others_is_found():
    alpha = np.zeros((300, 300), np.uint8)
    alpha[299, 299] = 255
    assert draw_unknown(alpha, 1, (300, 300), np.random.default_rng(0)) is None  # kernel 1: it is foreground
    alpha[299, 299] = 90
    assert draw_unknown(alpha, 1, (300, 300), np.random.default_rng(0)) == (299, 299)


@pytest.mark.parametrize("fill", [0, 255])
def test_nothing_is_drawn_from_a_matte_of_one_value(fill):
    assert draw_unknown(np.full((64, 64), fill, np.uint8), 15, (64, 64), np.random.default_rng(0)) is None


def test_mattes_of_16_bits_have_the_same_unknown_pixels():
    alpha = soft_square()
    wide = alpha.astype(np.uint16) * 257
    assert np.array_equal(draws(alpha, 9, alpha.shape, 50), draws(wide, 9, alpha.shape, 50))


def test_the_2021_rule_puts_the_unknown_pixel_in_the_top_left_corner():
    alpha, generator = soft_square(), np.random.default_rng(0)
    trimap = trimap_from_alpha(alpha, 9)
    for _ in range(50):
        window = choose_window(alpha, 40, 9, "2021", generator)
        assert trimap[window.top, window.left] == UNKNOWN
        assert window.top < 120 - 40
        assert window.left < 170 - 40


def test_the_2024_rule_puts_the_unknown_pixel_in_the_center_and_the_window_inside():
    alpha, generator = soft_square(), np.random.default_rng(0)
    trimap = trimap_from_alpha(alpha, 9)
    for _ in range(50):
        window = choose_window(alpha, 40, 9, "2024", generator)
        assert 0 <= window.top <= 80
        assert 0 <= window.left <= 130
        if 0 < window.top < 80 and 0 < window.left < 130:
            assert trimap[window.top + 20, window.left + 20] == UNKNOWN


def test_without_a_kernel_every_place_can_be_drawn():
    alpha, generator = np.zeros((10, 12), np.uint8), np.random.default_rng(0)
    places = {
        rule: {choose_window(alpha, 8, None, rule, generator)[:2] for _ in range(400)} for rule in ("2021", "2024")
    }
    assert places["2021"] == {(row, column) for row in range(2) for column in range(4)}  # never the last row or column
    assert places["2024"] == {(row, column) for row in range(3) for column in range(5)}


@pytest.mark.parametrize(
    ("shape", "rule", "expected"),
    [  # the sizes that data.json records for the published code where it does not fail
        ((1080, 1620), "2021", {512, 768, 1024}),
        ((1024, 1024), "2021", {512, 768}),
        ((768, 900), "2021", {512}),
        ((1024, 1024), "2024", {512, 768, 1024}),
        ((512, 700), "2021", {512}),
        ((300, 700), "2024", {300}),
    ],
)
def test_sides_that_do_not_fit_are_replaced(shape, rule, expected):
    generator = np.random.default_rng(0)
    assert {choose_side(shape, (512, 768, 1024), rule, generator) for _ in range(40)} == expected


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match="2021"):
        check_rule("2022")
