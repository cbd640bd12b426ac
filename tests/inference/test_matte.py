import json

import numpy as np
import pytest
from PIL import Image

from p3m_lightning.images import read_image, read_matte, to_unit
from p3m_lightning.inference import Matte
from p3m_lightning.inference.background import blurred_background, cover, make_background, match_light
from p3m_lightning.inference.foreground import METHODS, blur_fusion, box_mean, estimate_foreground
from p3m_lightning.schema import InputError

RNG = np.random.default_rng(0)


def scene(side=96):
    """A red disc with a soft edge on a blue ground: its image, alpha and true foreground."""
    y, x = np.mgrid[:side, :side] - side / 2
    alpha = np.clip((side / 3 - np.hypot(x, y)) / 8 + 0.5, 0, 1).astype(np.float32)
    foreground = np.broadcast_to(np.float32([0.9, 0.2, 0.1]), (side, side, 3))
    background = np.broadcast_to(np.float32([0.1, 0.2, 0.9]), (side, side, 3))
    image = alpha[..., None] * foreground + (1 - alpha[..., None]) * background
    return np.rint(image * 255).astype(np.uint8), alpha, foreground, background


@pytest.mark.parametrize("name", ["p_22fc0130", "p_d684dae3"])
def test_foreground_equals_the_recorded_estimates(golden_portraits, name):
    recorded = json.loads((golden_portraits / "foreground/foreground.json").read_text())["samples"][name]
    alpha = to_unit(read_matte(golden_portraits / recorded["alpha"]))
    foreground = Matte(read_image(golden_portraits / recorded["image"]), alpha).foreground

    np.testing.assert_allclose(foreground.mean((0, 1)), recorded["foreground"]["all"]["mean"], atol=1e-3)
    soft = (alpha > 0) & (alpha < 1)
    expected = recorded["foreground"]["where_alpha_fractional"]["mean"]
    np.testing.assert_allclose(foreground[soft].mean(0), expected, atol=1e-3)
    for probe in recorded["probes"]:
        np.testing.assert_allclose(foreground[probe["row"], probe["col"]], probe["foreground"], atol=0.01)


@pytest.mark.parametrize(("method", "tolerance"), [("ml", 0.03), ("fast", 0.06)])
def test_foreground_of_an_edge_is_the_subject_alone(method, tolerance):
    image, alpha, foreground, _ = scene()
    error = np.abs(estimate_foreground(image, alpha, method) - foreground).mean(-1)
    assert error[alpha > 0.1].max() < tolerance
    naive = np.abs(to_unit(image) - foreground).mean(-1)
    assert naive[alpha > 0.1].max() > 0.4


@pytest.mark.parametrize("method", METHODS)
def test_large_photographs_are_estimated_small_and_corrected(monkeypatch, method):
    image, alpha, foreground, _ = scene(400)
    exact = estimate_foreground(image, alpha, method)
    monkeypatch.setattr("p3m_lightning.inference.foreground.WHOLE", 10_000)
    reduced = estimate_foreground(image, alpha, method)
    assert np.abs(reduced - foreground)[alpha > 0.1].mean() < 0.01
    assert np.abs(reduced - exact)[alpha > 0.1].mean() < 0.01


def test_blur_fusion_is_the_same_for_tensors():
    torch = pytest.importorskip("torch")
    image, alpha, _, _ = scene(64)
    expected, _ = blur_fusion(to_unit(image), alpha[..., None], box_mean, (21, 5))

    def tensor_mean(values, side):
        padded = torch.nn.functional.pad(values, (side // 2,) * 4, mode="reflect")
        return torch.nn.functional.avg_pool2d(padded, side, 1)

    image, alpha = torch.from_numpy(to_unit(image)).permute(2, 0, 1)[None], torch.from_numpy(alpha)[None, None]
    actual, _ = blur_fusion(image, alpha, tensor_mean, (21, 5))
    np.testing.assert_allclose(actual[0].permute(1, 2, 0).numpy(), expected, atol=1e-4)


def test_unknown_method_is_refused():
    image, alpha, _, _ = scene()
    with pytest.raises(InputError, match="foreground=magic"):
        estimate_foreground(image, alpha, "magic")


def test_cutout_is_straight_alpha_without_the_background():
    image, alpha, foreground, _ = scene()
    cutout = Matte(image, alpha).rgba()
    assert cutout.dtype == np.uint8
    np.testing.assert_array_equal(cutout[..., 3], np.rint(alpha * 255))
    seen = cutout[..., 3] > 25
    assert np.abs(cutout[seen][:, :3] / 255 - foreground[seen]).max() < 0.05


def test_hidden_pixels_carry_nothing_of_the_background():
    secret = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    alpha = np.zeros((40, 40), np.float32)
    alpha[10:30, 10:30] = 1
    alpha[9, 9] = 0.001  # rounds to 0
    cutout = Matte(secret, alpha).rgba()
    assert (cutout[cutout[..., 3] == 0] == 0).all()
    assert cutout[9, 9, 3] == 0


def test_sixteen_bits_stay_sixteen_bits():
    image, alpha, _, _ = scene()
    deep = Matte(image.astype(np.uint16) * 257, alpha)
    assert deep.rgba(np.uint16).dtype == np.uint16
    np.testing.assert_allclose(deep.rgba(np.uint16) / 257, Matte(image, alpha).rgba(), atol=0.51)
    assert deep.composite("white", dtype=np.uint16).max() == 65535


def test_composite_replaces_the_background():
    image, alpha, foreground, background = scene()
    composite = Matte(image, alpha).composite((0, 255, 0))
    expected = alpha[..., None] * foreground + (1 - alpha[..., None]) * np.float32([0, 1, 0])
    assert composite.dtype == np.uint8
    assert np.abs(composite / 255 - expected).max() < 0.03
    back = Matte(image, alpha).composite(background)  # over its own background it is the photograph again
    assert np.abs(back.astype(int) - image).max() <= 4


@pytest.mark.parametrize(
    ("given", "color"),
    [("white", (255, 255, 255)), ("#ff8000", (255, 128, 0)), ((1, 2, 3), (1, 2, 3)), ("rgb(9,8,7)", (9, 8, 7))],
)
def test_colors_as_backgrounds(given, color):
    background = make_background(given, (4, 5))
    assert background.shape == (4, 5, 3)
    np.testing.assert_allclose(background[2, 3] * 255, color, atol=1e-4)


def test_images_as_backgrounds(tmp_path):
    pixels = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), pixels, Image.fromarray(pixels), to_unit(pixels)):
        np.testing.assert_allclose(make_background(source, (20, 30)) * 255, pixels, atol=1e-3)


