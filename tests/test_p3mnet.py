import zlib

import numpy as np
import pytest
import torch
from golden_networks import Recording, assert_outputs_match, denormalize, load_recording, on_grid

from p3m_lightning.models import create_model, load_reference_weights
from p3m_lightning.schema import MattingOutput

NETWORKS = ("p3mnet_r34", "p3mnet_swin_t", "p3mnet_vitae_s")
STD = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)


@pytest.fixture(scope="module", params=NETWORKS)
def recording(request, golden) -> Recording:
    return load_recording(golden, request.param)


@pytest.fixture
def model(recording):
    model = create_model(recording.spec["model"])
    load_reference_weights(model, {"state_dict": recording.state})
    return model


def named(output: MattingOutput) -> dict[str, torch.Tensor]:
    return {
        "global_logits": output.semantic,
        "local_alpha": output.detail,
        "fused_alpha": output.alpha,
        "side2_logits": output.sides[0],
        "side1_logits": output.sides[1],
        "side0_logits": output.sides[2],
    }


@pytest.mark.parametrize("suffix", ["", "_b"])
def test_eval_outputs_equal_the_recorded_ones(recording, model, suffix):
    with torch.no_grad():
        output = model.eval()(denormalize(recording.data["input" + suffix]))
    assert_outputs_match(recording, named(output), suffix)


def test_training_outputs_and_gradients_equal_the_recorded_ones(recording, model):
    spec, data, _ = recording
    images = denormalize(data["input_b"]).requires_grad_()
    outputs = named(model.train()(images))
    assert_outputs_match(recording, outputs, "_train_b")

    loss = sum((value * noise_like(name, value, spec["seed"])).mean() for name, value in outputs.items())
    loss.backward()
    assert loss.item() == pytest.approx(float(data["loss_train_b"]), abs=1e-4)
    # the recorded gradient is with respect to the normalized image
    expect_gradient(
        on_grid(recording, images.grad * STD, "_b"), data["grad_input_train_b"], spec["train"]["grad_input"]
    )
    gradients = {"early": model.encoder, "late": model.matting.tfi[0].transform, "last": model.matting.head}
    for name, module in gradients.items():
        gradient = next(module.parameters()).grad
        expect_gradient(gradient, data[f"grad_{name}_train_b"], spec["train"]["grad_parameters"][name])


def noise_like(name: str, value: torch.Tensor, seed: int) -> torch.Tensor:
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return torch.from_numpy(rng.standard_normal(tuple(value.shape)).astype(np.float32))


def expect_gradient(actual: torch.Tensor, expected: np.ndarray, spec: dict) -> None:
    expected = torch.from_numpy(expected)
    assert (actual - expected).norm() <= spec["rel_l2_tol"] * expected.norm()
