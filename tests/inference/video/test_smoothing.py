"""Smoothing: unchanged pixels, reduced flicker, and identical results after an interruption."""

import cv2
import numpy as np
import pytest

from p3m_lightning.experiments.bench.video import by_simulation
from p3m_lightning.images import to_unit
from p3m_lightning.inference.video.smoothing import (
    SMOOTHINGS,
    FlowSmoothing,
    OneFrameDelay,
    carry,
    make_smoother,
    smooth,
)
from p3m_lightning.metrics.functional import sad
from p3m_lightning.metrics.video import dtssd
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic.clip import render_clip


@pytest.fixture(scope="module")
def clip():
    return list(render_clip(3, 16, (96, 144)))


def images_of(clip):
    return [frame.image for frame in clip]


def truth_of(clip):
    return [to_unit(frame.alpha) for frame in clip]


def texture(height=96, width=144):
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def naive_one_frame_delay(alphas, threshold=0.1):
    """Pixel by pixel as the paper states it."""
    result = [alpha.copy() for alpha in alphas]
    for t in range(1, len(alphas) - 1):
        for place in np.ndindex(alphas[t].shape):
            before, now, after = (float(alphas[k][place]) for k in (t - 1, t, t + 1))
            if abs(before - after) <= threshold and abs(now - before) > threshold and abs(now - after) > threshold:
                result[t][place] = (before + after) / 2
    return result


def test_one_frame_delay_is_that_of_the_paper():
    levels = np.random.default_rng(0).choice(np.float32([0, 0.03, 0.3, 0.5, 0.97, 1]), (9, 6, 7))
    smoothed = list(smooth([None] * 9, list(levels), "one_frame_delay"))
    assert np.allclose(smoothed, naive_one_frame_delay(levels), atol=1e-6)
    assert not np.allclose(smoothed, levels)


@pytest.mark.parametrize("name", SMOOTHINGS)
@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_clips_of_any_length_keep_their_number_of_frames(name, length):
    alphas = [np.full((20, 30), 0.1 * t, np.float32) for t in range(length)]
    assert len(list(smooth([texture(20, 30)] * length, alphas, name))) == length


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_a_still_clip_with_a_steady_matte_stays(name):
    alpha = to_unit(texture()[..., 0])
    for smoothed in smooth([texture()] * 5, [alpha] * 5, name):
        assert np.allclose(smoothed, alpha, atol=2e-3)


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_frames_too_small_for_optical_flow(name):
    alphas = np.random.default_rng(0).random((4, 3, 5), np.float32)
    assert len(list(smooth([np.zeros((3, 5, 3), np.uint8)] * 4, list(alphas), name))) == 4


def test_flow_is_the_running_mean_where_nothing_moves():
    alphas = np.random.default_rng(1).random((4, 96, 144), np.float32)
    smoothed = list(smooth([texture()] * 4, list(alphas), FlowSmoothing(memory=10)))
    assert np.allclose(smoothed[3], alphas.mean(0), atol=0.02)


def test_flow_does_not_carry_a_matte_over_a_cut():
    images = [texture(), 255 - texture()[::-1], 255 - texture()[::-1]]
    alphas = [np.zeros((96, 144), np.float32)] + [np.ones((96, 144), np.float32)] * 2
    after = list(smooth(images, alphas, "flow"))[1]
    assert np.array_equal(after, alphas[1])  # though here and there the textures agree by chance


def test_flow_follows_a_moving_matte():
    wide = texture(96, 200)
    images = [wide[:, 3 * t : 3 * t + 144] for t in range(6)]
    alphas = [to_unit((image[..., 1] > 128).astype(np.uint8) * 255) for image in images]
    smoothed = list(smooth(images, alphas, "flow"))
    inside = np.s_[8:-8, 24:-24]
    lag = np.abs(np.mean(alphas[:6], 0) - alphas[5])[inside].mean()  # a mean that does not follow
    assert np.abs(smoothed[5] - alphas[5])[inside].mean() < 0.2 * lag


