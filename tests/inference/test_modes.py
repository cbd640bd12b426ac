from itertools import pairwise

import pytest
import torch

from p3m_lightning.inference import infer
from p3m_lightning.inference.engines.torch_engine import TorchEngine
from p3m_lightning.inference.modes import MODES, Passes, blend_tiles
from p3m_lightning.inference.tiles import spans
from p3m_lightning.schema import InputError
from pixel_networks import Mood, Spot, picture

torch.set_num_threads(2)


@pytest.mark.parametrize(
    ("size", "passes", "expected"),
    [
        ((1080, 1620), {}, (512, 800)),  # half, rounded down to 32
        ((400, 600), {"cap": 160}, (160, 160)),  # each side capped on its own
        ((40, 70), {}, (32, 32)),  # never zero
        ((300, 450), {"scale": 1 / 3}, (96, 128)),
        ((1080, 1620), {"short_side": 512}, (512, 768)),  # MODNet's rule
        ((400, 900), {"short_side": 512}, (384, 896)),  # ... which leaves alone what encloses 512
        ((200, 300), {"short_side": 512}, (512, 768)),
    ],
)
def test_the_network_sees_the_published_sizes(size, passes, expected):
    net = Spot()
    infer(net, torch.zeros(1, 3, *size), "resize", **passes)
    assert net.seen == [expected]


def test_hybrid_takes_semantics_small_and_detail_large():
    net = Spot()
    infer(net, torch.zeros(1, 3, 300, 450), "hybrid", scale=1 / 3, detail_scale=0.5)
    assert net.seen[-2:] == [(96, 128), (128, 224)]  # after the look at what the network offers


@pytest.mark.parametrize("sizes", [{"scale": 1 / 3}, {"short_side": 96}, {"short_side": 200}])
def test_tiled_sees_the_whole_at_the_size_of_hybrid_or_of_a_tile(sizes):
    seen = []
    for mode in ("hybrid", "tiled"):
        net = Spot()
        infer(net, torch.zeros(1, 3, 300, 450), mode, tile=192, overlap=64, **sizes)
        seen.append(net.seen[0])
    hybrid, tiled = seen
    assert tiled == (hybrid if max(hybrid) <= 192 else (128, 192))


def test_tiles_of_a_network_that_sees_little_equal_one_pass():
    images = torch.from_numpy(picture(150, 210)).permute(2, 0, 1)[None] / 255
    whole = infer(Spot(), images, "tiled", tile=256, overlap=32)
    cut = infer(Spot(), images, "tiled", tile=64, overlap=32)
    assert ((whole > 0.01) & (whole < 0.99)).float().mean() > 0.2  # there is detail to compare
    # the small pass is smaller for small tiles, so the semantics are compared apart
    net, expected = Spot(), Spot()(images).detail
    engine = TorchEngine(net)
    unknown = torch.full((1, 1, 150, 210), 0.5)
    blended = blend_tiles(engine, images, unknown, Passes(tile=64, overlap=32))
    assert len(net.seen) > 20
    torch.testing.assert_close(blended, expected, rtol=0, atol=1e-6)
    assert cut.shape == whole.shape


def test_tiles_without_unknown_pixels_are_not_run():
    net = Spot()
    images = torch.zeros(1, 3, 200, 200)
    images[..., 150:, 150:] = 0.5  # unknown only there
    infer(net, images, "tiled", tile=64, overlap=16)
    assert len(net.seen) < 1 + 16 / 2


def test_tiles_leave_no_seams():
    """Neighboring tiles that disagree fade into each other: no step is higher than their difference over the fade."""
    images = torch.rand(1, 3, 64, 300, generator=torch.Generator().manual_seed(0))
    images[..., 150:] *= 0.3
    engine = TorchEngine(Mood())
    passes = Passes(tile=96, overlap=48)
    blended = blend_tiles(engine, images, torch.full((1, 1, 64, 300), 0.5), passes)

    moods = [float(images[..., span].mean()) for span, _ in spans(300, passes.tile, passes.overlap)]
    jump = max(abs(a - b) for a, b in pairwise(moods))
    steps = (blended[..., 1:] - blended[..., :-1]).abs()
    assert jump > 0.1
    assert steps.max() <= 1.01 * jump / (passes.overlap / 2)
    assert blended.min() >= min(moods) - 1e-6
    assert blended.max() <= max(moods) + 1e-6


def test_tiles_of_a_network_without_branches_refine_its_edges_only():
    images = torch.zeros(1, 3, 256, 256)
    images[..., :100, :] = 1.0
    images[..., 99:101, :] = 0.5
    net = Spot(branches=False)
    alpha = infer(net, images, "tiled", tile=64, overlap=16)
    torch.testing.assert_close(alpha, Spot()(images).detail)
    assert len(net.seen) - 1 <= 3 * 5  # of 5 x 5 tiles


def test_the_detail_pass_may_be_given_by_its_shorter_side():
    passes = Passes(short_side=320, detail_short_side=512)
    assert passes.semantic_size((1620, 1080)) == (480, 320)
    assert passes.detail_size((1620, 1080)) == (768, 512)
    assert passes.detail_size((256, 384)) == (512, 768)
    with pytest.raises(InputError, match="detail_short_side=0"):
        Passes(detail_short_side=0)


class Diverged(Spot):
    """A network that gives NaN for black pixels."""

    def forward(self, images):
        dark = (images.sum(1, keepdim=True) == 0).expand(-1, 3, -1, -1)
        return super().forward(images.masked_fill(dark, torch.nan))


@pytest.mark.parametrize(
    ("branches", "mode"), [*((True, mode) for mode in MODES), *((False, mode) for mode in MODES if mode != "hybrid")]
)
def test_a_diverged_network_is_not_taken_for_one_that_sees_no_person(mode, branches):
    alpha = infer(Diverged(branches), torch.zeros(1, 3, 200, 200), mode, tile=64, overlap=16)
    assert alpha.isnan().all()
