import io
import json

import numpy as np
import pytest
import torch
from golden_networks import load_recording
from PIL import Image
from torch import nn

from p3m_lightning import Predictor, create_model, load_reference_weights
from p3m_lightning.images import from_unit
from p3m_lightning.inference import infer
from p3m_lightning.inference.modes import Passes
from p3m_lightning.schema import InputError, MattingOutput

torch.set_num_threads(2)


class Spot(nn.Module):
    """A network whose every output pixel depends on its own neighborhood only, so that tiles cannot differ."""

    needs_trimap = False

    def __init__(self, branches: bool = True) -> None:
        super().__init__()
        self.branches = branches
        self.seen = []

    def forward(self, images):
        self.seen.append(tuple(images.shape[-2:]))
        mean = nn.functional.avg_pool2d(images.mean(1, keepdim=True), 5, 1, 2, count_include_pad=False)
        semantic = torch.cat([0.4 - mean, 0.2 - (mean - 0.5).abs(), mean - 0.6], 1)
        detail = (0.5 + 4 * (images[:, :1] - 0.5)).clamp(0, 1)
        return MattingOutput(detail, semantic, detail) if self.branches else MattingOutput(detail)


class Copycat(nn.Module):
    """A trimap-based network that returns half its trimap."""

    needs_trimap = True

    def forward(self, images, trimap):
        assert trimap.shape[-2:] == images.shape[-2:]
        assert trimap.dtype == torch.int64
        return MattingOutput(trimap / 2)


def picture(height, width, seed=0):
    """A smooth scene with soft and hard edges, uint8 (height, width, 3)."""
    noise = np.random.default_rng(seed).random((height // 16 + 2, width // 16 + 2, 3))
    smooth = Image.fromarray(from_unit(noise)).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth)


@pytest.fixture(scope="module")
def recorded(golden):
    return json.loads((golden / "inference/inference.json").read_text())["samples"]


@pytest.fixture(scope="module")
def arrays(golden):
    return dict(np.load(golden / "inference/inference.npz"))


@pytest.fixture(scope="module")
def nets(golden):
    """The recorded network in both variants: as filled, and with an unsaturated local branch."""
    spec, _, state = load_recording(golden, "p3mnet_r34")
    original = {alias: key for alias, key in spec["aliases"].items()}
    scales = {key: spec["scale"].get(original.get(key, key), 1) for key in state}
    state = {key: value if scales[key] == 1 else value / scales[key] for key, value in state.items()}  # as filled
    final = [key for key in state if key.startswith("decoder_final_l.")]
    variants = {"filled": state, "final_scaled": state | {key: state[key] * 2.0**-13 for key in final}}
    made = {}
    for name, weights in variants.items():
        made[name] = create_model("p3mnet_r34").eval()
        load_reference_weights(made[name], weights)
    return made


@pytest.mark.parametrize("variant", ["filled", "final_scaled"])
@pytest.mark.parametrize("mode", ["resize", "hybrid"])
@pytest.mark.parametrize("sample", ["p_22fc0130", "p_015cd10e"])
def test_equals_the_authors_inference(golden, recorded, arrays, nets, sample, mode, variant):
    key = f"{sample}/{variant}/{mode.upper()}"
    alpha = Predictor(nets[variant], "cpu", mode)(golden / recorded[sample]["file"]).alpha

    expected = arrays[f"{key}/alpha"].astype(np.float32)
    error = np.abs(alpha - expected)
    assert error.mean() < 2e-3
    pinholes = arrays.get(f"{key}/rounded_below_255")
    if pinholes is not None:
        error[pinholes[:, 0], pinholes[:, 1]] = 0
    assert error.mean() < 5e-4
    assert (error > 2e-3).mean() < 5e-3


@pytest.mark.parametrize("sample", ["p_22fc0130", "p_015cd10e"])
def test_limits_the_shorter_side_as_the_authors_do(golden, recorded, nets, sample):
    predictor = Predictor(nets["final_scaled"], "cpu", "hybrid", limit=160)
    alpha = predictor(golden / recorded[sample]["file"]).alpha

    expected = np.asarray(Image.open(golden / recorded[sample]["folder_procedure_limit_160"]["alpha"])).astype(int)
    error = np.abs((alpha * 255).astype(int) - expected)
    assert (error > 1).mean() < 0.01
