import json

import numpy as np
import pytest
import torch
from torch import Tensor

from golden_networks import load_fill
from p3m_lightning.models.upsamplers import LEARNABLE, UPSAMPLERS, DeepGuidedRefiner, create_upsampler
from p3m_lightning.ops import resize
from p3m_lightning.ops.guided import box_mean, fast_guided_filter
from p3m_lightning.schema import InputError

FEATURES = 5


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def inputs(height: int = 48, width: int = 64, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    small = (batch, 1, height // 4, width // 4)
    return torch.randn(small), torch.randn(batch, 3, height, width), torch.randn(batch, FEATURES, *small[2:])


@pytest.mark.parametrize("variant", ["filled", "filled_box_1_9"])
def test_refiner_equals_the_recorded_one(golden, variant):
    spec = json.loads((golden / "guided_filter" / "guided_filter.json").read_text())["refiner_parameters"]
    data = np.load(golden / "guided_filter" / "guided_filter.npz")
    fill = load_fill(golden)
    state = {key: torch.from_numpy(np.asarray(fill(key, tuple(shape), spec["seed"]))) for key, shape in spec["keys"]}
    if variant == "filled_box_1_9":
        state["box_filter.weight"].fill_(1 / 9)
    refiner = DeepGuidedRefiner().eval()
    refiner.load_state_dict(state)

    given = {key: torch.from_numpy(data[f"refiner/inputs/base_{key}"]) for key in ("src", "fgr", "pha", "hid")}
    small_guide, guide = (
        torch.cat([source, source.mean(1, keepdim=True)], 1)
        for source in (given["src"], torch.from_numpy(data["refiner/inputs/fine_src"]))
    )
    with torch.no_grad():
        output = refiner(small_guide, torch.cat([given["fgr"], given["pha"]], 1), given["hid"], guide).numpy()
    expected = np.concatenate([data[f"refiner/{variant}/fgr"], data[f"refiner/{variant}/pha"]], axis=1)
    height, width = expected.shape[-2:]  # the reduced set holds a corner
    np.testing.assert_allclose(output[..., :height, :width], expected, atol=1e-4)


@pytest.mark.parametrize("name", UPSAMPLERS)
def test_logits_come_back_at_the_size_of_the_picture(name):
    upsampler = create_upsampler(name, FEATURES).eval()
    logits = upsampler(*inputs())
    assert logits.shape == (2, 1, 48, 64)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", UPSAMPLERS)
def test_gradients_reach_the_logits_and_every_parameter(name):
    upsampler = create_upsampler(name, FEATURES).train()
    logits, images, features = inputs()
    upsampler(logits.requires_grad_(), images, features).square().sum().backward()
    assert logits.grad.any()
    assert all(p.grad is not None and p.grad.any() for p in upsampler.parameters())
    assert bool(list(upsampler.parameters())) == (name in LEARNABLE)


@pytest.mark.parametrize("name", [name for name in UPSAMPLERS if name not in LEARNABLE])
def test_constant_logits_stay_constant(name):
    _, images, features = inputs()
    logits = torch.full((2, 1, 12, 16), -1.5)
    torch.testing.assert_close(
        create_upsampler(name, FEATURES)(logits, images, features), torch.full((2, 1, 48, 64), -1.5)
    )


@pytest.mark.parametrize("name", ["guided", "fast_guided"])
def test_guided_upsamplers_keep_an_edge_of_the_picture_that_bilinear_blurs(name):
    edge = 30  # no multiple of 4: inside a reduced pixel
    alpha = (torch.arange(64) >= edge).float().expand(1, 1, 48, 64)
    images = (2 * alpha - 1).expand(1, 3, 48, 64)
    small = torch.nn.functional.avg_pool2d(alpha, 4)
    jumps = {}
    for choice in ("bilinear", name):
        logits = create_upsampler(choice, FEATURES)(small, images, images[..., ::4, ::4])
        jumps[choice] = (logits[..., edge] - logits[..., edge - 1]).mean()
    assert jumps[name] > 3 * jumps["bilinear"]


def test_fast_guided_is_the_filter_with_the_published_numbers_and_guides():
    logits, images, features = inputs()
    guide = images.mean(1, keepdim=True)
    small = torch.nn.functional.interpolate(guide, scale_factor=0.25, mode="bicubic", align_corners=True)
    expected = fast_guided_filter(small, logits, guide, radius=1, eps=1e-4)
    assert torch.equal(create_upsampler("fast_guided", FEATURES)(logits, images, features), expected)


def test_conv_guided_starts_with_the_box_mean():
    maps = torch.rand(2, 1, 9, 12)
    torch.testing.assert_close(create_upsampler("conv_guided", FEATURES)._mean(maps), box_mean(maps, 1))


@pytest.mark.parametrize("name", LEARNABLE)
def test_variances_stay_in_single_precision_under_autocast(name):
    upsampler = create_upsampler(name, FEATURES).eval()
    given = inputs()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = upsampler(*given)
    with torch.no_grad():
        assert torch.equal(mixed, upsampler(*given))


def test_options_that_an_upsampler_does_not_have_are_refused():
    with pytest.raises(InputError, match="bilinear takes no option"):
        create_upsampler("bilinear", FEATURES, radius=2)
    with pytest.raises(InputError, match="choose one of"):
        create_upsampler("nearest", FEATURES)


def test_half_pixel_centers():
    logits, images, features = inputs()
    assert torch.equal(create_upsampler("bilinear", FEATURES)(logits, images, features), resize(logits, (48, 64)))