def test_at_the_edge_the_matte_goes_with_the_subject_not_with_the_background():
    y, x = np.mgrid[:96, :144]
    scene, person = texture(96, 200), 255 - texture(96, 200)[::-1]
    alphas = [np.clip(30.5 - np.hypot(x - 60 - 3 * t, y - 48), 0, 1).astype(np.float32) for t in range(6)]
    images = []
    for t, alpha in enumerate(alphas):  # the person goes to the right, the scene to the left
        layers = np.roll(person, 3 * t, axis=1)[:, :144], np.roll(scene, -3 * t, axis=1)[:, :144]
        images.append(np.rint(alpha[..., None] * layers[0] + (1 - alpha[..., None]) * layers[1]).astype(np.uint8))
    error, astray = (
        sum(np.abs(a - b).sum() for a, b in zip(smooth(images, alphas, smoother), alphas, strict=True))
        for smoother in (FlowSmoothing(), FlowSmoothing(reach=0))
    )
    assert error < 0.6 * astray


def test_where_motion_uncovers_the_background_the_matte_begins_anew():
    scene = texture()
    alphas = [np.zeros((96, 144), np.float32) for _ in range(4)]
    for t, alpha in enumerate(alphas):
        alpha[20:76, 20 + 12 * t : 60 + 12 * t] = 1
    images = [np.where(alpha[..., None] > 0, np.uint8((230, 40, 40)), scene) for alpha in alphas]
    last = list(smooth(images, alphas, "flow"))[3]
    assert last[24:72, 20:50].mean() < 0.02  # where the subject was before


def test_flow_halves_the_flicker_at_no_loss_of_sad(clip):
    raw, truth = by_simulation(0)(clip), truth_of(clip)
    smoothed = list(smooth(images_of(clip), raw, "flow"))
    assert dtssd(smoothed, truth) < 0.5 * dtssd(raw, truth)
    assert sum(map(sad, smoothed, truth)) <= sum(map(sad, raw, truth))


def test_one_frame_delay_mends_frames_that_are_wrong_alone(clip):
    truth = truth_of(clip)
    raw = [alpha.copy() for alpha in truth]
    raw[7][40:60, 60:90] = 1 - raw[7][40:60, 60:90]
    smoothed = list(smooth(images_of(clip), raw, "one_frame_delay"))
    assert dtssd(smoothed, truth) < 0.5 * dtssd(raw, truth)
    assert sum(map(sad, smoothed, truth)) < 0.5 * sum(map(sad, raw, truth))


@pytest.mark.parametrize("name", SMOOTHINGS)
def test_another_smoother_goes_on_from_the_state_of_the_first(clip, name):
    raw = by_simulation(1)(clip)
    whole = list(smooth(images_of(clip), raw, name))
    first, second, parts = make_smoother(name), make_smoother(name), []
    for t, (image, alpha) in enumerate(zip(images_of(clip), raw, strict=True)):
        if t == 9:
            second.restore(first.state())
        parts += (first if t < 9 else second).push(image, alpha)
    parts += second.flush()
    assert np.array_equal(parts, whole)


def test_carry_fetches_from_where_the_motion_points():
    values = np.random.default_rng(0).random((20, 30), np.float32)
    moved = carry(values, np.full((20, 30, 2), (3, -2), np.float32))
    assert np.allclose(moved[2:, :-3], values[:-2, 3:], atol=1e-6)


def test_one_frame_delay_waits_for_exactly_one_frame():
    smoother, alpha = OneFrameDelay(), np.zeros((4, 4), np.float32)
    assert [len(smoother.push(None, alpha)) for _ in range(4)] == [0, 1, 1, 1]
    assert len(smoother.flush()) == 1


def test_an_unknown_smoothing_is_refused():
    with pytest.raises(InputError, match="choose from none, one_frame_delay, flow"):
        make_smoother("median")
