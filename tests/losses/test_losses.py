import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from p3m_lightning import losses
from p3m_lightning.schema import UNKNOWN, InputError, MattingOutput
from p3m_lightning.training.module import verify_weights

P = "predict"


def _classes(x, name="trimap"):
    return losses.classes_from_codes(x[name])


def _unknown(x, name="trimap"):
    return x[name] == 128


def _modnet(x):
    output = MattingOutput(x["predict"], x["modnet_semantic"], x["modnet_detail"])
    trimap = _classes(x)
    return {
        "semantic": 10 * losses.semantic_loss(output.semantic, x["alpha"]),
        "detail": 10 * losses.detail_loss(output.detail, x["alpha"], trimap),
        "matte": losses.matte_loss(output.alpha, x["alpha"], trimap, x["img"]),
    }


def _soc(x):
    output = MattingOutput(x["predict"], x["modnet_semantic"], x["modnet_detail"])
    before = MattingOutput(x["modnet_backup_matte"], None, x["modnet_backup_detail"])
    terms = losses.consistency_terms(output, before)
    return 100 * terms["semantic"] + terms["detail"]


@cache
def preset(name):
    with initialize_config_module("p3m_lightning.conf", version_base="1.3"):
        return OmegaConf.to_container(compose(f"loss/{name}").loss)


def _total(x, name):
    """Total of a preset, its weights included, on the recorded outputs."""
    sides = tuple(x[f"logits_side{k}"] for k in (2, 1, 0))
    output = MattingOutput(x["predict_fusion"], x["logits_global"], x["predict_local"], sides)
    batch = {
        "image": x["img_255"] / 255,
        "foreground": x["fg_255"] / 255,
        "background": x["bg_255"] / 255,
        "alpha": x["alpha"],
        "trimap": _classes(x),
    }
    chosen = preset(name)
    terms = instantiate(chosen["function"])(output, batch)
    assert terms.keys() == chosen["weights"].keys()
    return sum(chosen["weights"][name] * value for name, value in terms.items())


def _gfm_two_class(x, opaque, local_target):
    """GFM's FT and BT totals out of the functions; the zoo has TT only."""
    local = losses.alpha_loss(x["predict_local"], local_target, _unknown(x))
    local = local + losses.laplacian_loss(x["predict_local"], local_target, _unknown(x))
    fused = losses.alpha_loss(x["predict_fusion"], x["alpha"]) + losses.laplacian_loss(x["predict_fusion"], x["alpha"])
    colors = [x[name] for name in ("img_255", "fg_255", "bg_255")]
    composition = losses.composition_loss(x["predict_fusion"], *colors, scale=1.0) / 255
    return (losses.opaque_loss(x["logits_two_class"], opaque) + local + fused + composition) / 4


def _composition(x, suffix, scale):
    colors = [x[name + suffix] for name in ("img", "fg", "bg")]
    return losses.composition_loss(x[P], *colors, scale)


