"""Mattes equal to those of the authors' own procedures."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from golden_networks import load_recording
from p3m_lightning import Predictor, create_model, load_reference_weights

torch.set_num_threads(2)


@pytest.fixture(scope="module")
def recorded(golden_portraits):
    return json.loads((golden_portraits / "inference/inference.json").read_text())["samples"]


@pytest.fixture(scope="module")
def arrays(golden_portraits):
    return dict(np.load(golden_portraits / "inference/inference.npz"))


@pytest.fixture(scope="module")
def nets(golden_portraits):
    """The recorded network in both variants: as filled, and with an unsaturated local branch."""
    spec, _, state = load_recording(golden_portraits, "p3mnet_r34")
    original = spec["aliases"]
    scales = {key: spec["scale"].get(original.get(key, key), 1) for key in state}
    state = {key: value if scales[key] == 1 else value / scales[key] for key, value in state.items()}  # as filled
    final = [key for key in state if key.startswith("decoder_final_l.")]
    variants = {"filled": state, "final_scaled": state | {key: state[key] * 2.0**-13 for key in final}}
    made = {}
    for name, filled in variants.items():
        made[name] = create_model("p3mnet_r34").eval()
        load_reference_weights(made[name], filled)
    return made


@pytest.mark.parametrize("variant", ["filled", "final_scaled"])
@pytest.mark.parametrize("mode", ["resize", "hybrid"])
@pytest.mark.parametrize("sample", ["p_22fc0130", "p_015cd10e"])
def test_equals_the_authors_inference(golden_portraits, recorded, arrays, nets, sample, mode, variant):
    key = f"{sample}/{variant}/{mode.upper()}"
    alpha = Predictor(nets[variant], "cpu", mode, max_short_side=None)(
        golden_portraits / recorded[sample]["file"]
    ).alpha

    expected = arrays[f"{key}/alpha"].astype(np.float32)
    error = np.abs(alpha - expected)
    assert error.mean() < 2e-3
    pinholes = arrays.get(f"{key}/rounded_below_255")
    if pinholes is not None:
        error[pinholes[:, 0], pinholes[:, 1]] = 0
    assert error.mean() < 5e-4
    assert (error > 2e-3).mean() < 5e-3


@pytest.mark.parametrize("sample", ["p_22fc0130", "p_015cd10e"])
def test_limits_the_shorter_side_as_the_authors_do(golden_portraits, recorded, nets, sample):
    predictor = Predictor(nets["final_scaled"], "cpu", "hybrid", max_short_side=160)
    alpha = predictor(golden_portraits / recorded[sample]["file"]).alpha

    expected = np.asarray(
        Image.open(golden_portraits / recorded[sample]["folder_procedure_limit_160"]["alpha"])
    ).astype(int)
    error = np.abs((alpha * 255).astype(int) - expected)
    assert (error > 1).mean() < 0.01
