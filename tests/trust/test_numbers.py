"""Numbers: independence of images in a batch, and robust metrics and readers."""

from __future__ import annotations

import io
import math
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from corpus import encoded, picture, structures, tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from trainings import rows_of
from verbs import LONG

from brief_training import train
from p3m_lightning import create_model
from p3m_lightning.images import read_codes, read_deep, read_image
from p3m_lightning.metrics.functional import matting_metrics, sad
from p3m_lightning.models import MODELS
from p3m_lightning.schema import InputError
from p3m_lightning.training import MattingModule
from tiny_networks import TINY

EXAMPLES = 2000 if LONG else 60
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=not LONG)
LEARNED = [name for name, card in MODELS.items() if not card.builder.startswith("classical:")]


@pytest.mark.parametrize("name", LEARNED)
def test_a_network_in_evaluation_does_not_look_at_the_neighbors_in_the_batch(name, tally):
    torch.manual_seed(0)
    try:
        net = create_model(name, **TINY.get(name, {})).eval()
    except InputError as error:
        pytest.skip(str(error))
    image, *others = torch.rand(3, 1, 3, 64, 96)
    trimap = torch.ones(1, 1, 64, 96, dtype=torch.long)
    lost = []
    with torch.no_grad():
        alone = _alpha(net, image, trimap)
        for number, batch in enumerate([[image, *others], [*others, image], [image, image], [image, image * math.inf]]):
            place = len(batch) - 1 if number == 1 else 0
            found = _alpha(net, torch.cat(batch), trimap.expand(len(batch), -1, -1, -1))[place : place + 1]
            if not torch.allclose(found, alone, atol=2e-5):
                lost.append(f"{name}, batch {number}: {float((found - alone).abs().max()):.2g}")
    tally("networks, influence of other images in a batch", 4, lost)


def _alpha(net, images, trimap):
    return (net(images, trimap) if net.needs_trimap else net(images)).alpha


UNIT = 2.0**-9
"""How far a number is moved at most when it is rounded to bfloat16, relative to it."""

CONTROLS = 3


def losses(portraits: Path, folder: Path, precision: str, noise: int | None = None) -> np.ndarray:
    """Train eight epochs and return the loss of every step; `noise` is a seed for simulated rounding."""
    options = ["trainer.max_epochs=8", "logger=csv", "~data.tests", "optimizer.lr=1e-3"]
    with pytest.MonkeyPatch.context() as patch:
        if noise is not None:
            draws = torch.Generator().manual_seed(noise)
            patch.setattr(MattingModule, "on_fit_start", lambda module: _round_at_random(module.net, draws))
        assert train(portraits, folder, f"trainer.precision={precision}", *options) == 0
    return np.array([float(row["train/loss/total"]) for row in rows_of(folder) if "train/loss/total" in row])


def _round_at_random(net: torch.nn.Module, draws: torch.Generator) -> None:
    """Perturb the output of every layer in training by up to `UNIT`."""

    def move(layer, inputs, output):
        if layer.training and isinstance(output, torch.Tensor) and output.is_floating_point():
            return output * (1 + UNIT * (2 * torch.rand(output.shape, generator=draws) - 1))
        return output

    for layer in net.modules():
        if not list(layer.children()):
            layer.register_forward_hook(move)


@pytest.mark.slow
def test_the_curve_in_bfloat16_is_that_of_32_bits(portraits, tmp_path, tally):
    """In bfloat16, a training deviates from its float32 curve no more than under noise of the size of the rounding.

    Order, crops and initial weights are the same. Batch norm over two crops and the optimizer's division by small
    moments amplify differences, so the bound is measured instead of derived: by float32 trainings whose layer outputs
    are perturbed at random by up to half a unit in the last place of bfloat16. Twice the largest deviation of a few
    such trainings is allowed, since their spread is about as uncertain.
    """
    exact = losses(portraits, tmp_path / "32", "32-true")
    rounded = losses(portraits, tmp_path / "bf16", "bf16-mixed")
    controls = [losses(portraits, tmp_path / f"control{seed}", "32-true", seed) for seed in range(CONTROLS)]
    assert (rounded != exact).any(), "bf16 was not on"
    assert abs(rounded[0] / exact[0] - 1) < 0.02, "the first step, of one network, is another"
    apart, *usual = (float(np.sqrt(np.mean((curve / exact - 1) ** 2))) for curve in (rounded, *controls))
    print(f"apart: bf16 {apart:.4f}, noise of its size {', '.join(f'{value:.4f}' for value in usual)}")
    lost = [f"apart by {apart:.4f}, noise of that size by {usual}"] if not apart < 2 * max(usual) else []
    tally("loss curves in bfloat16 against float32", 1, lost)


MATTES = arrays(np.float32, (9, 11), elements=st.floats(0, 1, width=32))
TRIMAPS = arrays(np.uint8, (9, 11), elements=st.sampled_from([0, 1, 2]))


@MANY
@given(MATTES, MATTES, TRIMAPS)
def test_metrics_are_finite_not_negative_and_nothing_for_equal_mattes(pred, target, trimap):
    target = np.choose(trimap, [np.zeros_like(target), target, np.ones_like(target)])  # what the trimap is sure of
    found = matting_metrics(pred, target, trimap)
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    assert all(value == pytest.approx(0, abs=1e-6) for value in matting_metrics(target, target, trimap).values())
    assert found["sad"] == pytest.approx(
        sum(found[k] for k in ("sad_unknown", "sad_foreground", "sad_background")), abs=1e-5
    )


@MANY
@given(MATTES, MATTES)
def test_differences_are_the_same_either_way_and_mirrored(pred, target):
    assert sad(pred, target) == pytest.approx(sad(target, pred), abs=1e-6)
    assert sad(pred, target) == pytest.approx(sad(pred[:, ::-1], target[:, ::-1]), abs=1e-6)
    assert sad(pred, target) == pytest.approx(
        float(np.abs(pred.astype(float) - target).sum()) / 1000, rel=1e-4, abs=1e-7
    )


@MANY
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
    st.sampled_from(["PNG", "BMP", "TIFF"]),
)
def test_pixels_that_were_written_are_read_again(pixels, kind):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    out.seek(0)
    assert np.array_equal(read_image(out), pixels)


@MANY
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "PPM"]), st.data())
def test_a_reader_of_changed_bytes_gives_pixels_or_says_no(kind, data):
    """Bytes of a valid file are changed, removed and inserted as a fuzzer does, mostly near its structures."""
    content = bytearray(_whole(kind))
    near = [
        at for begin in structures(bytes(content), kind) for at in range(begin, begin + 14) if 0 <= at < len(content)
    ]
    for at in data.draw(st.lists(st.sampled_from(near) | st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[at % len(content)] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    for read in (read_image, read_codes, read_deep):
        with suppress(InputError):
            read(io.BytesIO(bytes(content)))


@MANY
@given(
    st.dictionaries(st.sampled_from([256, 257, 258, 259, 262, 273, 277, 278, 279, 317, 339]), st.integers(0, 2**32 - 1))
)
def test_a_tiff_may_say_anything_of_itself(tags):
    content = tiff(np.zeros((4, 4, 3), np.uint8), **{f"t{tag}": value for tag, value in tags.items()})
    with suppress(InputError):
        read_image(io.BytesIO(content))


@cache
def _whole(kind: str) -> bytes:
    return encoded(kind)


def test_the_picture_that_is_changed_is_whole():
    assert read_image(io.BytesIO(_whole("PNG"))).shape == (40, 48, 3)
    assert np.array_equal(read_image(io.BytesIO(_whole("PNG"))), np.asarray(picture()))