CASES = {
    "p3m/cross_entropy": lambda x: losses.trimap_loss(x["logits_global"], _classes(x)),
    "p3m/cross_entropy__resized_trimap": lambda x: losses.trimap_loss(
        x["logits_global"], _classes(x, "trimap_resized")
    ),
    "p3m/alpha_unknown": lambda x: losses.alpha_loss(x[P], x["alpha"], _unknown(x)),
    "p3m/alpha_unknown__resized_trimap": lambda x: losses.alpha_loss(x[P], x["alpha"], _unknown(x, "trimap_resized")),
    "p3m/alpha_unknown__no_unknown_pixel": lambda x: losses.alpha_loss(x[P], x["alpha"], _unknown(x, "trimap_known")),
    "p3m/alpha_whole": lambda x: losses.alpha_loss(x[P], x["alpha"]),
    "p3m/laplacian_unknown": lambda x: losses.laplacian_loss(x[P], x["alpha"], _unknown(x)),
    "p3m/laplacian_unknown__resized_trimap": lambda x: losses.laplacian_loss(
        x[P], x["alpha"], _unknown(x, "trimap_resized")
    ),
    "p3m/laplacian_whole": lambda x: losses.laplacian_loss(x[P], x["alpha"]),
    "p3m/composition": lambda x: _composition(x, "", 1.0),
    "gfm/cross_entropy_3_class": lambda x: losses.trimap_loss(x["logits_global"], _classes(x)),
    "gfm/cross_entropy_2_class__mask": lambda x: losses.opaque_loss(x["logits_two_class"], x["alpha"]),
    "gfm/cross_entropy_2_class__dilation": lambda x: losses.opaque_loss(x["logits_two_class"], x["dilation"] / 255),
    "gfm/composition": lambda x: _composition(x, "_255", 1.0) / 255,
    "gfm/alpha_unknown": lambda x: losses.alpha_loss(x[P], x["alpha"], _unknown(x)),
    "gfm/laplacian_whole": lambda x: losses.laplacian_loss(x[P], x["alpha"]),
    "stylematte/dice": lambda x: losses.dice_loss(x[P], x["alpha"]),
    "stylematte/laplacian": lambda x: losses.binomial_laplacian_loss(x[P], x["alpha"]),
    "p3m/total": lambda x: _total(x, "released"),
    "gfm/total_TT": lambda x: _total(x, "gfm"),
    "gfm/total_FT": lambda x: _gfm_two_class(x, x["dilation"] / 255, x["erosion_subtraction"] / 255),
    "gfm/total_BT": lambda x: _gfm_two_class(x, x["alpha"], x["dilation_subtraction"] / 255),
    "modnet/total": lambda x: sum(_modnet(x).values()),
    "modnet/semantic": lambda x: _modnet(x)["semantic"],
    "modnet/detail": lambda x: _modnet(x)["detail"],
    "modnet/matte": lambda x: _modnet(x)["matte"],
    "modnet/soc_adaptation": _soc,
    "paddleseg/mrsd_whole": lambda x: losses.mrsd_loss(x[P], x["alpha"]),
    "paddleseg/mrsd_unknown": lambda x: losses.mrsd_loss(x[P], x["alpha"], _unknown(x)),
    "paddleseg/gradient_whole": lambda x: losses.gradient_loss(x[P], x["alpha"]),
    "paddleseg/gradient_unknown": lambda x: losses.gradient_loss(x[P], x["alpha"], _unknown(x)),
    "paddleseg/laplacian_whole": lambda x: losses.laplacian_loss(x[P], x["alpha"]),
    "paddleseg/laplacian_unknown": lambda x: losses.laplacian_loss(x[P], x["alpha"], _unknown(x)),
}
# two readings of one resized trimap in one total: a batch holds classes, so only its parts above can be had
NOT_OURS = {"p3m/total__resized_trimap"}


@pytest.fixture(scope="module")
def recorded(golden):
    spec = json.loads((golden / "losses" / "losses.json").read_text())
    with np.load(golden / "losses" / "losses.npz") as arrays:
        return spec["losses"], {key: arrays[key] for key in arrays}


def _inputs(arrays, dtype):
    inputs = {
        key.removeprefix("inputs/"): torch.from_numpy(value).to(dtype)
        for key, value in arrays.items()
        if key.startswith("inputs/")
    }
    inputs["alpha"] = inputs["alpha"] / 255
    return inputs


def test_every_recorded_loss_has_its_case(recorded):
    assert set(recorded[0]) == CASES.keys() | NOT_OURS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_equal_the_recorded_ones(recorded, name, dtype):
    entries, arrays = recorded
    entry = entries[name]
    inputs = _inputs(arrays, dtype)
    sources = [key for key in entry.get("gradients", {}) if f"grad/{name}/{key}" in arrays]
    for key in sources:
        inputs[key].requires_grad_()

    value = CASES[name](inputs)

    assert value.dtype == dtype
    assert value.item() == pytest.approx(entry.get("value_float64", entry["value_float32"]), rel=1e-5)
    if not sources:
        return
    gradients = torch.autograd.grad(value, [inputs[key] for key in sources], allow_unused=True)
    for key, gradient in zip(sources, gradients, strict=True):
        expected = arrays[f"grad/{name}/{key}"].astype(np.float64)
        ours = np.zeros_like(expected) if gradient is None else gradient.double().numpy()
        # PaddleSeg's arrays are those of its float32 run
        exact = dtype == torch.float64 and not name.startswith("paddleseg")
        tolerance = (1e-6 if exact else 1e-3) * np.abs(expected).max()
        assert np.mean(np.abs(ours - expected) > tolerance) <= 1e-3


