"""dtSSD and MESSDdt against plain loops, and the laws that make them measures of flicker."""

import numpy as np
import pytest
import torch

from p3m_lightning.metrics.video import DEFINITIONS, dtssd, messddt
from p3m_lightning.schema import InputError


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.random((5, 6, 7)), rng.random((5, 6, 7))


def naive_dtssd(preds, targets):
    values = []
    for t in range(len(preds) - 1):
        total = 0.0
        for place in np.ndindex(preds[t].shape):
            change = preds[t + 1][place] - preds[t][place]
            total += (change - (targets[t + 1][place] - targets[t][place])) ** 2
        values.append((total / preds[t].size) ** 0.5)
    return 100 * sum(values) / len(values)


def naive_messddt(preds, targets, motion):
    """For whole steps (x, y), the same everywhere."""
    values = []
    height, width = preds[0].shape
    for t in range(len(preds) - 1):
        differences = []
        for y, x in np.ndindex(height, width):
            y2, x2 = y + motion[1], x + motion[0]
            if 0 <= y2 < height and 0 <= x2 < width:
                now = (preds[t][y, x] - targets[t][y, x]) ** 2
                later = (preds[t + 1][y2, x2] - targets[t + 1][y2, x2]) ** 2
                differences.append(abs(now - later))
        values.append(sum(differences) / len(differences))
    return sum(values) / len(values)


def test_dtssd_is_its_definition(pair):
    assert dtssd(*pair) == pytest.approx(naive_dtssd(*pair), rel=1e-12)


@pytest.mark.parametrize("motion", [(0, 0), (2, -1)])
def test_messddt_is_its_definition(pair, motion):
    motions = [np.full((6, 7, 2), motion, np.float32)] * 4
    assert messddt(*pair, motions) == pytest.approx(naive_messddt(*pair, motion), rel=1e-6)


def test_an_error_that_stays_is_no_flicker(pair):
    _, targets = pair
    targets = 0.5 * targets
    assert dtssd(targets + 0.2, targets) == pytest.approx(0, abs=1e-9)
    assert messddt(targets + 0.2, targets, [np.zeros((6, 7, 2), np.float32)] * 4) == pytest.approx(0, abs=1e-9)


def test_an_error_that_moves_with_the_subject_is_no_flicker_for_messddt():
    error = np.random.default_rng(0).random((20, 40))
    preds = [error[:, 2 * t : 2 * t + 20] for t in range(4)]  # what is at x goes to x - 2
    targets = [np.zeros((20, 20))] * 4
    motions = [np.full((20, 20, 2), (-2, 0), np.float32)] * 3
    assert messddt(preds, targets, motions) == pytest.approx(0, abs=1e-9)
    assert dtssd(preds, targets) > 10


def test_more_noise_is_more_flicker(pair):
    _, targets = pair
    targets, noise = 0.4 + 0.2 * targets, np.random.default_rng(1).uniform(-0.1, 0.1, targets.shape)
    assert dtssd(targets + 2 * noise, targets) == pytest.approx(2 * dtssd(targets + noise, targets))


def test_tensors_and_generators_do(pair):
    preds, targets = pair
    tensors = (torch.from_numpy(pred)[None] for pred in preds)
    assert dtssd(tensors, iter(targets)) == pytest.approx(dtssd(preds, targets))


@pytest.mark.parametrize(("pred_count", "target_count"), [(5, 4), (4, 5), (1, 1), (0, 0)])
def test_clips_that_do_not_fit_are_refused(pair, pred_count, target_count):
    with pytest.raises(InputError, match="clip"):
        dtssd(pair[0][:pred_count], pair[1][:target_count])


def test_codes_instead_of_mattes_are_refused(pair):
    with pytest.raises(InputError, match="divide 8-bit codes"):
        dtssd([np.full((4, 4), 255, np.uint8)] * 2, [np.ones((4, 4))] * 2)


def test_frames_of_changing_size_are_refused():
    frames = [np.zeros((6, 7)), np.zeros((6, 7)), np.zeros((7, 6))]
    motions = [np.zeros((6, 7, 2), np.float32)] * 2
    for measure in (dtssd, lambda *clip: messddt(*clip, motions)):
        with pytest.raises(InputError, match=r"clip: frame 2 has shape \(7, 6\), the first \(6, 7\)"):
            measure(frames, frames)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda motions: motions[:3], "motions: fewer than pairs"),
        (lambda motions: [], "motions: fewer than pairs"),
        (
            lambda motions: motions.transpose(0, 3, 1, 2),
            r"motions: shape \(2, 6, 7\) at frame 0; \(6, 7, 2\)",
        ),
        (lambda motions: motions[..., :1], r"motions: shape \(6, 7, 1\)"),
        (lambda motions: [*motions[:2], motions[2] * np.nan, motions[3]], "motions: not finite at frame 2"),
        (lambda motions: motions + np.inf, "motions: not finite at frame 0"),
    ],
)
def test_motions_that_do_not_fit_are_refused(pair, change, message):
    motions = np.zeros((4, 6, 7, 2), np.float32)
    with pytest.raises(InputError, match=message):
        messddt(*pair, change(motions))


def test_further_motions_are_not_used_and_may_be_tensors(pair):
    motions = torch.ones(7, 6, 7, 2)
    assert messddt(*pair, motions) == messddt(*pair, motions[:4].numpy().astype(float))


def test_every_measure_has_its_definition():
    assert set(DEFINITIONS) == {"dtssd", "messddt"}
