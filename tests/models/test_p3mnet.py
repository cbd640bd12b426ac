import zlib

import numpy as np
import pytest
import torch

from golden_networks import Recording, assert_outputs_match, denormalize, load_recording, on_grid
from p3m_lightning.models import create_model, load_reference_weights
from p3m_lightning.models.encoders.swin import window_mask
from p3m_lightning.ops import crop_to, pad_to_multiple
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


def test_eval_outputs_equal_the_recorded_ones(recording, model):
    model.eval()
    for suffix in ("", "_b"):
        with torch.no_grad():
            output = model(denormalize(recording.data["input" + suffix]))
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


@pytest.mark.parametrize("name", NETWORKS)
def test_a_padded_image_gives_the_same_matte(name):
    torch.manual_seed(0)
    net = create_model(name, width=0.125).eval()
    images = torch.rand(1, 3, 99, 150)
    with torch.no_grad():
        padded = net(pad_to_multiple(images, 32))
        for a, b in zip(named(net(images)).values(), named(padded).values(), strict=True):
            assert torch.equal(a, crop_to(b, 99, 150))


@pytest.mark.parametrize("module", ["tfi", "sbfi", "dbfi"])
def test_a_switch_takes_out_its_module_and_nothing_else(module):
    whole = create_model("p3mnet_r34", width=0.125)
    without = create_model("p3mnet_r34", width=0.125, **{module: False})
    removed = set(whole.state_dict()) - set(without.state_dict())
    assert removed
    assert all(f".{module}." in key for key in removed)
    assert len(without(torch.rand(2, 3, 32, 32)).sides) == (0 if module == "dbfi" else 3)


def test_basic_is_p3mnet_without_its_three_modules():
    torch.manual_seed(0)
    basic = create_model("basic", width=0.125).eval()
    bare = create_model("p3mnet_r34", width=0.125, tfi=False, sbfi=False, dbfi=False).eval()
    bare.load_state_dict(basic.state_dict())
    images = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        assert torch.equal(basic(images).alpha, bare(images).alpha)


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("height", range(8, 22))
def test_swin_masks_follow_the_published_cut_positions(height, shift):
    width = 3 * height - 2
    expected = naive_mask(height, width, shift)
    mask = window_mask(height, width, shift, torch.device("cpu"))
    assert torch.equal(torch.zeros_like(expected) if mask is None else mask, expected)


def naive_mask(height: int, width: int, shift: int) -> torch.Tensor:
    """The regions as the authors' code numbers them, with its cut positions."""

    def regions(length: int) -> list[int]:
        padding = -length % 7
        end = length + padding
        if not shift:
            cuts = [end - padding] if padding else []
        elif not padding:
            cuts = [end - 7, end - 3]
        else:
            cuts = [end - max(padding + 3, 7), end - min(padding + 3, 7), end - 3]
        return [sum(position >= cut for cut in cuts) for position in range(end)]

    rows, columns = regions(height), regions(width)
    masks = []
    for top in range(0, len(rows), 7):
        for left in range(0, len(columns), 7):
            tokens = [(rows[top + i], columns[left + j]) for i in range(7) for j in range(7)]
            masks.append([[0.0 if a == b else -100.0 for b in tokens] for a in tokens])
    return torch.tensor(masks)


def test_stochastic_depth_rises_to_the_last_block():
    net = create_model("p3mnet_swin_t", width=0.0625, drop_path=0.2)
    rates = [block.drop_path.drop for stage in net.encoder.stages for block in stage.blocks]
    assert rates == pytest.approx(np.linspace(0, 0.2, 12))
    images = torch.rand(1, 3, 96, 96)
    features = [net.encoder.train()(images).deepest for _ in range(4)]
    assert not all(torch.equal(features[0], f) for f in features)
    assert torch.equal(net.encoder.eval()(images).deepest, net.encoder(images).deepest)