def _batch(size=64, colors=True, seed=0):
    """A random output with every part, and a batch for it."""
    rng = torch.Generator().manual_seed(seed)

    def rand(*channels):
        return torch.rand(2, *channels, size, size, generator=rng)

    batch = {"image": rand(3), "alpha": rand(1), "trimap": torch.randint(0, 3, (2, 1, size, size), generator=rng)}
    if colors:
        batch |= {"foreground": rand(3), "background": rand(3)}
    coarse = torch.rand(2, 1, size // 16, size // 16, generator=rng)
    batch |= {"name": ["a", "b"], "before": MattingOutput(rand(1), None, rand(1))}
    return MattingOutput(rand(1), rand(3), rand(1), (rand(3), rand(3), rand(3))), batch, coarse


PRESETS = [
    "released",
    "paper",
    "gfm",
    "modnet",
    "modnet_soc",
    "stylematte_segmentation",
    "stylematte_hausdorff",
    "stylematte_matting",
    "stylematte_released",
    "alpha",
    "dim",
    "vitmatte",
]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_weighs_exactly_the_terms_that_its_loss_returns(name):
    output, batch, coarse = _batch()
    if name.startswith("modnet"):
        output = output._replace(semantic=coarse)
    chosen = preset(name)
    terms = instantiate(chosen["function"])(output, batch)
    assert terms.keys() == chosen["weights"].keys()
    assert all(value.shape == () and value > 0 for value in terms.values())


def test_every_file_in_conf_loss_is_a_tested_preset():
    files = {path.stem for path in (Path(__file__).parents[2] / "conf" / "loss").glob("*.yaml")}
    assert files == set(PRESETS)


def test_paper_differs_from_released_in_the_fused_matte_only():
    released, paper = preset("released"), preset("paper")
    assert paper["function"] == released["function"]
    differing = {k: v for k, v in paper["weights"].items() if v != released["weights"][k]}
    assert differing == {"fusion_alpha": 2.0, "fusion_laplacian": 2.0}


@pytest.mark.parametrize("name", PRESETS)
def test_the_terms_are_those_announced_and_weighted(name):
    output, batch, coarse = _batch()
    if name.startswith("modnet"):
        output = output._replace(semantic=coarse)
    loss = instantiate(preset(name)["function"])
    assert loss.names == tuple(loss(output, batch))
    verify_weights(loss.names, preset(name)["weights"])


@pytest.mark.parametrize("name", PRESETS)
def test_half_precision_and_autocast_change_no_more_than_the_inputs_rounding(name):
    output, batch, coarse = _batch()
    if name.startswith("modnet"):
        output = output._replace(semantic=coarse)
    loss = instantiate(preset(name)["function"])
    half = MattingOutput(*(part.bfloat16() for part in output[:3]), tuple(side.bfloat16() for side in output.sides))
    rounded = MattingOutput(*(part.float() for part in half[:3]), tuple(side.float() for side in half.sides))
    expected = loss(rounded, batch)
    with torch.autocast("cpu", torch.bfloat16):
        terms = loss(half, batch)
    for term, value in terms.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[term])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("name", PRESETS)
def test_gpu_equals_cpu(name):
    output, batch, coarse = _batch()
    if name.startswith("modnet"):
        output = output._replace(semantic=coarse)
    loss = instantiate(preset(name)["function"])
    moved = MattingOutput(*(part.cuda() for part in output[:3]), tuple(side.cuda() for side in output.sides))
    there = {key: value.cuda() if isinstance(value, torch.Tensor) else value for key, value in batch.items()}
    expected = loss(output, batch)
    for term, value in loss(moved, there).items():
        torch.testing.assert_close(value.cpu(), expected[term], rtol=1e-4, atol=1e-6)


def test_p3m_loss_is_zero_where_a_network_has_no_sides_and_nothing_else_changes():
    output, batch, _ = _batch()
    loss = losses.P3MLoss()
    whole, without = loss(output, batch), loss(output._replace(sides=()), batch)
    assert whole.keys() == without.keys()
    for name, value in without.items():
        assert value == (0 if name.startswith("side") else whole[name])


@pytest.mark.parametrize("loss", [losses.P3MLoss, losses.GFMLoss])
def test_composition_is_zero_when_switched_off_and_demands_colors_otherwise(loss):
    output, batch, _ = _batch(colors=False)
    assert loss(composition=False)(output, batch)["composition"] == 0
    with pytest.raises(InputError, match="foreground"):
        loss()(output, batch)


@pytest.mark.parametrize("loss", [losses.P3MLoss(), losses.GFMLoss(), losses.MODNetLoss()])
def test_a_network_without_the_needed_branch_is_refused_by_name(loss):
    output, batch, _ = _batch()
    with pytest.raises(InputError, match=f"{type(loss).__name__}.*`detail`"):
        loss(output._replace(detail=None), batch)


