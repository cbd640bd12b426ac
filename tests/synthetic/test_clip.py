"""Synthetic clips: the compositing equation, seeds, and correct motion."""

import json
from itertools import pairwise

import cv2
import numpy as np
import pytest

from p3m_lightning.cli import main
from p3m_lightning.inference.video.smoothing import carry
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic.clip import render_clip


@pytest.fixture(scope="module")
def clip():
    return list(render_clip(3, 8, (64, 96)))


def test_each_frame_is_the_composite_of_its_layers_but_for_noise(clip):
    for frame in clip:
        share = frame.alpha[..., None] / 255
        law = share * frame.foreground + (1 - share) * frame.background
        difference = frame.image - law
        unclipped = (law > 30) & (law < 225)
        assert abs(difference[unclipped].mean()) < 1
        assert difference[unclipped].std() < 8


def test_the_motion_field_leads_to_the_next_frame():
    clip = list(render_clip(3, 6, (96, 144)))
    moved, stayed = 0.0, 0.0
    for frame, later in pairwise(clip):
        # blurred: hair finer than a pixel looks different on every grid
        now, then = (cv2.GaussianBlur(f.alpha.astype(np.float32), (0, 0), 2) for f in (frame, later))
        moved += np.abs(carry(then, frame.motion) - now)[8:-8, 8:-8].mean()
        stayed += np.abs(then - now)[8:-8, 8:-8].mean()
    assert moved < 0.25 * stayed


def test_the_same_seed_gives_the_same_pixels_and_a_longer_clip_the_same_beginning(clip):
    again = list(render_clip(3, 4, (64, 96)))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(again, clip[:4], strict=True))
    assert not np.array_equal(next(render_clip(4, 1, (64, 96))).alpha, clip[0].alpha)


def test_a_still_background_stays_while_the_person_moves():
    first, *_, last = render_clip(3, 8, (64, 96), moving_background=False)
    assert np.array_equal(first.background, last.background)
    assert not np.array_equal(first.alpha, last.alpha)


@pytest.mark.parametrize("size", [(64, 96), (96, 64), (80, 80)])
def test_any_shape(size):
    frame = next(render_clip(5, 1, size))
    assert frame.image.shape == (*size, 3)
    assert 0.1 < frame.alpha.mean() / 255 < 0.95


def test_too_small_or_too_short_is_refused():
    with pytest.raises(InputError, match="1 frame and 32 pixels"):
        next(render_clip(0, 0))
    with pytest.raises(InputError, match="1 frame and 32 pixels"):
        next(render_clip(0, 1, (16, 64)))


def test_the_benchmark_prints_json_last_and_says_what_is_simulated(capsys):
    arguments = ["--clips", "1", "--frames", "8", "--width", "96", "--height", "64"]
    assert main(["bench", "video", *arguments]) == 0
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "simulated" in results["mattes"]
    rows = results["smoothings"]
    assert rows["none"]["dtssd_ratio"] == rows["none"]["sad_ratio"] == 1
    assert rows["flow"]["dtssd"] == pytest.approx(rows["flow"]["dtssd_ratio"] * rows["none"]["dtssd"])
    assert main(["bench", "video", "--frames", "1"]) == 2
