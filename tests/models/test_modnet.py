import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from golden_networks import Recording, assert_outputs_match, denormalize, load_recording
from p3m_lightning.models import create_model, load_encoder_weights, load_reference_weights
from p3m_lightning.models.modnet import IBNorm
from p3m_lightning.schema import InputError


@pytest.fixture(scope="module")
def recording(golden) -> Recording:
    return load_recording(golden, "modnet")


@pytest.fixture
def small():
    torch.manual_seed(0)
    return create_model("modnet", width=0.25).eval()


def test_outputs_equal_the_recorded_ones(recording):
    model = create_model("modnet").eval()
    load_reference_weights(model, recording.state)
    assert sum(p.numel() for p in model.parameters()) == recording.spec["parameters"]
    for suffix in ("", "_b"):
        with torch.no_grad():
            output = model(denormalize(recording.data["input" + suffix], (0.5,) * 3, (0.5,) * 3))
        named = {"pred_semantic": output.semantic, "pred_detail": output.detail, "pred_matte": output.alpha}
        assert_outputs_match(recording, named, suffix)


def test_a_checkpoint_whose_two_backbones_differ_is_refused(recording):
    key = "lr_branch.backbone.model.features.18.0.weight"
    state = {**recording.state, key: recording.state[key] + 1}
    with pytest.raises(InputError, match="two values"):
        load_reference_weights(create_model("modnet"), state)


@pytest.mark.parametrize("size", [(32, 32), (33, 95), (100, 64)])
def test_semantics_come_at_a_sixteenth_rounded_up(small, size):
    with torch.no_grad():
        output = small(torch.rand(1, 3, *size))
    assert output.semantic.shape == (1, 1, -(-size[0] // 16), -(-size[1] // 16))
    assert output.detail.shape == (1, 1, *size)


def test_padding_repeats_the_edge(small):
    images = torch.rand(1, 3, 40, 64)
    padded = torch.cat([images, images[:, :, -1:].expand(-1, -1, 24, -1)], 2)
    with torch.no_grad():
        torch.testing.assert_close(small(images).alpha, small(padded).alpha[:, :, :40])


def test_ibnorm_normalizes_one_half_over_the_batch_and_the_other_over_each_image():
    maps = torch.randn(3, 6, 5, 4) * 2 + torch.arange(3).view(3, 1, 1, 1)
    out = IBNorm(6).train()(maps)
    batch = (maps - maps.mean((0, 2, 3), keepdim=True)) / maps.std((0, 2, 3), unbiased=False, keepdim=True)
    instance = (maps - maps.mean((2, 3), keepdim=True)) / maps.std((2, 3), unbiased=False, keepdim=True)
    torch.testing.assert_close(out, torch.cat([batch[:, :3], instance[:, 3:]], 1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", ["torchvision", "flat"])
def test_backbone_starts_from_weights_of_either_layout(small, layout):
    state = mobilenet_v2(width_mult=0.25).state_dict()
    load_encoder_weights(small, state if layout == "torchvision" else flat(state))
    for key, value in small.backbone.state_dict().items():
        assert torch.equal(value, state[f"features.{key}"])


def flat(state: dict) -> dict:
    """The names of a MobileNetV2 whose blocks are plain sequences: convolution, norm, ReLU, convolution, ..."""
    network = mobilenet_v2(width_mult=0.25)
    network.load_state_dict(state)
    names = {}
    for i, block in enumerate(network.features):
        nested = hasattr(block, "conv")
        layers = [m for m in block.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.ReLU6)]
        prefix = f"features.{i}.conv." if nested else f"features.{i}."
        names |= {f"{prefix}{k}.{n}": v for k, m in enumerate(layers) for n, v in m.state_dict().items()}
    return names