@pytest.mark.parametrize("arguments", [{"terms": ["alpha", "ssim"]}, {"region": "hair"}])
def test_alpha_loss_refuses_unknown_terms_and_regions(arguments):
    with pytest.raises(InputError, match=r"ssim|hair"):
        losses.AlphaLoss(**arguments)


def test_segmentation_loss_refuses_an_unknown_form():
    with pytest.raises(InputError, match="circular"):
        losses.StyleMatteSegmentationLoss(hausdorff="circular")


def test_alpha_loss_of_the_unknown_region_does_not_see_the_rest():
    output, batch, _ = _batch()
    loss = losses.AlphaLoss(["alpha", "laplacian", "mrsd", "gradient", "composition"], region="unknown")
    known = batch["trimap"] != UNKNOWN
    elsewhere = torch.where(known, 1 - output.alpha, output.alpha)
    before, after = loss(output, batch), loss(output._replace(alpha=elsewhere), batch)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)


@pytest.mark.parametrize(
    "function",
    [
        losses.alpha_loss,
        losses.laplacian_loss,
        losses.mrsd_loss,
        losses.gradient_loss,
        losses.binomial_laplacian_loss,
        losses.weighted_laplacian_loss,
        losses.hausdorff_distance_loss,
        losses.hausdorff_erosion_loss,
    ],
)
def test_differences_are_symmetric_and_least_for_equal_mattes(function):
    output, batch, _ = _batch()
    ours, theirs = output.alpha, batch["alpha"]
    torch.testing.assert_close(function(ours, theirs), function(theirs, ours))
    assert function(ours, ours) < min(1.1e-3, function(ours, theirs))  # 1e-3: sqrt(d^2 + 1e-6) of mrsd


def test_true_matte_composes_the_image():
    output, batch, _ = _batch()
    image = batch["alpha"] * batch["foreground"] + (1 - batch["alpha"]) * batch["background"]
    colors = image, batch["foreground"], batch["background"]
    assert losses.composition_loss(batch["alpha"], *colors, losses.P3M_COLOR_SCALE) < 1e-5
    assert losses.composition_loss(output.alpha, *colors, losses.P3M_COLOR_SCALE) > 0.1


def test_vitmatte_regions_are_means_of_their_own_and_an_empty_one_is_zero():
    output, batch, _ = _batch()
    terms = losses.ViTMatteLoss()(output, batch)
    error, unknown = (output.detail - batch["alpha"]).abs(), batch["trimap"] == UNKNOWN
    torch.testing.assert_close(terms["unknown"], error[unknown].mean())
    torch.testing.assert_close(terms["known"], error[~unknown].mean())
    nothing = losses.ViTMatteLoss()(output, batch | {"trimap": torch.zeros_like(batch["trimap"])})
    assert nothing["unknown"] == 0
    assert nothing["gradient"] == 0


def test_flat_gradient_loss_of_a_ramp_is_its_slope():
    ramp = torch.arange(16.0).div(16).expand(1, 1, 16, 16)
    inside = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    inside[..., 1:-1, 1:-1] = True
    flat = torch.full_like(ramp, 0.5)
    slope = 8 / 16  # a Sobel derivative is 8 times the slope
    assert losses.flat_gradient_loss(flat, ramp, inside).item() == pytest.approx(slope)
    assert losses.flat_gradient_loss(ramp, ramp, inside).item() == pytest.approx(0.01 * slope)


def test_weighted_laplacian_doubles_with_each_level():
    ours, theirs = torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64)
    single = [losses.weighted_laplacian_loss(ours, theirs, levels=k) * k for k in (1, 2, 3)]
    plain = [losses.binomial_laplacian_loss(ours, theirs, levels=k) for k in (1, 2, 3)]
    for k in (1, 2):
        torch.testing.assert_close(single[k] - single[k - 1], 2**k * (plain[k] - plain[k - 1]))


def test_modnet_semantic_target_covers_the_padded_image():
    alpha = torch.rand(1, 1, 40, 70)
    padded = torch.nn.functional.pad(alpha, (0, 26, 0, 24), mode="replicate")
    assert losses.semantic_loss(torch.zeros(1, 1, 4, 6), alpha) == losses.semantic_loss(torch.zeros(1, 1, 4, 6), padded)