@pytest.mark.parametrize("size", [(20, 30), (40, 20), (200, 301), (1, 1), (7, 90)])
def test_backgrounds_cover_and_keep_their_proportions(size):
    gradient = np.tile(np.linspace(0, 255, 120).astype(np.uint8)[None, :, None], (80, 1, 3))
    covered = cover(gradient, size)
    assert covered.shape == (*size, 3)
    slope = 255 / (120 * max(size[0] / 80, size[1] / 120))  # per pixel, had the width been scaled like the height
    if size[1] > 10:
        assert np.ptp(covered[0, :, 0].astype(int)) == pytest.approx(slope * size[1], rel=0.15)
        assert covered.mean() == pytest.approx(127.5, abs=3)  # centered


@pytest.mark.parametrize("wrong", ["nocolor", (1, 2), (0, 0, 256), np.zeros((4, 4), np.float32)])
def test_what_is_no_background_is_refused(wrong):
    with pytest.raises(InputError, match="background"):
        make_background(wrong, (4, 4))


def test_out_of_focus_background_does_not_glow():
    image, alpha, _, background = scene(200)
    blurred = blurred_background(image, alpha)
    visible = alpha < 0.99
    assert np.abs(blurred - background)[visible].max() < 0.05
    composite = Matte(image, alpha).composite("blur")
    assert np.abs(composite.astype(int) - image).max() < 12


def test_out_of_focus_background_loses_its_detail():
    image = RNG.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    blurred = blurred_background(image, np.zeros((100, 100), np.float32))
    assert blurred.std() < 0.2 * to_unit(image).std()


def test_light_follows_the_new_background():
    image, alpha, foreground, _ = scene()
    old, dark = to_unit(image), np.full_like(foreground, 0.05)
    half, full = (match_light(foreground, old, alpha, dark, strength).mean() for strength in (0.5, 1.0))
    assert full < half < foreground.mean()
    warm = match_light(foreground, old, alpha, np.broadcast_to(np.float32([0.9, 0.5, 0.2]), old.shape), 1.0)
    assert warm[..., 0].mean() >= foreground[..., 0].mean()
    assert warm[..., 2].mean() < foreground[..., 2].mean()


def test_light_is_left_alone_where_nothing_changes():
    image, alpha, foreground, background = scene()
    np.testing.assert_allclose(match_light(foreground, to_unit(image), alpha, background, 1.0), foreground, atol=0.03)
    everywhere = np.ones_like(alpha)
    np.testing.assert_array_equal(match_light(foreground, to_unit(image), everywhere, background, 1.0), foreground)


def test_black_stays_black_under_any_light():
    image, alpha, foreground, background = scene()
    black = np.zeros_like(foreground)
    assert match_light(black, to_unit(image), alpha, np.ones_like(background), 1.0).max() == 0


def test_alpha_is_clipped_float32():
    matte = Matte(np.zeros((2, 2, 3), np.uint8), np.array([[-0.1, 0.5], [1.1, 1.0]]))
    assert matte.alpha.dtype == np.float32
    np.testing.assert_allclose(matte.alpha, [[0, 0.5], [1, 1]])


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (3, 50)])
def test_flat_mattes_of_any_size(size, value):
    matte = Matte(np.full((*size, 3), 200, np.uint8), np.full(size, value, np.float32))
    assert matte.rgba().shape == (*size, 4)
    expected = 200 if value else 0
    assert (matte.rgba()[..., :3] == expected).all()
    for background in ("black", "blur"):
        assert matte.composite(background, light=0.5).shape == (*size, 3)


def test_hidden_pixels_do_not_come_back_in_the_blurred_background():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :30] = (255, 0, 0)
    opacity = np.full((40, 60), 255, np.uint8)
    opacity[:, :30] = 0
    matte = Matte(image, np.zeros((40, 60), np.float32), opacity=opacity)
    assert Matte(image, matte.alpha).composite("blur")[..., 0].max() > 200
    assert matte.composite("blur")[..., 0].max() == 0
